/* The sources that go on for ever: a clock and random letters; see source.h. */
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
    uint64_t last_ms; /* the tick that was handed out last; 0: none yet */
    struct rng rng;
    void (*write)(struct source_ticks *s); /* puts the data of that tick into text */
    char text[40];
};

static void on_timer(uv_timer_t *timer);

/* The tick that is now: ticks are the multiples of every_ms since 1970, so that a clock of one
 * second ticks as the second begins. On a grid that began anywhere, it would at times come just
 * before and just behind the second's end, and show one twice and leave out the next. */
static uint64_t tick_now(const struct source_ticks *s) {
    uint64_t now_ms = clock_wall_ms();
    return now_ms - now_ms % s->every_ms;
}

/* Wake for the next tick. The timer may be early by a little; then next() finds the same tick, and
 * the timer is armed once more for the rest. */
static void arm(struct source_ticks *s) {
    uv_update_time(s->timer.loop);
    uv_timer_start(&s->timer, on_timer, s->every_ms - clock_wall_ms() % s->every_ms, 0);
}

static void on_timer(uv_timer_t *timer) {
    struct source_ticks *s = timer->data;
    arm(s);
    s->source.on_wake(s->source.arg);
}

static enum source_state next(struct source *source, struct source_item *item) {
    struct source_ticks *s = (struct source_ticks *)source;
    uint64_t tick_ms = tick_now(s);
    if (tick_ms == s->last_ms)
        return SOURCE_WAIT;
    s->last_ms = tick_ms;
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
    time_t seconds = (time_t)(s->last_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t len = strftime(s->text, sizeof(s->text), "%Y-%m-%dT%H:%M:%S", &utc);
    if (s->every_ms % 1000 == 0)
        snprintf(s->text + len, sizeof(s->text) - len, "Z");
    else
        snprintf(s->text + len, sizeof(s->text) - len, ".%03uZ", (unsigned)(s->last_ms % 1000));
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
    rng_init(&s->rng);
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
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
