/* How many events a second: a bucket that fills at the rate and holds little, so that a stall is
 * not made up for by a flood. Pure; the time is passed in. */
#ifndef PUBLISHER_CLI_INPUT_PACE_H
#define PUBLISHER_CLI_INPUT_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    double per_us;
    double tokens; /* events that may go now */
    double most;   /* that it holds: what comes in 50 ms, and one at least */
    uint64_t us;   /* when tokens was right */
};

/* @rate is in events a second, above 0. The first may go at once. */
void pace_init(struct pace *p, double rate, uint64_t now_us);

/* Whether one more may go now; if so, it went. */
bool pace_take(struct pace *p, uint64_t now_us);

/* Milliseconds until one may go, rounded up. */
uint64_t pace_wait_ms(const struct pace *p);

#endif
