/* Completions from the tables, and which file is asked for; see generate.h. */
#include "publisher-cli/options/generate.h"

#include <stdlib.h>

#include "publisher-cli/options/table.h"
#include "relay/base/mem.h"
#include "relay/options/completion.h"

static enum completion_words words_of(const struct command_row *row) {
    return row->words == WORDS_FILES     ? COMPLETION_FILES
           : row->words == WORDS_COMMAND ? COMPLETION_COMMANDS
                                         : COMPLETION_NOTHING;
}

static struct completion_command *make_commands(size_t *len) {
    const struct command_row *rows = command_rows(len);
    struct completion_command *commands = mem_zalloc(*len * sizeof(*commands));
    for (size_t i = 0; i < *len; i++)
        commands[i] = (struct completion_command){
            .name = rows[i].name, .help = rows[i].summary, .words = words_of(&rows[i])};
    return commands;
}

static unsigned commands_of(const struct option_row *row) {
    size_t len;
    const struct command_row *rows = command_rows(&len);
    unsigned bits = 0;
    for (unsigned i = 0; i < len; i++)
        bits |= option_row_is_taken(row, rows[i].command) ? 1U << i : 0;
    return bits;
}

static struct completion_option *make_options(size_t *len) {
    size_t rows_len;
    const struct option_row *rows = option_rows(&rows_len);
    struct completion_option *options = mem_zalloc(rows_len * sizeof(*options));
    *len = 0;
    for (size_t i = 0; i < rows_len; i++)
        if (option_row_exists(&rows[i]))
            options[(*len)++] = (struct completion_option){
                .name = rows[i].name,
                .letter = rows[i].letter,
                .value = rows[i].value,
                .help = rows[i].help,
                .choices = rows[i].choices,
                .brings_files = rows[i].kind == OPTION_INPUT,
                .commands = commands_of(&rows[i]),
            };
    return options;
}

void generate_put(enum generated what, struct buf *out) {
    struct completion_program p = {.name = "sse-publish", .how = "sse-publish --generate"};
    struct completion_command *commands = make_commands(&p.commands_count);
    struct completion_option *options = make_options(&p.options_count);
    p.commands = commands;
    p.options = options;
    if (!completion_put_generated(out, what, &p))
        manual_put(out);
    free(commands);
    free(options);
}
