/* The source that gives another's events the timing of their recording; see source.h.
 *
 * Events are due on a line through the first one that had a time. What Redis or the input kept
 * waiting is late, and what follows it is not: the line stays. It begins anew where time goes back,
 * as it does when a recording is repeated. */
#include <stdlib.h>

#include "publisher-cli/input/source.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"

struct source_timed {
    struct source source;
    struct source *inner;
    double speed;
    struct source_item held; /* until it is due */
    bool is_holding;
    bool has_line;
    uint64_t from_ms, last_ms; /* of the recording: where the line begins, and the last event */
    uint64_t start_us;         /* of ours, where the line begins */
    uv_timer_t timer;
};

static void on_timer(uv_timer_t *timer) {
    struct source_timed *s = timer->data;
    s->source.on_wake(s->source.arg);
}

static void on_inner(void *arg) {
    struct source_timed *s = arg;
    s->source.on_wake(s->source.arg);
}

/* Microseconds until what is held is due. */
static uint64_t left_us(const struct source_timed *s, uint64_t now_us) {
    if (!s->held.given.has_time)
        return 0;
    double after_us = (double)(s->held.given.time_ms - s->from_ms) * 1000 / s->speed;
    double passed_us = (double)(now_us - s->start_us);
    return after_us > passed_us ? (uint64_t)(after_us - passed_us) : 0;
}

static void hold(struct source_timed *s, const struct source_item *item, uint64_t now_us) {
    s->held = *item;
    s->is_holding = true;
    if (!item->given.has_time)
        return;
    if (!s->has_line || item->given.time_ms < s->last_ms) {
        s->has_line = true;
        s->from_ms = item->given.time_ms;
        s->start_us = now_us;
    }
    s->last_ms = item->given.time_ms;
}

static enum source_state next(struct source *source, struct source_item *item) {
    enum { LONGEST_MS = 24 * 3600 * 1000 };
    struct source_timed *s = (struct source_timed *)source;
    uint64_t now_us = clock_mono_us();
    if (!s->is_holding) {
        enum source_state state = source_next(s->inner, item);
        if (state != SOURCE_EVENT)
            return state;
        hold(s, item, now_us);
    }
    uint64_t left_ms = (left_us(s, now_us) + 999) / 1000;
    if (left_ms > 0) {
        uv_timer_start(&s->timer, on_timer, left_ms < LONGEST_MS ? left_ms : LONGEST_MS, 0);
        return SOURCE_WAIT;
    }
    s->is_holding = false;
    *item = s->held;
    return SOURCE_EVENT;
}

static double done(const struct source *source) {
    return source_done(((const struct source_timed *)source)->inner);
}

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void end(struct source *source) {
    struct source_timed *s = (struct source_timed *)source;
    source_close(&s->inner);
    uv_close((uv_handle_t *)&s->timer, on_closed);
}

struct source *source_timed_new(uv_loop_t *loop, struct source *inner, double speed) {
    static const struct source_type type = {.next = next, .done = done, .close = end};
    struct source_timed *s = mem_zalloc(sizeof(*s));
    s->source = (struct source){.type = &type, .on_wake = inner->on_wake, .arg = inner->arg};
    s->inner = inner;
    s->speed = speed;
    inner->on_wake = on_inner;
    inner->arg = s;
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    return &s->source;
}
