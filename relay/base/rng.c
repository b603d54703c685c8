/* Random numbers for jitter; see rng.h. The generator is xorshift64* (Marsaglia, Vigna). */
#include "relay/base/rng.h"

#include "relay/base/random.h"

void rng_init(struct rng *r) {
    random_bytes(&r->state, sizeof(r->state));
    r->state |= r->state == 0;
}

static uint64_t rng_next(struct rng *r) {
    uint64_t x = r->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    r->state = x;
    return x * UINT64_C(2685821657736338717);
}

uint64_t rng_below(struct rng *r, uint64_t bound) {
    return bound == 0 ? 0 : rng_next(r) % bound;
}

uint64_t rng_jitter(struct rng *r, uint64_t value, unsigned percent) {
    uint64_t spread = value * percent / 100;
    return value - spread + rng_below(r, 2 * spread + 1);
}

uint64_t rng_backoff_ms(struct rng *r, unsigned attempt, uint64_t first_ms, uint64_t max_ms) {
    uint64_t wait = first_ms;
    while (attempt-- > 0 && wait < max_ms)
        wait *= 2;
    if (wait > max_ms)
        wait = max_ms;
    return wait / 2 + rng_below(r, wait / 2 + 1);
}

void rng_hex(struct rng *r, char *out, size_t len) {
    for (size_t i = 0; i < len; i++)
        out[i] = "0123456789abcdef"[rng_below(r, 16)];
    out[len] = '\0';
}
