/* Counters that one thread writes and any thread may read: the metrics behind /metrics.
 *
 * One writer per metric, so an increment is a plain load and store (relaxed), never a locked
 * instruction. Readers see a recent value. */
#ifndef RELAY_BASE_METRIC_H
#define RELAY_BASE_METRIC_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t metric;

static inline uint64_t metric_get(const metric *f) {
    return atomic_load_explicit((metric *)f, memory_order_relaxed);
}

static inline void metric_set(metric *f, uint64_t value) {
    atomic_store_explicit(f, value, memory_order_relaxed);
}

static inline void metric_add(metric *f, uint64_t n) {
    metric_set(f, metric_get(f) + n);
}

static inline void metric_sub(metric *f, uint64_t n) {
    metric_set(f, metric_get(f) - n);
}

/* A histogram of durations with bounds of 2^k microseconds, k from 4 (16 us) to 23 (8.4 s); the
 * last bucket holds everything above. */
enum { METRIC_BUCKETS = 21, METRIC_FIRST_SHIFT = 4 };

struct metric_histogram {
    metric buckets[METRIC_BUCKETS]; /* not cumulative */
    metric sum_us;
};

static inline void metric_observe(struct metric_histogram *h, uint64_t us) {
    unsigned k = 0;
    while (k < METRIC_BUCKETS - 1 && us > (UINT64_C(1) << (k + METRIC_FIRST_SHIFT)))
        k++;
    metric_add(&h->buckets[k], 1);
    metric_add(&h->sum_us, us);
}

#endif
