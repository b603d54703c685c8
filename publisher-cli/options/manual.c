/* The manual page of sse-publish, from the tables; see generate.h. */
#include <ctype.h>
#include <string.h>

#include "publisher-cli/options/generate.h"
#include "publisher-cli/options/table.h"
#include "relay/options/roff.h"

static const char program[] = "sse-publish";

static void put_synopses(const struct command_row *row, struct buf *out) {
    struct buf line = BUF_INIT;
    for (size_t i = 0; i == 0 || (i < SYNOPSES_MAX && row->synopses[i] != NULL); i++) {
        buf_reset(&line);
        if (row->command != COMMAND_PUBLISH)
            buf_printf(&line, "`%s` ", row->name);
        buf_puts(&line, "[OPTION]...");
        if (row->synopses[i] != NULL)
            buf_printf(&line, " %s", row->synopses[i]);
        if (i > 0 || row->command != COMMAND_PUBLISH)
            buf_puts(out, ".br\n");
        roff_put_synopsis(out, program, line.data);
    }
    buf_fini(&line);
}

static void put_all_synopses(struct buf *out) {
    size_t len;
    const struct command_row *rows = command_rows(&len);
    for (size_t i = 0; i < len; i++)
        put_synopses(&rows[i], out);
}

static void put_commands(struct buf *out) {
    size_t len;
    const struct command_row *rows = command_rows(&len);
    struct buf term = BUF_INIT;
    for (size_t i = 0; i < len; i++) {
        buf_reset(&term);
        buf_printf(&term, "`%s`", rows[i].name);
        roff_put_entry(out, term.data);
        roff_put_text(out, rows[i].prose);
    }
    buf_fini(&term);
}

/* The names of the commands that take @row, where it is not all of those that do something. */
static void put_takers(const struct option_row *row, struct buf *out) {
    size_t len, count = 0, told = 0;
    const struct command_row *rows = command_rows(&len);
    for (size_t i = 0; i < len; i++)
        count += option_row_is_taken(row, rows[i].command);
    if (count >= len - 1)
        return;
    buf_puts(out, " For");
    for (size_t i = 0; i < len; i++) {
        if (!option_row_is_taken(row, rows[i].command))
            continue;
        told++;
        buf_printf(out, "%s `%s`", told == 1 ? "" : told == count ? " and" : ",", rows[i].name);
    }
    buf_putc(out, '.');
}

/* A line of a list as a sentence. */
static void put_sentence(const char *line, struct buf *out) {
    size_t len = strlen(line);
    buf_putc(out, (char)toupper((unsigned char)line[0]));
    buf_printf(out, "%s%s", line + 1, line[len - 1] == '.' ? "" : ".");
}

static void put_option(const struct option_row *row, struct buf *out) {
    struct buf term = BUF_INIT, text = BUF_INIT;
    if (row->letter != 0)
        buf_printf(&term, "-%c, ", row->letter);
    option_row_put_name(row, &term);
    roff_put_entry(out, term.data);
    put_sentence(row->help, &text);
    if (row->more != NULL)
        buf_printf(&text, " %s", row->more);
    if (row->allowed != NULL)
        buf_printf(&text, " Allowed: %s.", row->allowed);
    if (row->env != NULL)
        buf_printf(&text, " Where it is not given, `%s` in the environment says it.", row->env);
    if (row->fallback != NULL)
        buf_printf(&text, " Default: `%s`.", row->fallback);
    put_takers(row, &text);
    roff_put_text(out, text.data);
    buf_fini(&term);
    buf_fini(&text);
}

static void put_options(struct buf *out) {
    size_t len;
    const struct option_row *rows = option_rows(&len);
    const char *group = NULL;
    for (size_t i = 0; i < len; i++) {
        group = rows[i].group != NULL ? rows[i].group : group;
        if (!option_row_exists(&rows[i]))
            continue;
        if (group != NULL)
            roff_put_subsection(out, group);
        group = NULL;
        put_option(&rows[i], out);
    }
}

static void put_environment(struct buf *out) {
    size_t len;
    const struct option_row *rows = option_rows(&len);
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < len; i++) {
        if (rows[i].env == NULL || !option_row_exists(&rows[i]))
            continue;
        buf_reset(&text);
        buf_printf(&text, "`%s`", rows[i].env);
        roff_put_entry(out, text.data);
        buf_reset(&text);
        buf_printf(&text, "As `--%s`, which wins.", rows[i].name);
        roff_put_text(out, text.data);
    }
    roff_put_entry(out, "`NO_COLOR`");
    roff_put_text(out, "Where it is set and not empty, nothing is coloured. Colours are for "
                       "terminals alone, and not for one whose `TERM` is `dumb`.");
    buf_fini(&text);
}

static void put_exit_codes(struct buf *out) {
    for (const struct exit_row *row = exit_rows(); row->code != NULL; row++) {
        struct buf term = BUF_INIT;
        buf_printf(&term, "`%s`", row->code);
        roff_put_entry(out, term.data);
        roff_put_text(out, row->meaning);
        buf_fini(&term);
    }
}

static void put_examples(struct buf *out) {
    size_t len;
    const struct command_row *rows = command_rows(&len);
    bool is_first = true;
    for (size_t i = 0; i < len; i++)
        for (size_t k = 0; k < EXAMPLES_MAX && rows[i].examples[k].line != NULL; k++) {
            struct buf text = BUF_INIT;
            const char *meaning = rows[i].examples[k].meaning;
            buf_printf(&text, "%s:", meaning);
            if (!is_first)
                roff_put_paragraph(out);
            is_first = false;
            roff_put_text(out, text.data);
            roff_put_example(out, rows[i].examples[k].line);
            buf_fini(&text);
        }
}

void manual_put(struct buf *out) {
    roff_put_head(out, program, 1, SSE_DATE, SSE_VERSION);
    roff_put_section(out, "NAME");
    buf_puts(out, "sse\\-publish \\- publish events through Redis to the clients of every relay\n");
    roff_put_section(out, "SYNOPSIS");
    put_all_synopses(out);
    roff_put_section(out, "DESCRIPTION");
    roff_put_text(
        out,
        "`sse-publish` publishes events. It writes into Redis itself and needs no relay; every "
        "`sse-relay` on that Redis streams what it publishes to browsers and services, as "
        "Server-Sent Events.\n\n"
        "Ids go to standard output, one a line, and everything else to standard error. Options may "
        "stand anywhere, as `--name VALUE` or `--name=VALUE`, `-t TOPIC` or `-tTOPIC`; what comes "
        "after `--` is neither an option nor a command. TIME is a number "
        "with its unit: `ms`, `s`, `m`, `h` or `d`.");
    roff_put_section(out, "COMMANDS");
    put_commands(out);
    roff_put_section(out, "OPTIONS");
    put_options(out);
    roff_put_section(out, "ENVIRONMENT");
    put_environment(out);
    roff_put_section(out, "EXIT STATUS");
    put_exit_codes(out);
    roff_put_section(out, "EXAMPLES");
    put_examples(out);
    roff_put_section(out, "SEE ALSO");
    buf_puts(out, "\\fBsse\\-relay\\fP(8), \\fBcurl\\fP(1), \\fBredis\\-cli\\fP(1)\n");
}
