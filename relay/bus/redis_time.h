/* What time it is by Redis's clock, which gives the events their times: a node's own may be hours
 * off. The bus thread. */
#ifndef RELAY_BUS_REDIS_TIME_H
#define RELAY_BUS_REDIS_TIME_H

#include <stdbool.h>
#include <stdint.h>

struct bus_node;

/* What is known of it: redis_time.c. */
struct redis_time {
    uint64_t ms;      /* since 1970, when it was read; 0: not known */
    uint64_t read_ms; /* when that was, monotonic */
    bool asked;
};

/* Redis's time in ms since 1970. Returns false while it is not known: it was asked for, once for
 * all who wait, and replays are due when the answer is there. Where Redis refuses to tell (TIME
 * needs a right), it is this node's own time. */
bool redis_time_now(struct bus_node *n, uint64_t *ms);

#endif
