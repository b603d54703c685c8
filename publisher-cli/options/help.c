/* What --help prints; see help.h. */
#include "publisher-cli/options/help.h"

#include <ctype.h>
#include <string.h>

#include "publisher-cli/options/table.h"

enum { WIDTH = 80, OPTION_COLUMN = 28, COMMAND_COLUMN = 16, EXAMPLE_COLUMN = 49 };

/* Fill @text into lines from @column on, where the first has already @used columns. */
static void put_filled(struct buf *out, const char *text, size_t column, size_t used) {
    const char *indent = ""; /* before the first word */
    while (*text != '\0') {
        size_t blanks = strspn(text, " \n");
        bool is_paragraph = memchr(text, '\n', blanks) != NULL;
        text += blanks;
        size_t len = strcspn(text, " \n");
        if (len == 0)
            break;
        if (is_paragraph || (used > column && used + 1 + len > WIDTH)) {
            buf_printf(out, "%s%*s", is_paragraph ? "\n\n" : "\n", (int)column, "");
            used = column;
            indent = "";
        }
        buf_puts(out, indent);
        buf_append(out, text, len);
        used += strlen(indent) + len;
        indent = " ";
        text += len;
    }
    buf_putc(out, '\n');
}

/* @what up to @column, and @text behind it; in a line of its own where @what is too long. */
static void put_entry(struct buf *out, const char *what, size_t column, const char *text) {
    bool has_room = strlen(what) < column;
    buf_puts(out, what);
    buf_printf(out, "%s%*s", has_room ? "" : "\n", (int)(has_room ? column - strlen(what) : column),
               "");
    put_filled(out, text, column, column);
}

/* What holds where the option is not given, of the command in @row. */
static void put_default(const struct option_row *option, const struct command_row *row,
                        struct buf *out) {
    unsigned long long every = row->every_ms, history = row->history;
    if (option->offset == offsetof(struct options, every_ms) && every > 0)
        buf_printf(out, " (%llu%s)", every % 1000 == 0 ? every / 1000 : every,
                   every % 1000 == 0 ? "s" : "ms");
    else if (option->offset == offsetof(struct options, history) && history > 0)
        buf_printf(out, " (%llu)", history);
    else if (option->fallback != NULL)
        buf_printf(out, " (%s)", option->fallback);
}

static void put_option(const struct option_row *option, const struct command_row *row,
                       struct buf *out) {
    struct buf what = BUF_INIT, text = BUF_INIT;
    if (option->letter != 0)
        buf_printf(&what, "  -%c, ", option->letter);
    else
        buf_puts(&what, "      ");
    option_row_put_name(option, &what);
    buf_puts(&text, option->help);
    if (option->env != NULL)
        buf_printf(&text, "; else $%s", option->env);
    put_default(option, row, &text);
    put_entry(out, what.data, OPTION_COLUMN, text.data);
    buf_fini(&what);
    buf_fini(&text);
}

static void put_options(const struct command_row *row, struct buf *out) {
    size_t len;
    const struct option_row *rows = option_rows(&len);
    const char *group = NULL;
    for (size_t i = 0; i < len; i++) {
        group = rows[i].group != NULL ? rows[i].group : group;
        if (!option_row_is_taken(&rows[i], row->command))
            continue;
        if (group != NULL)
            buf_printf(out, "\n%s\n", group);
        group = NULL;
        put_option(&rows[i], row, out);
    }
}

static void put_example(const struct example *example, struct buf *out) {
    struct buf what = BUF_INIT;
    buf_printf(&what, "  %s", example->line);
    put_entry(out, what.data, EXAMPLE_COLUMN, example->meaning);
    buf_fini(&what);
}

static void put_synopses(const struct command_row *row, struct buf *out) {
    const char *name = row->command == COMMAND_PUBLISH ? "" : row->name;
    for (size_t i = 0; i == 0 || (i < SYNOPSES_MAX && row->synopses[i] != NULL); i++)
        buf_printf(out, "%s sse-publish%s%s [OPTION]...%s%s\n", i == 0 ? "Usage:" : "      ",
                   *name == '\0' ? "" : " ", name, row->synopses[i] != NULL ? " " : "",
                   row->synopses[i] != NULL ? row->synopses[i] : "");
}

static void put_common_options(struct buf *out) {
    size_t len;
    const struct option_row *rows = option_rows(&len);
    buf_puts(out, "\nMost used options\n");
    for (size_t i = 0; i < len; i++)
        if (rows[i].is_common)
            put_option(&rows[i], command_row_of(COMMAND_PUBLISH), out);
}

/* What fits a screen. */
static void put_overview(struct buf *out) {
    size_t len;
    const struct command_row *rows = command_rows(&len);
    put_synopses(command_row_of(COMMAND_PUBLISH), out);
    buf_puts(out, "       sse-publish COMMAND [OPTION]... [ARGUMENT]...\n"
                  "Publishes events through Redis to every client of every relay.\n\nCommands\n");
    for (size_t i = 0; i < len; i++)
        buf_printf(out, "  %-*s%s\n", COMMAND_COLUMN - 2, rows[i].name, rows[i].summary);
    put_common_options(out);
    buf_puts(out, "\nExamples\n");
    for (size_t i = 0; i < len; i++)
        for (size_t k = 0; k < rows[i].examples_common; k++)
            put_example(&rows[i].examples[k], out);
    buf_puts(out,
             "\nAll options of a command: sse-publish help COMMAND. Everything: man sse-publish.\n"
             "Exit codes: 0 done, 1 refused, 2 wrong use, 3 not reached, 128+n signal n.\n");
}

void help_put(enum command command, struct buf *out) {
    const struct command_row *row = command_row_of(command);
    if (command == COMMAND_HELP) {
        put_overview(out);
        return;
    }
    put_synopses(row, out);
    buf_putc(out, '\n');
    put_filled(out, row->prose, 0, 0);
    put_options(row, out);
    if (row->examples[0].line != NULL)
        buf_puts(out, "\nExamples\n");
    for (size_t k = 0; k < EXAMPLES_MAX && row->examples[k].line != NULL; k++)
        put_example(&row->examples[k], out);
    buf_puts(out, "\nTIME is a number with its unit: ms, s, m, h or d.\n");
}
