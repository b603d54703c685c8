/* A progress bar; see progress.h. */
#include "publisher-cli/publish/progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "publisher-cli/base/terminal.h"
#include "publisher-cli/publish/tally.h"
#include "relay/base/clock.h"

enum { REDRAW_MS = 200, BAR_MIN = 10, BAR_MAX = 40, WIDTH_DEFAULT = 80 };

static void put_clock(struct buf *out, uint64_t s) {
    if (s >= 3600)
        buf_printf(out, "%u:%02u:%02u", (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
                   (unsigned)(s % 60));
    else
        buf_printf(out, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
}

static void put_bar(struct buf *out, double done, int cells) {
    int full = (int)(done * cells);
    buf_putc(out, '[');
    for (int i = 0; i < cells; i++)
        buf_putc(out, i < full ? '#' : '.');
    buf_printf(out, "] %3d %%  ", (int)(done * 100));
}

/* What stands behind the number of events, each with two spaces before it. */
static void put_rate(struct buf *out, double rate) {
    buf_puts(out, "  ");
    tally_put_rate(out, rate);
}

static void put_time(struct buf *out, const struct progress_figures *f, uint64_t elapsed_us) {
    buf_puts(out, "  ");
    if (f->done > 0 && f->done <= 1) {
        buf_puts(out, "ETA ");
        put_clock(out, (uint64_t)((double)elapsed_us / 1e6 * (1 - f->done) / f->done + 0.5));
    } else {
        put_clock(out, elapsed_us / 1000000);
    }
}

static void put_errors(struct buf *out, uint64_t errors) {
    if (errors == 0)
        return;
    buf_puts(out, "  ");
    tally_put_number(out, errors);
    buf_printf(out, " error%s", plural(errors));
}

/* As much of it as fits: first the rate goes, then the time, then the errors, then all of it. */
static void put_figures(struct buf *out, const struct progress_figures *f, double rate,
                        uint64_t elapsed_us, size_t width) {
    enum { RATE = 3, TIME = 2, ERRORS = 1 };
    for (int parts = RATE; parts >= 0; parts--) {
        buf_reset(out);
        tally_put_number(out, f->published);
        buf_printf(out, " event%s", plural(f->published));
        if (parts >= RATE)
            put_rate(out, rate);
        if (parts >= TIME)
            put_time(out, f, elapsed_us);
        if (parts >= ERRORS)
            put_errors(out, f->errors);
        if (out->len <= width)
            return;
    }
    buf_reset(out);
}

void progress_put(struct buf *out, const struct progress_figures *figures, double rate,
                  uint64_t elapsed_us, int width) {
    enum { BESIDE_BAR = 10 }; /* "[] 100 %  " */
    struct buf text = BUF_INIT;
    put_figures(&text, figures, rate, elapsed_us, width > 0 ? (size_t)width : 0);
    int cells = width - BESIDE_BAR - (int)text.len;
    if (figures->done >= 0 && figures->done <= 1 && cells >= BAR_MIN)
        put_bar(out, figures->done, cells < BAR_MAX ? cells : BAR_MAX);
    if (text.len > 0)
        buf_append(out, text.data, text.len);
    buf_fini(&text);
}

/* The last column stays free, since some terminals would begin a new line. */
static int width_of(FILE *file) {
    struct winsize size = {.ws_col = 0};
    if (ioctl(fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return WIDTH_DEFAULT - 1;
    return size.ws_col - 1;
}

static void take_rate(struct progress *p, uint64_t published, uint64_t now_us) {
    double passed_s = (double)(now_us - p->last_us) / 1e6;
    double now = passed_s > 0 ? (double)(published - p->last_published) / passed_s : 0;
    p->rate = p->last_us == p->start_us ? now : p->rate * 0.7 + now * 0.3;
    p->last_us = now_us;
    p->last_published = published;
}

static void on_timer(uv_timer_t *timer) {
    struct progress *p = timer->data;
    struct progress_figures figures = {.done = -1};
    uint64_t now_us = clock_mono_us();
    p->look(p->arg, &figures);
    if (!p->is_started) /* looking ended it */
        return;
    take_rate(p, figures.published, now_us);
    buf_reset(&p->line);
    buf_puts(&p->line, "\r");
    progress_put(&p->line, &figures, p->rate, now_us - p->start_us, width_of(p->err));
    buf_puts(&p->line, "\033[K");
    fwrite(p->line.data, 1, p->line.len, p->err);
    fflush(p->err);
    p->is_shown = true;
}

void progress_start(struct progress *p, uv_loop_t *loop, FILE *err,
                    void (*look)(void *arg, struct progress_figures *figures), void *arg) {
    *p = (struct progress){.err = err, .look = look, .arg = arg};
    const char *term = getenv("TERM");
    if (!terminal_is(err) || term == NULL || strcmp(term, "dumb") == 0)
        return;
    p->is_started = true;
    p->start_us = p->last_us = clock_mono_us();
    uv_timer_init(loop, &p->timer);
    p->timer.data = p;
    uv_timer_start(&p->timer, on_timer, REDRAW_MS, REDRAW_MS);
}

void progress_hide(struct progress *p) {
    if (!p->is_shown)
        return;
    p->is_shown = false;
    fputs("\r\033[K", p->err);
    fflush(p->err);
}

void progress_close(struct progress *p) {
    if (!p->is_started)
        return;
    p->is_started = false;
    progress_hide(p);
    uv_close((uv_handle_t *)&p->timer, NULL);
    buf_fini(&p->line);
}
