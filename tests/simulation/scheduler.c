/* A binary heap of timers; see scheduler.h. */
#include "tests/simulation/scheduler.h"

#include <assert.h>

void dice_init(struct dice *d, uint64_t seed, uint64_t who) {
    d->state = seed ^ who * UINT64_C(0xd1342543de82ef95);
    d->state = dice_next(d);
}

void scheduler_init(struct scheduler *s, uint64_t now_us) {
    s->now_us = now_us;
    s->order = 0;
    s->len = 0;
}

static bool is_before(const struct heap_entry *a, const struct heap_entry *b) {
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void put(struct scheduler *s, uint32_t at, const struct heap_entry *e) {
    s->heap[at] = *e;
    e->timer->place = at;
}

static void sift_up(struct scheduler *s, uint32_t at, struct heap_entry e) {
    while (at > 1 && is_before(&e, &s->heap[at / 2])) {
        put(s, at, &s->heap[at / 2]);
        at /= 2;
    }
    put(s, at, &e);
}

static void sift_down(struct scheduler *s, uint32_t at, struct heap_entry e) {
    for (uint32_t child = 2 * at; child <= s->len; child = 2 * at) {
        if (child < s->len && is_before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!is_before(&s->heap[child], &e))
            break;
        put(s, at, &s->heap[child]);
        at = child;
    }
    put(s, at, &e);
}

static void place(struct scheduler *s, uint32_t at, struct heap_entry e) {
    if (at > 1 && is_before(&e, &s->heap[at / 2]))
        sift_up(s, at, e);
    else
        sift_down(s, at, e);
}

void timer_set(struct scheduler *s, struct timer *t, uint64_t due_us) {
    struct heap_entry e = {due_us < s->now_us ? s->now_us : due_us, ++s->order, t};
    t->due_us = e.due_us;
    if (t->place == 0) {
        assert(s->len < TIMERS_MAX);
        sift_up(s, ++s->len, e);
    } else {
        place(s, t->place, e);
    }
}

void timer_clear(struct scheduler *s, struct timer *t) {
    uint32_t at = t->place;
    if (at == 0)
        return;
    t->place = 0;
    struct heap_entry last = s->heap[s->len--];
    if (last.timer != t)
        place(s, at, last);
}

bool scheduler_step(struct scheduler *s, uint64_t until_us) {
    if (s->len == 0 || s->heap[1].due_us > until_us) {
        s->now_us = until_us;
        return false;
    }
    struct timer *t = s->heap[1].timer;
    s->now_us = s->heap[1].due_us;
    t->place = 0;
    struct heap_entry last = s->heap[s->len--];
    if (s->len > 0)
        sift_down(s, 1, last);
    t->fire(t);
    return true;
}
