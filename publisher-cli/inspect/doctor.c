/* The command `doctor`; see doctor.h. */
#include "publisher-cli/inspect/doctor.h"

#include <string.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/terminal.h"
#include "publisher-cli/inspect/ask.h"
#include "publisher-cli/inspect/doctor_checks.h"
#include "relay/base/err.h"

struct doctor {
    struct ask ask;
    FILE *out;
    bool is_json, has_colours;
    unsigned counts[LEVELS];
    struct buf line;
};

static const struct {
    const char *name;
    enum colour colour;
} levels[LEVELS] = {[LEVEL_OK] = {"ok", COLOUR_GREEN},
                    [LEVEL_WARN] = {"warn", COLOUR_YELLOW},
                    [LEVEL_FAIL] = {"fail", COLOUR_RED},
                    [LEVEL_SKIP] = {"skip", COLOUR_DIM}};

static void put_text(struct doctor *d, const struct finding *f) {
    bool has_colours = d->has_colours;
    buf_printf(&d->line, "%s%-4s%s  %s%s:%s %s",
               terminal_colour(has_colours, levels[f->level].colour), levels[f->level].name,
               terminal_colour(has_colours, COLOUR_NONE), terminal_colour(has_colours, COLOUR_BOLD),
               f->check, terminal_colour(has_colours, COLOUR_NONE), f->text);
    if (f->advice != NULL)
        buf_printf(&d->line, "; %s", f->advice);
    buf_putc(&d->line, '\n');
}

static void put_member(struct buf *line, const char *name, const char *value) {
    buf_puts(line, name);
    if (value != NULL)
        buf_put_json(line, value, strlen(value));
    else
        buf_puts(line, "null");
}

static void put_json(struct doctor *d, const struct finding *f) {
    put_member(&d->line, "{\"check\":", f->check);
    put_member(&d->line, ",\"status\":", levels[f->level].name);
    put_member(&d->line, ",\"finding\":", f->text);
    put_member(&d->line, ",\"advice\":", f->advice);
    buf_puts(&d->line, "}\n");
}

static void on_finding(void *arg, const struct finding *finding) {
    struct doctor *d = arg;
    d->counts[finding->level]++;
    buf_reset(&d->line);
    if (d->is_json)
        put_json(d, finding);
    else
        put_text(d, finding);
    ask_print(&d->ask, d->out, &d->line);
}

/* There is no Redis to be looked at, which is a finding as well. */
static int say_unreachable(struct doctor *d) {
    struct buf why = BUF_INIT;
    int code = ask_explain(&d->ask, &why);
    if (why.len > 0)
        on_finding(d,
                   &(struct finding){.level = LEVEL_FAIL, .check = "connection", .text = why.data});
    buf_fini(&why);
    return code;
}

static int look(struct doctor *d, const struct options *o, uv_loop_t *loop) {
    struct facts facts = {.prefix = o->prefix};
    int status = ask_open(&d->ask, o, loop);
    if (status == RELAY_OK)
        status = facts_collect(&facts, &d->ask, o);
    int code = EXIT_DONE;
    if (status == RELAY_OK)
        checks_run(&facts, on_finding, d);
    else
        code = say_unreachable(d);
    facts_fini(&facts);
    if (code == EXIT_DONE && d->counts[LEVEL_FAIL] > 0)
        code = EXIT_REFUSED;
    return code;
}

int doctor_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    struct doctor d = {.out = out};
    d.is_json = o->output == OUTPUT_JSON;
    d.has_colours = terminal_has_colours(out);
    int code = look(&d, o, loop);
    if (ask_flush(&d.ask, out) == RELAY_EIO && !d.ask.is_unheard)
        code = ask_complain(&d.ask, err);
    complain(err, "%u ok, %u to look at, %u failed, %u not checked; nothing was written to Redis",
             d.counts[LEVEL_OK], d.counts[LEVEL_WARN], d.counts[LEVEL_FAIL], d.counts[LEVEL_SKIP]);
    ask_close(&d.ask);
    buf_fini(&d.line);
    return code;
}
