/* Counters that one thread writes and any thread may read: the figures behind /metrics.
 *
 * One writer per figure, so an increment is a plain load and store (relaxed), never a locked
 * instruction. Readers see a recent value. */
#ifndef RELAY_BASE_FIGURE_H
#define RELAY_BASE_FIGURE_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t figure;

static inline uint64_t figure_get(const figure *f) {
    return atomic_load_explicit((figure *)f, memory_order_relaxed);
}

static inline void figure_set(figure *f, uint64_t value) {
    atomic_store_explicit(f, value, memory_order_relaxed);
}

static inline void figure_add(figure *f, uint64_t n) {
    figure_set(f, figure_get(f) + n);
}

static inline void figure_sub(figure *f, uint64_t n) {
    figure_set(f, figure_get(f) - n);
}

/* A histogram of durations with bounds of 2^k microseconds, k from 4 (16 us) to 23 (8.4 s); the
 * last bucket holds everything above. */
enum { FIGURE_BUCKETS = 21, FIGURE_FIRST_SHIFT = 4 };

struct figure_histogram {
    figure buckets[FIGURE_BUCKETS]; /* not cumulative */
    figure sum_us;
};

static inline void figure_observe(struct figure_histogram *h, uint64_t us) {
    unsigned k = 0;
    while (k < FIGURE_BUCKETS - 1 && us > (UINT64_C(1) << (k + FIGURE_FIRST_SHIFT)))
        k++;
    figure_add(&h->buckets[k], 1);
    figure_add(&h->sum_us, us);
}

#endif
