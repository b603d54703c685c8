/* What --help prints; see help.h. */
#include "publisher-cli/help.h"

#include <string.h>

#include "publisher-cli/table.h"

enum { OPTION_COLUMN = 24, COMMAND_COLUMN = 10 };

static void put_option(const struct option_row *option, struct buf *out) {
    size_t start = out->len;
    if (option->letter != 0)
        buf_printf(out, "  -%c, ", option->letter);
    else
        buf_puts(out, "      ");
    buf_printf(out, "--%s%s%s", option->name, option->value != NULL ? " " : "",
               option->value != NULL ? option->value : "");
    size_t used = out->len - start;
    buf_printf(out, "%*s%s", used < OPTION_COLUMN ? (int)(OPTION_COLUMN - used) : 1, "",
               option->help);
    if (option->fallback != NULL)
        buf_printf(out, " (%s)", option->fallback);
    buf_putc(out, '\n');
}

static void put_options(enum command command, struct buf *out) {
    size_t len;
    const struct option_row *rows = option_rows(&len);
    const char *group = NULL;
    for (size_t i = 0; i < len; i++) {
        group = rows[i].group != NULL ? rows[i].group : group;
        if (!option_row_is_taken(&rows[i], command))
            continue;
        if (group != NULL)
            buf_printf(out, "\n%s\n", group);
        group = NULL;
        put_option(&rows[i], out);
    }
}

static void put_synopses(const struct command_row *row, struct buf *out) {
    bool is_named = row->command != COMMAND_PUBLISH;
    for (size_t i = 0; i < SYNOPSES_MAX && row->synopses[i] != NULL; i++)
        buf_printf(out, "%s sse-publish %s%s[OPTION]... %s\n", i == 0 ? "Usage:" : "      ",
                   is_named ? row->name : "", is_named ? " " : "", row->synopses[i]);
}

static void put_overview(struct buf *out) {
    size_t len;
    const struct command_row *rows = command_rows(&len);
    put_synopses(command_row_of(COMMAND_PUBLISH), out);
    buf_puts(out, "       sse-publish COMMAND [OPTION]... [ARGUMENT]...\n"
                  "Publishes events through Redis to every client of every relay.\n\nCommands\n");
    for (size_t i = 0; i < len; i++)
        buf_printf(out, "  %-*s%s\n", COMMAND_COLUMN, rows[i].name, rows[i].summary);
    put_options(COMMAND_PUBLISH, out);
}

void help_put(enum command command, struct buf *out) {
    const struct command_row *row = command_row_of(command);
    if (command == COMMAND_HELP) {
        put_overview(out);
        return;
    }
    put_synopses(row, out);
    put_options(command, out);
}
