/* A small random number generator for jitter and sampling. Not for secrets.
 *
 * One per thread; embedded; seeded from the system. */
#ifndef RELAY_BASE_RNG_H
#define RELAY_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state; /* never 0 */
};

/* Seed from the operating system. */
void rng_init(struct rng *r);

/* A number from 0 to @bound - 1; 0 where @bound is 0. */
uint64_t rng_below(struct rng *r, uint64_t bound);

/* @value moved by up to @percent of it, up or down. */
uint64_t rng_jitter(struct rng *r, uint64_t value, unsigned percent);

/* The wait before retry number @attempt (from 0): grows twofold from @first_ms to @max_ms, the
 * upper half of it random, so that many nodes do not come back at one moment. */
uint64_t rng_backoff_ms(struct rng *r, unsigned attempt, uint64_t first_ms, uint64_t max_ms);

/* Fill @out with @len lower-case hex digits and a NUL (so @out has @len + 1 bytes). */
void rng_hex(struct rng *r, char *out, size_t len);

#endif
