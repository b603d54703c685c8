/* When keys are fetched: before they grow old, again after a failure, and at once for a token whose
 * key is not known, at a limited rate. Pure: time and chance are passed in. Embedded. */
#ifndef RELAY_JWKS_SCHEDULE_H
#define RELAY_JWKS_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/base/rng.h"

enum {
    /* Between two fetches that unknown keys ask for, whoever makes their names up. */
    JWKS_WANTED_EVERY_MS = 10 * 1000,
    /* What is made of the issuer's Cache-Control. A key that was taken back is no longer used after
       the longer of these, and an issuer that forbids caching is not asked all the time. */
    JWKS_AGE_MIN_MS = 60 * 1000,
    JWKS_AGE_MAX_MS = 60 * 60 * 1000,
    JWKS_AGE_DEFAULT_MS = 10 * 60 * 1000,
    JWKS_RETRY_FIRST_MS = 1000,
    JWKS_RETRY_MAX_MS = 60 * 1000
};

struct jwks_schedule {
    uint64_t due_ms;   /* of the next fetch */
    uint64_t began_ms; /* of the last one, or the present one; 0: there was none */
    unsigned failures; /* in a row */
    bool running;
    bool wanted; /* while it ran: a key that may be newer than its answer */
};

/* The first one is due at once. */
void jwks_schedule_init(struct jwks_schedule *s, uint64_t now_ms);

bool jwks_schedule_is_due(const struct jwks_schedule *s, uint64_t now_ms);

/* A fetch begins. */
void jwks_schedule_began(struct jwks_schedule *s, uint64_t now_ms);

/* It gave keys, which the issuer wants kept for @max_age_ms (NULL: it does not say). */
void jwks_schedule_done(struct jwks_schedule *s, uint64_t now_ms, const uint64_t *max_age_ms,
                        struct rng *rng);

/* It gave none. */
void jwks_schedule_failed(struct jwks_schedule *s, uint64_t now_ms, struct rng *rng);

/* A token names a key that is not there. */
void jwks_schedule_want(struct jwks_schedule *s, uint64_t now_ms);

/* The operator asks for it: as soon as none runs. */
void jwks_schedule_hurry(struct jwks_schedule *s, uint64_t now_ms);

#endif
