/* The table of commands; see table.h. */
#include <string.h>
#include <unistd.h>

#include "publisher-cli/publish.h"
#include "publisher-cli/table.h"
#include "publisher-cli/tail.h"
#include "publisher-cli/terminal.h"
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
    {.command = COMMAND_TAIL,
     .name = "tail",
     .synopses = {"TOPIC..."},
     .summary = "watch the events of a relay, as they come",
     .words = WORDS_TOPICS,
     .words_min = 1,
     .words_max = SIZE_MAX,
     .run = tail_run},
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
