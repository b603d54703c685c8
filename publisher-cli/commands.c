/* The table of commands; see table.h. */
#include <string.h>
#include <unistd.h>

#include "publisher-cli/inspect/doctor.h"
#include "publisher-cli/inspect/history.h"
#include "publisher-cli/inspect/topics.h"
#include "publisher-cli/options/table.h"
#include "publisher-cli/publish/publish.h"
#include "publisher-cli/tail/tail.h"
#include "relay/base/near.h"
#include "relay/wire/publish.h"

enum { ENDLESS_HISTORY = 100, CLOCK_EVERY_MS = 1000, LETTERS_EVERY_MS = 500 };

static int run_publish(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    return publish_run(o, loop, STDIN_FILENO, out, err);
}

static const struct command_row rows[] = {
    {.command = COMMAND_PUBLISH,
     .name = "publish",
     .synopses = {"TOPIC [DATA]", "-t TOPIC... [DATA]", "--lines TOPIC [FILE]...",
                  "--ndjson [FILE]..."},
     .summary = "publish an event, or one for each line (the default)",
     .prose =
         "Publishes DATA, or all of standard input (without the line end at its end) where there "
         "is "
         "none or it is `-`: empty input is an event with empty data. With `--lines` and "
         "`--ndjson` it publishes one event for each line of "
         "the files, or of standard input.\n\n"
         "An event is durable unless `--live` is given: it is stored in its topic's log before "
         "Redis "
         "answers and has an id, so that a client that was away gets it when it comes back.",
     .examples = {{"sse-publish news 'It works'", "an event; prints its id"},
                  {"date | sse-publish news --event tick", "data from a pipe"},
                  {"sse-publish -t eu -t us 'to both'", "an event in each topic"},
                  {"sse-publish --key order-42 orders paid", "once, however often it is sent"},
                  {"tail -f app.log | sse-publish --lines log", "an event for each line"},
                  {"sse-publish --ndjson --rate 5k/s events.ndjson", "a file, at a pace"},
                  {"sse-publish -- clock tick", "a topic that is called like a command"}},
     .examples_common = 5,
     .words = WORDS_PUBLISH,
     .history = PUBLISH_HISTORY_DEFAULT,
     .run = run_publish},
    {.command = COMMAND_TAIL,
     .name = "tail",
     .synopses = {"TOPIC..."},
     .summary = "watch the events of a relay as they come, over HTTP",
     .prose =
         "Asks a relay for the stream of the topics, over HTTP, and prints the data of each event; "
         "of several topics, each line with its topic and a tab in front, and on a terminal with "
         "the event's name. With `--json` it prints an object for each event, which `replay` "
         "publishes again: topic, event, id, time (ms since 1970) and data.\n\n"
         "It comes back by itself, as a browser does, and goes on behind the last event it had: "
         "durable events come once and in order. Where some are gone it says so, and with `--json` "
         "prints the relay's `relay.reset` too. It ends with `--count`, with a signal, when "
         "standard output is closed, and when the relay answers 204 or refuses. `--timeout` counts "
         "until the first stream; once there was one, it never gives up.",
     .examples = {{"sse-publish tail news sport", "what comes from now on"},
                  {"sse-publish tail news --since 10m --json", "the last ten minutes, and on"},
                  {"sse-publish tail news --last 1 --count 1", "the latest event"}},
     .examples_common = 1,
     .words = WORDS_TOPICS,
     .words_min = 1,
     .words_max = SIZE_MAX,
     .run = tail_run},
    {.command = COMMAND_HISTORY,
     .name = "history",
     .synopses = {"TOPIC"},
     .summary = "print what a topic's log in Redis keeps, oldest first",
     .prose = "Prints the data of each event, or with `--json` an object a line: topic, event, id, "
              "time and data, which `replay` publishes again. It reads up to where the log ends "
              "when it begins.\n\n"
              "An entry that is no event is reported and passed over, as a relay does; the exit "
              "code is 1 then. Of a topic that has no log it says so; the exit code is 0.",
     .examples = {{"sse-publish history orders", "all that is kept"},
                  {"sse-publish history --last 10 orders", "the last ten"},
                  {"sse-publish history --json orders > orders.log", "to be replayed"}},
     .words = WORDS_TOPICS,
     .words_min = 1,
     .words_max = 1,
     .run = history_run},
    {.command = COMMAND_TOPICS,
     .name = "topics",
     .synopses = {"[PATTERN]"},
     .summary = "list topics: length of the log, last id, age",
     .prose = "For each topic: how many events its log holds, the id and the age of the last one, "
              "and for how long the log is kept unless another one comes. A topic whose log is "
              "over is listed for as long as Redis remembers its last id.\n\n"
              "In PATTERN `*` stands for any text, and everything else for itself. On a terminal "
              "the columns are aligned, and up to 10,000 topics sorted; elsewhere tabs stand "
              "between the columns, and the topics come in no order.",
     .examples = {{"sse-publish topics 'orders*'", "those that begin with orders"},
                  {"sse-publish topics | cut -f 1", "their names alone"}},
     .words = WORDS_PATTERN,
     .words_max = 1,
     .run = topics_run},
    {.command = COMMAND_CLOCK,
     .name = "clock",
     .synopses = {"[TOPIC]"},
     .summary = "publish the time (UTC), every second, into \"time\"",
     .prose =
         "Publishes the time (UTC, RFC 3339) into TOPIC, or into `time`, at once and then once "
         "every `--every`, until it is interrupted. A lost connection is made again; moments "
         "that passed meanwhile are left out.",
     .examples = {{"sse-publish clock --every 250ms ticks", "four times a second"}},
     .words = WORDS_TOPICS,
     .words_max = 1,
     .topic = "time",
     .every_ms = CLOCK_EVERY_MS,
     .history = ENDLESS_HISTORY,
     .run = run_publish},
    {.command = COMMAND_LETTERS,
     .name = "letters",
     .synopses = {"[TOPIC]"},
     .summary = "publish random letters, twice a second, into \"letters\"",
     .prose = "As `clock`, with a random letter as data, into `letters`.",
     .examples = {{"sse-publish letters --live --count 10", "ten letters, not stored"}},
     .words = WORDS_TOPICS,
     .words_max = 1,
     .topic = "letters",
     .every_ms = LETTERS_EVERY_MS,
     .history = ENDLESS_HISTORY,
     .run = run_publish},
    {.command = COMMAND_REPLAY,
     .name = "replay",
     .synopses = {"[-t TOPIC] FILE..."},
     .summary = "publish a recorded stream with its timing",
     .prose = "Publishes the events of FILE, one JSON object a line as `sse-publish tail --json` "
              "prints them, each into its topic or into that of `-t`, and as far apart in time as "
              "they were then, divided by `--speed`. Lines without a time go at once; the relays' "
              "own events (`relay.live`, `relay.reset`) are left out.",
     .examples = {{"sse-publish tail --json news > day.ndjson", "record"},
                  {"sse-publish replay --speed 10 day.ndjson", "and publish it ten times as fast"}},
     .words = WORDS_FILES,
     .words_min = 1,
     .words_max = SIZE_MAX,
     .history = PUBLISH_HISTORY_DEFAULT,
     .run = run_publish},
    {.command = COMMAND_DOCTOR,
     .name = "doctor",
     .summary = "look at Redis and say in words what to change",
     .prose = "One line for each check: ok, warn, fail or skip, what was found, and what to do, "
              "with the line of redis.conf. What this user may not ask is skipped. Nothing is "
              "written to Redis: rights are tried with commands that Redis refuses once it has "
              "looked at the rights.\n\n"
              "The exit code is 0 when nothing failed, 1 when something did, 3 when there is no "
              "Redis.",
     .examples = {{"sse-publish doctor", "is this Redis fit for it?"},
                  {"sse-publish doctor | grep -v ^ok", "what is to be changed"}},
     .examples_common = 1,
     .words = WORDS_NONE,
     .run = doctor_run},
    {.command = COMMAND_HELP,
     .name = "help",
     .synopses = {"[COMMAND]"},
     .summary = "say what a command does and which options it takes",
     .prose = "Says what COMMAND does and which options it takes; without, what there is. "
              "`sse-publish COMMAND --help` says the same.",
     .words = WORDS_COMMAND},
};

