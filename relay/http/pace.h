/* So many things a second, and so many at once: a token bucket in one number, which is when the
 * bucket will be full again.
 *
 * A full bucket is a time that is over, so nothing has to fill it, and whoever keeps many of them
 * may forget those. Pure; any thread. */
#ifndef RELAY_HTTP_PACE_H
#define RELAY_HTTP_PACE_H

#include <stdint.h>

struct pace {
    uint64_t interval_ns; /* in which one thing comes back */
    uint64_t burst_ns;    /* the time that a whole bucket takes to fill */
};

/* @per_second from 1 to 1e9, @burst from 1 to 1e6. */
static inline struct pace pace_of(unsigned per_second, unsigned burst) {
    uint64_t interval_ns = UINT64_C(1000000000) / per_second;
    return (struct pace){.interval_ns = interval_ns, .burst_ns = interval_ns * burst};
}

/* Take one out of the bucket *@full_ns (0 is full) at @now_ns. Returns 0, or how long it takes
 * until there is one: none was taken then. */
static inline uint64_t pace_take(const struct pace *p, uint64_t *full_ns, uint64_t now_ns) {
    uint64_t full = (*full_ns > now_ns ? *full_ns : now_ns) + p->interval_ns;
    if (full > now_ns + p->burst_ns)
        return full - now_ns - p->burst_ns;
    *full_ns = full;
    return 0;
}

#endif
