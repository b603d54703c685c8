/* The sources that go on for ever: a clock and random letters; see source.h. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "publisher-cli/input/source.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"

struct source_ticks {
    struct source source;
    uv_timer_t timer;
    uint64_t every_ms;
    uint64_t due_ms; /* of the next tick, loop time */
    bool is_due;     /* a tick passed that was not taken */
    struct rng rng;
    void (*write)(struct source_ticks *s); /* puts the next data into text */
    char text[40];
};

static void on_timer(uv_timer_t *timer);

/* Ticks stay on their grid however late one is: those that were missed are left out. */
static void arm(struct source_ticks *s) {
    uint64_t now = uv_now(s->timer.loop);
    if (s->due_ms <= now)
        s->due_ms += ((now - s->due_ms) / s->every_ms + 1) * s->every_ms;
    uv_timer_start(&s->timer, on_timer, s->due_ms - now, 0);
}

static void on_timer(uv_timer_t *timer) {
    struct source_ticks *s = timer->data;
    s->is_due = true;
    arm(s);
    s->source.on_wake(s->source.arg);
}

static enum source_state next(struct source *source, struct source_item *item) {
    struct source_ticks *s = (struct source_ticks *)source;
    if (!s->is_due)
        return SOURCE_WAIT;
    s->is_due = false;
    s->write(s);
    item->given.event.data = s->text;
    item->given.event.data_len = strlen(s->text);
    item->what = "the tick";
    return SOURCE_EVENT;
}

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void end(struct source *source) {
    struct source_ticks *s = (struct source_ticks *)source;
    uv_close((uv_handle_t *)&s->timer, on_closed);
}

static void write_time(struct source_ticks *s) {
    uint64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t len = strftime(s->text, sizeof(s->text), "%Y-%m-%dT%H:%M:%S", &utc);
    if (s->every_ms % 1000 == 0)
        snprintf(s->text + len, sizeof(s->text) - len, "Z");
    else
        snprintf(s->text + len, sizeof(s->text) - len, ".%03uZ", (unsigned)(now_ms % 1000));
}

static void write_letter(struct source_ticks *s) {
    s->text[0] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[rng_below(&s->rng, 26)];
    s->text[1] = '\0';
}

static struct source *ticks_new(uv_loop_t *loop, uint64_t every_ms,
                                void (*write)(struct source_ticks *), void (*on_wake)(void *),
                                void *arg) {
    static const struct source_type type = {.next = next, .close = end};
    struct source_ticks *s = mem_zalloc(sizeof(*s));
    s->source = (struct source){.type = &type, .on_wake = on_wake, .arg = arg};
    s->every_ms = every_ms;
    s->write = write;
    s->is_due = true;
    rng_init(&s->rng);
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    s->due_ms = uv_now(loop);
    arm(s);
    return &s->source;
}

struct source *source_clock_new(uv_loop_t *loop, uint64_t every_ms, void (*on_wake)(void *),
                                void *arg) {
    return ticks_new(loop, every_ms, write_time, on_wake, arg);
}

struct source *source_letters_new(uv_loop_t *loop, uint64_t every_ms, void (*on_wake)(void *),
                                  void *arg) {
    return ticks_new(loop, every_ms, write_letter, on_wake, arg);
}
