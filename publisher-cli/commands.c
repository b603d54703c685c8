/* The table of commands; see table.h. */
#include <string.h>
#include <unistd.h>

#include "publisher-cli/inspect/doctor.h"
#include "publisher-cli/inspect/history.h"
#include "publisher-cli/inspect/kick.h"
#include "publisher-cli/inspect/remove.h"
#include "publisher-cli/inspect/subscribers.h"
#include "publisher-cli/inspect/topics.h"
#include "publisher-cli/options/table.h"
#include "publisher-cli/publish/publish.h"
#include "publisher-cli/tail/tail.h"
#include "publisher-cli/token/token_command.h"
#include "relay/options/suggest.h"
#include "relay/wire/publish_script.h"

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
         "is none or if it is `-`. Empty standard input is refused, unless `-` asks for it; "
         "`--empty` "
         "publishes an event with empty data. A word alone that is nearly a command is asked "
         "about: "
         "`-t` makes it a topic. With `--lines` and `--ndjson` it publishes one event for each "
         "line of "
         "the files, or of standard input.\n\n"
         "An event is durable unless `--live` is given: it is stored in its topic's log before "
         "Redis "
         "answers and has an id, so that a client that was away gets it when it comes back.",
     .examples = {{"sse-publish news 'It works'", "an event; prints its id"},
                  {"date | sse-publish news --event tick", "data from a pipe"},
                  {"tail -f app.log | sse-publish --lines log", "an event for each line"},
                  {"sse-publish -t eu -t us 'to both'", "an event in each topic"},
                  {"sse-publish --key order-42 orders paid", "once, however often it is sent"},
                  {"sse-publish --ndjson --rate 5k/s events.ndjson", "a file, at a pace"},
                  {"sse-publish -- clock tick", "a topic with the name of a command"}},
     .examples_common = 2,
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
         "It reconnects by itself, as a browser does, and goes on after the last event it had: "
         "durable events come once and in order. If some are gone it says so, and with `--json` "
         "prints the relay's `relay.reset` too. It ends with `--count`, with a signal, when "
         "standard output is closed, and when the relay answers 204 or refuses. `--timeout` counts "
         "until the first stream; after that it never gives up.",
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
              "An entry that is not an event is reported and skipped, as a relay does; the exit "
              "code is then 1. If a topic has no log, it says so; the exit code is 0.",
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
              "and how long the log is kept unless another one comes. A topic whose log has "
              "expired is listed as long as Redis keeps its last id.\n\n"
              "In PATTERN `*` stands for any text, and everything else for itself. On a terminal "
              "the columns are aligned, and up to 10,000 topics sorted; elsewhere the columns "
              "are separated by tabs, and the topics come in no order.",
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
    {.command = COMMAND_SUBSCRIBERS,
     .name = "subscribers",
     .synopses = {"TOPIC..."},
     .summary = "ask all relays how many subscribers a topic has",
     .prose =
         "Asks every relay on this Redis, and prints for each TOPIC how many streams have it at "
         "this moment, and how many relays answered. Redis itself knows relays only, since each "
         "relay subscribes once, however many clients it has.\n\n"
         "A relay that does not answer within 5 s (or `--timeout`) is not waited for: it is said "
         "how many those are, and the exit code is 1.",
     .examples = {{"sse-publish subscribers orders.42", "streams, and relays that answered"}},
     .words = WORDS_TOPICS,
     .words_min = 1,
     .words_max = SIZE_MAX,
     .run = subscribers_run},
    {.command = COMMAND_RM,
     .name = "rm",
     .synopses = {"TOPIC..."},
     .summary = "delete topics' logs; their readers are told",
     .prose =
         "Deletes the log of each TOPIC, one after the other. Whoever reads it, or returns to it, "
         "is told that events are gone by a `relay.reset` with the reason `trimmed`; clients that "
         "are "
         "connected are told at once. The topic itself goes on: its next event has an id after all "
         "that were given out before.\n\n"
         "Prints how many events each log held. If a topic has no log, it says so; the exit "
         "code is 0. It does not ask for confirmation, and nothing brings the events back.",
     .examples = {{"sse-publish rm orders.42", "what it keeps is gone; readers are told"}},
     .words = WORDS_TOPICS,
     .words_min = 1,
     .words_max = SIZE_MAX,
     .run = remove_run},
    {.command = COMMAND_KICK,
     .name = "kick",
     .synopses = {"--subject TEXT [--for TIME]", "--token JTI [--for TIME]",
                  "--topic TOPIC [--for TIME]", "--list"},
     .summary = "end streams on all relays, and bar whose they were",
     .prose =
         "Ends, at once and on every relay, the streams whose token has this subject or this name, "
         "or that have this topic. Prints how many those were, and how many relays answered. "
         "Without `--for` clients come back as after any end, and relays that were not connected "
         "to Redis at that moment end nothing.\n\n"
         "With `--for` they may not come back before that: a stream is refused with 403, and so is "
         "a publish with such a token; a topic can be read by nobody, and be published to. "
         "This is kept in Redis, at most 10,000 at a time. A relay that was not connected, or "
         "that starts later, learns of it from there.\n\n"
         "A relay that does not answer within 5 s (or `--timeout`) is not waited for: it is said "
         "how many those are, and the exit code is 1; so it is where no relay got it and nothing "
         "is kept.",
     .examples = {{"sse-publish kick --subject alice --for 15m", "all her streams, for 15 minutes"},
                  {"sse-publish kick --topic orders.42", "its readers, who may come back"},
                  {"sse-publish kick --list", "who may not come back now"}},
     .words = WORDS_NONE,
     .run = kick_run},
    {.command = COMMAND_TOKEN,
     .name = "token",
     .synopses = {"--secret-file FILE --subscribe PATTERN...", "--show"},
     .summary = "make an access token for development, or say what one allows",
     .prose = "Prints a token (JWT) that a relay takes which has the same secret "
              "(`--token-secret-file`), or the public half of the same key (`--token-key`). In "
              "production your application makes them. The algorithm is that of the key: HS256, "
              "RS256, ES256 to ES512, EdDSA.\n\n"
              "With `--show` it prints the claims of the token in `SSE_TOKEN`, or on standard "
              "input, and what they allow; with a key, also whether the signature is good. If a "
              "relay would refuse the token, it says why, and the exit code is 1. Nothing is sent "
              "to anybody.",
     .examples = {{"sse-publish token --secret-file secret --subscribe 'news.**'",
                   "valid for an hour"},
                  {"SSE_TOKEN=$(cat token) sse-publish tail news.eu", "used"},
                  {"sse-publish token --show --secret-file secret < token", "looked at"}},
     .words = WORDS_NONE,
     .run = token_run},
    {.command = COMMAND_DOCTOR,
     .name = "doctor",
     .summary = "check Redis, and say what to change",
     .prose = "One line for each check: ok, warn, fail or skip, what was found, and what to do, "
              "with the line of redis.conf. Checks that this user has no right to are skipped. "
              "Nothing is written to Redis: rights are tried with commands that Redis refuses "
              "after it has checked the rights.\n\n"
              "The exit code is 0 if nothing failed, 1 if something did, 3 if there is no "
              "Redis.",
     .examples = {{"sse-publish doctor", "all checks"},
                  {"sse-publish doctor | grep -v ^ok", "what to change"}},
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
          "event; some lines were not published; standard output cannot be written, while what "
          "was sent is published; a relay refused, or did not answer `subscribers` or `kick`; a "
          "check of `doctor` failed, or `history` found an entry that is not an event."},
    {"2", "Wrong arguments, or data that cannot be an event: none, not UTF-8, or more than 1 MiB."},
    {"3", "Redis or the relay cannot be reached, or was lost and did not come back in time."},
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
    struct suggestion suggestion;
    suggest_init(&suggestion, name);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (suggest_try(&suggestion, rows[i].name))
            nearest = &rows[i];
    return nearest;
}

const struct command_row *command_row_of(enum command command) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].command == command)
            return &rows[i];
    return NULL;
}
