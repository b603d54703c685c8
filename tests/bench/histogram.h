/* Counts of nanoseconds in logarithmic buckets, each 1/64 of a power of two wide, so that a
 * percentile is at most 1.6% off at any magnitude, and noting a value costs a few instructions. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BITS = 6, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS };

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_note(struct histogram *h, uint64_t value);

/* Add everything that @from holds to @to. */
void histogram_merge(struct histogram *to, const struct histogram *from);

/* The value that @fraction (0 to 1) of all values do not exceed; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double fraction);

#endif