static const struct exit_row exits[] = {
    {"0", "All of it is done. `clock`, `letters`, and `tail` without `--count`, end so after a "
          "signal, too."},
    {"1", "Redis was reached and refused (a password, a right, no memory, a key that was used for "
          "something else), or took no events for all of `--timeout`; too few replicas have the "
          "event; some lines were not published; what was published could not be told, since "
          "standard output cannot be written; a relay refused; `doctor` found what fails, or "
          "`history` what is no event."},
    {"2", "Wrong arguments, or data that cannot be an event: not UTF-8, or more than 1 MiB."},
    {"3", "Redis, or the relay, cannot be reached, or was lost and did not come back in time."},
    {"128+n", "Signal n came before the end, such as 130 for Ctrl-C; or 141 when nobody reads the "
              "ids of many events any more."},
    {NULL, NULL}};

const struct exit_row *exit_rows(void) {
    return exits;
}

const struct command_row *command_rows(size_t *len) {
    *len = sizeof(rows) / sizeof(rows[0]);
    return rows;
}

const struct command_row *command_row_named(const char *name) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

const struct command_row *command_row_near(const char *name) {
    const struct command_row *nearest = NULL;
    struct near near;
    near_init(&near, name);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (near_try(&near, rows[i].name))
            nearest = &rows[i];
    return nearest;
}

const struct command_row *command_row_of(enum command command) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].command == command)
            return &rows[i];
    return NULL;
}
