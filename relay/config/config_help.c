/* The help and the reference page, made from the table; see table.h. */
#include <stdio.h>
#include <string.h>

#include "relay/config/option_table.h"

enum { HELP_COLUMN = 30 };

/* NULL where there is none; what a default of 0 means, where it is special. */
static const char *shown_default(const struct option *o) {
    if (o->fallback != NULL && o->zero_means != NULL && strcmp(o->fallback, "0") == 0)
        return o->zero_means;
    return o->fallback;
}

bool option_put_default(const struct option *o, struct buf *out) {
    if (o->fallback == NULL || o->kind == OPTION_BOOL)
        return false;
    buf_puts(out, shown_default(o));
    return true;
}

static void put_help_line(const struct option *o, struct buf *out) {
    size_t start = out->len;
    buf_puts(out, "  ");
    option_put_name(o, FROM_COMMAND_LINE, out);
    if (o->argument != NULL)
        buf_printf(out, " %s", o->argument);
    size_t used = out->len - start;
    buf_printf(out, "%*s%s", used < HELP_COLUMN ? (int)(HELP_COLUMN - used) : 1, "", o->help);
    struct buf fallback = BUF_INIT;
    if (option_put_default(o, &fallback))
        buf_printf(out, " (%s)", fallback.data);
    buf_putc(out, '\n');
    buf_fini(&fallback);
}

void config_put_help(struct buf *out) {
    size_t len;
    const struct option *table = option_table(&len);
    buf_puts(out, "Usage: sse-relay [OPTION]...\n"
                  "Streams what is published in Redis to browsers, as Server-Sent Events.\n");
    for (const struct option *o = table; o < table + len; o++) {
        if (o->group != NULL)
            buf_printf(out, "\n%s\n", o->group);
        put_help_line(o, out);
    }
    buf_puts(
        out,
        "\nValues: --name VALUE or --name=VALUE; --name, --no-name for what takes none. TIME is\n"
        "a number with ms, s, m, h or d; SIZE one with KiB, MiB, GiB or nothing (bytes).\n"
        "Each option is an environment variable too (" CONFIG_ENV_PREFIX
        "MAX_AGE=1h) and a member of\n"
        "the file ({\"max_age\": \"1h\"}); the command line wins, then the environment.\n");
}

static void put_cell(const char *text, struct buf *out) {
    buf_putc(out, ' ');
    for (const char *c = text; *c != '\0'; c++)
        buf_printf(out, "%s%c", *c == '|' ? "\\" : "", *c);
    buf_puts(out, *text == '\0' ? "|" : " |");
}

static void put_reference_row(const struct option *o, struct buf *out) {
    struct buf allowed = BUF_INIT;
    if (o->kind != OPTION_ACTION || o->choices != NULL)
        option_put_allowed(o, &allowed);
    buf_puts(out, "| `");
    option_put_name(o, FROM_COMMAND_LINE, out);
    if (o->argument != NULL)
        buf_printf(out, " %s", o->argument);
    buf_puts(out, "` |");
    if (shown_default(o) != o->fallback)
        buf_printf(out, " %s (`%s`)", shown_default(o), o->fallback);
    else if (o->fallback != NULL)
        buf_printf(out, " `%s`", o->fallback);
    buf_puts(out, " |");
    put_cell(allowed.len > 0 ? allowed.data : "", out);
    put_cell(o->help, out);
    buf_putc(out, '\n');
    buf_fini(&allowed);
}

static const char reference_head[] =
    "# Options of sse-relay\n"
    "\n"
    "Written by `make docs` from the table in `relay/config/option_table.c`; a test fails where "
    "they "
    "differ.\n"
    "\n"
    "An option is read from the command line, else from the environment, else from a JSON file:\n"
    "\n"
    "| where | how |\n"
    "|---|---|\n"
    "| command line | `--max-age 1h` or `--max-age=1h`; `--demo`, `--no-demo` or `--demo=false` |\n"
    "| environment | `SSE_RELAY_MAX_AGE=1h`; an empty variable counts as not set |\n"
    "| file | `{\"max_age\": \"1h\", \"demo\": true}`, named by `--config` or `SSE_RELAY_CONFIG` "
    "|\n"
    "\n"
    "- TIME is a whole number with `ms`, `s`, `m`, `h` or `d`; SIZE one with `KiB`, `MiB`, `GiB`, "
    "or\n"
    "  nothing for bytes. `0` needs no unit.\n"
    "- A repeatable option takes several values separated by commas, too, and in a file an array. "
    "The\n"
    "  values of one source replace those of a lower one. On the command line, the last of "
    "several\n"
    "  values of any other option counts.\n"
    "- A name that does not exist, or a value that is not allowed, ends the relay with exit code 2 "
    "and\n"
    "  one sentence, also where a higher source gives another value. So does a variable that "
    "begins\n"
    "  with `SSE_RELAY_` and is no option; the variables that Kubernetes sets for a service "
    "called\n"
    "  `sse-relay` are let pass.\n"
    "- Passwords in `--redis` are shown nowhere. To keep one out of the list of processes, give it "
    "in\n"
    "  the environment or in the file.\n";

void config_put_reference(struct buf *out) {
    size_t len;
    const struct option *table = option_table(&len);
    buf_puts(out, reference_head);
    for (const struct option *o = table; o < table + len; o++) {
        if (o->group != NULL)
            buf_printf(out,
                       "\n## %s\n\n| option | default | allowed | meaning |\n|---|---|---|---|\n",
                       o->group);
        put_reference_row(o, out);
    }
}
