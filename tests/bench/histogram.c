/* Logarithmic buckets; see histogram.h. Values below 64 have a bucket of their own each. */
#include "tests/bench/histogram.h"

#include <stddef.h>

static size_t bucket_of(uint64_t value) {
    if (value >> HISTOGRAM_BITS == 0)
        return (size_t)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
    return ((size_t)(shift + 1) << HISTOGRAM_BITS) +
           (size_t)((value >> shift) - (UINT64_C(1) << HISTOGRAM_BITS));
}

/* The highest value of the bucket. */
static uint64_t bucket_top(size_t bucket) {
    if (bucket >> HISTOGRAM_BITS == 0)
        return bucket;
    unsigned shift = (unsigned)(bucket >> HISTOGRAM_BITS) - 1;
    uint64_t mantissa = (bucket & ((1u << HISTOGRAM_BITS) - 1)) + (UINT64_C(1) << HISTOGRAM_BITS);
    return ((mantissa + 1) << shift) - 1;
}

void histogram_note(struct histogram *h, uint64_t value) {
    h->buckets[bucket_of(value)]++;
    h->count++;
    if (value > h->max)
        h->max = value;
}

void histogram_merge(struct histogram *to, const struct histogram *from) {
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
    to->count += from->count;
    if (from->max > to->max)
        to->max = from->max;
}

uint64_t histogram_quantile(const struct histogram *h, double fraction) {
    uint64_t rank = (uint64_t)(fraction * (double)h->count);
    uint64_t below = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS && h->count > 0; i++) {
        below += h->buckets[i];
        if (below > rank || below == h->count) {
            uint64_t top = bucket_top(i);
            return top < h->max ? top : h->max;
        }
    }
    return 0;
}
