/* The table of commands; see table.h. */
#include <string.h>
#include <unistd.h>

#include "publisher-cli/doctor.h"
#include "publisher-cli/history.h"
#include "publisher-cli/publish.h"
#include "publisher-cli/table.h"
#include "publisher-cli/terminal.h"
#include "publisher-cli/topics.h"
#include "relay/wire/publish.h"

enum { ENDLESS_HISTORY = 100, CLOCK_EVERY_MS = 1000, LETTERS_EVERY_MS = 500 };

/* Until these are there, they are refused rather than left out in silence. */
static bool is_ahead(const struct options *o) {
    bool reads_files = o->files_count > 1 || (o->files_count == 1 && strcmp(o->files[0], "-") != 0);
    return reads_files || o->topics_count > 1 || o->input == INPUT_NDJSON || o->rate > 0 ||
           o->count > 0 || o->repeat > 1 || o->resume_from > 0 || o->on_error != ON_ERROR_STOP ||
           o->is_json || o->output != OUTPUT_TEXT;
}

static int run_publish(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    if (is_ahead(o)) {
        complain(err, "several topics, files, --ndjson, --rate, --count, --repeat, --on-error, "
                      "--resume-from, --json and --output are not supported yet");
        return EXIT_USAGE;
    }
    return publish_run(o, loop, STDIN_FILENO, out, err);
}

static const struct command_row rows[] = {
    {.command = COMMAND_PUBLISH,
     .name = "publish",
     .synopses = {"TOPIC [DATA]", "-t TOPIC... [DATA]", "--lines TOPIC [FILE]...",
                  "--ndjson [FILE]..."},
     .summary = "publish an event, or one for each line",
     .words = WORDS_PUBLISH,
     .history = PUBLISH_HISTORY_DEFAULT,
     .run = run_publish},
    {.command = COMMAND_CLOCK,
     .name = "clock",
     .synopses = {"[TOPIC]"},
     .summary = "publish the time (UTC), every second, into \"time\"",
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
     .words = WORDS_TOPICS,
     .words_max = 1,
     .topic = "letters",
     .every_ms = LETTERS_EVERY_MS,
     .history = ENDLESS_HISTORY,
     .run = run_publish},
    {.command = COMMAND_HISTORY,
     .name = "history",
     .synopses = {"TOPIC"},
     .summary = "print what a topic's log in Redis keeps, oldest first",
     .prose = "Prints the data of each event, or with --json an object a line: topic, event, id, "
              "time and "
              "data, which `replay` can publish again. It reads up to where the log ends when it "
              "begins, "
              "and ends there; `tail` goes on.\n\n"
              "Entries that are no events are reported and passed over, as a relay does, and the "
              "exit code "
              "is 1 then. A topic without a log is said to have none, and the exit code is 0.",
     .examples = {{"history orders", "all that is kept"},
                  {"history --last 10 orders", "the last ten"},
                  {"history --since 10m --json orders > orders.ndjson", "to be replayed"}},
     .words = WORDS_TOPICS,
     .words_min = 1,
     .words_max = 1,
     .run = history_run},
    {.command = COMMAND_TOPICS,
     .name = "topics",
     .synopses = {"[PATTERN]"},
     .summary = "list the topics that Redis knows, their logs and last events",
     .prose = "For each topic: how many events its log holds, the id and the age of the last one, "
              "and how "
              "long the log will be kept unless another one comes. A topic whose log is over is "
              "listed as "
              "long as Redis remembers its last id.\n\n"
              "In PATTERN `*` stands for any text, and everything else for itself. On a terminal "
              "the list "
              "is aligned, and sorted up to 10,000 topics; elsewhere there are tabs between the "
              "columns, "
              "and topics come in no order.",
     .examples = {{"topics", "all of them"},
                  {"topics 'orders.*'", "those that begin with orders."},
                  {"topics --json | jq 'select(.age_ms > 3600000)'", "those that are quiet"}},
     .words = WORDS_PATTERN,
     .words_max = 1,
     .run = topics_run},
    {.command = COMMAND_DOCTOR,
     .name = "doctor",
     .synopses = {""},
     .summary = "look at Redis and say what to change",
     .prose =
         "One line for each check: ok, warn, fail or skip, what was found, and what to do, with "
         "the "
         "line of redis.conf. What this user may not ask is skipped. Nothing is written to Redis: "
         "rights are tried with commands that Redis refuses once it has looked at the rights.\n\n"
         "The exit code is 0 when nothing failed, 1 when something did, 3 when there is no Redis.",
     .examples = {{"doctor", "the Redis of REDIS_URL"},
                  {"doctor --redis redis://db:6379 --json | jq 'select(.status != \"ok\")'",
                   "what is to be changed"}},
     .words = WORDS_NONE,
     .run = doctor_run},
    {.command = COMMAND_HELP,
     .name = "help",
     .synopses = {"[COMMAND]"},
     .summary = "say what a command does and which options it takes",
     .words = WORDS_COMMAND},
};

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

const struct command_row *command_row_of(enum command command) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].command == command)
            return &rows[i];
    return NULL;
}
