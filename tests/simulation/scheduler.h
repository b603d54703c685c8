/* Simulated time: timers in a heap, and the dice that decide when they are due.
 *
 * Embedded; one thread. Two timers that are due at one moment fire in the order in which they were
 * set, so that a run is the same each time. */
#ifndef TESTS_SIMULATION_SCHEDULER_H
#define TESTS_SIMULATION_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

/* ---- dice ---- */

/* Whatever decides has dice of its own, so that what one part draws changes nothing for another:
 * a tape with an action less runs nearly as the whole one does. */
struct dice {
    uint64_t state;
};

void dice_init(struct dice *d, uint64_t seed, uint64_t who);

static inline uint64_t dice_next(struct dice *d) { /* splitmix64 */
    uint64_t x = d->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* From 0 to @bound - 1. */
static inline uint64_t dice_below(struct dice *d, uint64_t bound) {
    return bound == 0 ? 0 : dice_next(d) % bound;
}

static inline uint64_t dice_between(struct dice *d, uint64_t low, uint64_t high) {
    return low + dice_below(d, high - low + 1);
}

/* Once in @n times; 0: never. */
static inline bool dice_one_in(struct dice *d, uint64_t n) {
    return n > 0 && dice_below(d, n) == 0;
}

/* ---- timers ---- */

struct timer {
    uint64_t due_us;
    void (*fire)(struct timer *t);
    uint32_t place; /* in the heap, from 1; 0: it is not set */
};

enum { TIMERS_MAX = 255 };

struct heap_entry {
    uint64_t due_us, order;
    struct timer *timer;
};

struct scheduler {
    uint64_t now_us;
    uint64_t order;
    uint32_t len;
    struct heap_entry heap[TIMERS_MAX + 1]; /* from 1 */
};

void scheduler_init(struct scheduler *s, uint64_t now_us);

/* Let it fire at @due_us; moves it where it was set. */
void timer_set(struct scheduler *s, struct timer *t, uint64_t due_us);
void timer_clear(struct scheduler *s, struct timer *t);

static inline bool timer_is_set(const struct timer *t) {
    return t->place != 0;
}

/* Fire the next timer that is due by @until_us, at its moment. Returns false where none is; the
 * time is then @until_us. */
bool scheduler_step(struct scheduler *s, uint64_t until_us);

#endif
