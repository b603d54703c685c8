/* The source that holds another back to a rate; see source.h. */
#include <stdlib.h>

#include "publisher-cli/input/pace.h"
#include "publisher-cli/input/source.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"

struct source_paced {
    struct source source;
    struct source *inner;
    struct pace pace;
    bool has_leave; /* one may go, and has not */
    uv_timer_t timer;
};

static void on_timer(uv_timer_t *timer) {
    struct source_paced *s = timer->data;
    s->source.on_wake(s->source.arg);
}

static void on_inner(void *arg) {
    struct source_paced *s = arg;
    s->source.on_wake(s->source.arg);
}

static enum source_state next(struct source *source, struct source_item *item) {
    struct source_paced *s = (struct source_paced *)source;
    s->has_leave = s->has_leave || pace_take(&s->pace, clock_mono_us());
    if (!s->has_leave) {
        uv_timer_start(&s->timer, on_timer, pace_wait_ms(&s->pace), 0);
        return SOURCE_WAIT;
    }
    enum source_state state = source_next(s->inner, item);
    if (state == SOURCE_EVENT)
        s->has_leave = false;
    return state;
}

static double done(const struct source *source) {
    return source_done(((const struct source_paced *)source)->inner);
}

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void end(struct source *source) {
    struct source_paced *s = (struct source_paced *)source;
    source_close(&s->inner);
    uv_close((uv_handle_t *)&s->timer, on_closed);
}

struct source *source_paced_new(uv_loop_t *loop, struct source *inner, double rate) {
    static const struct source_type type = {.next = next, .done = done, .close = end};
    struct source_paced *s = mem_zalloc(sizeof(*s));
    s->source = (struct source){.type = &type, .on_wake = inner->on_wake, .arg = inner->arg};
    s->inner = inner;
    inner->on_wake = on_inner;
    inner->arg = s;
    pace_init(&s->pace, rate, clock_mono_us());
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    return &s->source;
}
