/* The manual page of sse-relay and its completions, from the table; see table.h. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "relay/config/option_table.h"
#include "relay/options/completion.h"
#include "relay/options/roff.h"

static const char program[] = "sse-relay";

/* ---- the manual ---- */

static void put_term(const struct option *o, struct buf *term) {
    option_put_name(o, FROM_COMMAND_LINE, term);
    if (o->argument != NULL)
        buf_printf(term, " %s", o->argument);
    if (o->kind != OPTION_BOOL)
        return;
    buf_puts(term, ", ");
    buf_printf(term, "--no-%s", o->name);
}

static void put_option(const struct option *o, struct buf *out) {
    struct buf term = BUF_INIT, text = BUF_INIT, fallback = BUF_INIT;
    put_term(o, &term);
    roff_put_entry(out, term.data);
    buf_printf(&text, "%s.", o->help);
    if (text.data[0] >= 'a' && text.data[0] <= 'z')
        text.data[0] = (char)(text.data[0] - 'a' + 'A');
    if (o->argument != NULL) {
        buf_puts(&text, " Allowed: ");
        option_put_allowed(o, &text);
        buf_putc(&text, '.');
    }
    if (option_put_default(o, &fallback))
        buf_printf(&text, " Default: `%s`.", fallback.data);
    roff_put_text(out, text.data);
    buf_fini(&term);
    buf_fini(&text);
    buf_fini(&fallback);
}

static void put_options(struct buf *out) {
    size_t len;
    const struct option *table = option_table(&len);
    for (const struct option *o = table; o < table + len; o++) {
        if (o->group != NULL)
            roff_put_subsection(out, o->group);
        put_option(o, out);
    }
}

static void put_description(struct buf *out) {
    roff_put_section(out, "DESCRIPTION");
    roff_put_text(
        out,
        "`sse-relay` streams what is published in Redis to browsers and services, as Server-Sent "
        "Events. Any number of relays on one Redis deliver the same events, and a client may "
        "reconnect to any of them: it gets what it missed from the topic's log, and is told where "
        "something is gone for good.\n\n"
        "`GET /sse?topics=a,b` is the stream, `POST /sse?topic=a` publishes, `/healthz`, "
        "`/readyz` and `/metrics` are for operators, and `/` is a console.");
}

static void put_sources(struct buf *out) {
    roff_put_section(out, "ENVIRONMENT AND FILE");
    roff_put_text(
        out,
        "Each option is an environment variable too, and a member of the JSON file that `--config` "
        "or `SSE_RELAY_CONFIG` names: `--max-age 1h` is `SSE_RELAY_MAX_AGE=1h` and `{\"max_age\": "
        "\"1h\"}`. The command line wins, then the environment. A repeatable option takes several "
        "values separated by commas, and in the file an array. A name that does not exist ends the "
        "relay with exit code 2, in the environment too where it begins with `SSE_RELAY_`.\n\n"
        "TIME is a number with `ms`, `s`, `m`, `h` or `d`; SIZE one with `KiB`, `MiB`, `GiB` or "
        "nothing, for bytes. Arguments show in the list of processes: a password belongs into the "
        "environment or the file.");
}

static void put_entry(struct buf *out, const char *term, const char *text) {
    roff_put_entry(out, term);
    roff_put_text(out, text);
}

static void put_codes_and_signals(struct buf *out) {
    roff_put_section(out, "EXIT STATUS");
    put_entry(
        out, "`0`",
        "A signal ended it, and its streams were drained; or the relay that was asked is well.");
    put_entry(
        out, "`1`",
        "It could not start, or was told twice to end; or the relay that was asked is not well.");
    put_entry(out, "`2`", "Wrong options.");
    roff_put_section(out, "SIGNALS");
    put_entry(out, "`SIGTERM`, `SIGINT`",
              "Readiness fails, and after `--drain-grace` the streams are closed, spread over "
              "`--drain`. A second one ends it at once. `SIGQUIT` does the same.");
    put_entry(out, "`SIGHUP`",
              "It reads its options again and takes over `--log-level`, and reads the keys of "
              "tokens again; the log names the others that have changed, which need a restart. "
              "Options that cannot be used change "
              "nothing, and a file that is a pipe is not read again. Started on a terminal, it "
              "drains and ends when that is closed, unless "
              "`nohup` started it.");
    put_entry(out, "Others",
              "`SIGXCPU` and `SIGPWR` drain and end it. All others do nothing, but for `SIGKILL` "
              "and those of a crash, such as `SIGABRT`.");
    roff_put_section(out, "SERVICE MANAGER");
    roff_put_text(
        out, "Where `NOTIFY_SOCKET` is set, it tells `READY=1` once it listens, `RELOADING=1` and "
             "`STOPPING=1`, as sd_notify(3) describes, and asks for as much time as the drain may "
             "take. Where `JOURNAL_STREAM` names its standard error, each line begins with its "
             "priority.");
}

static void put_examples(struct buf *out) {
    roff_put_section(out, "EXAMPLES");
    roff_put_text(out, "To try it, with a Redis of its own and two publishers:");
    roff_put_example(out, "sse-relay --embedded-redis --demo --allow-anonymous-publish");
    roff_put_paragraph(out);
    roff_put_text(out, "Two relays on one Redis, and a client of one of them:");
    roff_put_example(out, "sse-relay --redis redis://127.0.0.1:6379 --listen 127.0.0.1:8081\n"
                          "sse-relay --redis redis://127.0.0.1:6379 --listen 127.0.0.1:8082\n"
                          "curl -N 'http://127.0.0.1:8081/sse?topics=time,letters'");
}

void config_put_manual(struct buf *out) {
    roff_put_head(out, program, 8, SSE_DATE, SSE_VERSION);
    roff_put_section(out, "NAME");
    buf_puts(out, "sse\\-relay \\- stream what is published in Redis as Server\\-Sent Events\n");
    roff_put_section(out, "SYNOPSIS");
    roff_put_synopsis(out, program, "[OPTION]...");
    put_description(out);
    roff_put_section(out, "OPTIONS");
    put_options(out);
    put_sources(out);
    put_codes_and_signals(out);
    put_examples(out);
    roff_put_section(out, "SEE ALSO");
    buf_puts(out, "\\fBsse\\-publish\\fP(1), \\fBredis\\-server\\fP(1)\n");
}

/* ---- completions ---- */

static struct completion_option *make_options(size_t *len) {
    const struct option *table = option_table(len);
    struct completion_option *options = mem_zalloc(*len * sizeof(*options));
    for (size_t i = 0; i < *len; i++)
        options[i] = (struct completion_option){
            .name = table[i].name,
            .value = table[i].argument,
            .help = table[i].help,
            .choices = table[i].choices,
            .is_file = table[i].argument != NULL && table[i].choices == NULL &&
                       strcmp(table[i].argument, "FILE") == 0,
            .commands = 1,
        };
    return options;
}

void config_put_generated(enum generated what, struct buf *out) {
    struct completion_program p = {.name = program, .how = "sse-relay --generate"};
    struct completion_option *options = make_options(&p.options_count);
    p.options = options;
    if (what == GENERATE_MARKDOWN)
        config_put_reference(out);
    else if (!completion_put_generated(out, what, &p))
        config_put_manual(out);
    free(options);
}
