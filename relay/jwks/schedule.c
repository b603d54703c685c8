/* When keys are fetched; see schedule.h. */
#include "relay/jwks/schedule.h"

void jwks_schedule_init(struct jwks_schedule *s, uint64_t now_ms) {
    *s = (struct jwks_schedule){.due_ms = now_ms};
}

bool jwks_schedule_is_due(const struct jwks_schedule *s, uint64_t now_ms) {
    return !s->running && now_ms >= s->due_ms;
}

void jwks_schedule_began(struct jwks_schedule *s, uint64_t now_ms) {
    s->running = true;
    s->wanted = false;
    s->began_ms = now_ms;
}

static void finish(struct jwks_schedule *s, uint64_t now_ms, uint64_t after_ms) {
    bool wanted = s->wanted;
    s->running = false;
    s->due_ms = now_ms + after_ms;
    if (wanted)
        jwks_schedule_want(s, now_ms);
}

void jwks_schedule_done(struct jwks_schedule *s, uint64_t now_ms, const uint64_t *max_age_ms,
                        struct rng *rng) {
    uint64_t age_ms = max_age_ms != NULL ? *max_age_ms : JWKS_AGE_DEFAULT_MS;
    if (age_ms < JWKS_AGE_MIN_MS)
        age_ms = JWKS_AGE_MIN_MS;
    if (age_ms > JWKS_AGE_MAX_MS)
        age_ms = JWKS_AGE_MAX_MS;
    s->failures = 0;
    /* After 70 to 90 % of it: the nodes of a cluster do not ask at one moment. */
    finish(s, now_ms, rng_jitter(rng, age_ms / 10 * 8, 12));
}

void jwks_schedule_failed(struct jwks_schedule *s, uint64_t now_ms, struct rng *rng) {
    finish(s, now_ms, rng_backoff_ms(rng, s->failures, JWKS_RETRY_FIRST_MS, JWKS_RETRY_MAX_MS));
    if (s->failures < 32)
        s->failures++;
}

static void no_later_than(struct jwks_schedule *s, uint64_t at_ms) {
    if (at_ms < s->due_ms)
        s->due_ms = at_ms;
}

void jwks_schedule_want(struct jwks_schedule *s, uint64_t now_ms) {
    uint64_t allowed_ms = s->began_ms != 0 ? s->began_ms + JWKS_WANTED_EVERY_MS : now_ms;
    if (s->running)
        s->wanted = true;
    else
        no_later_than(s, allowed_ms > now_ms ? allowed_ms : now_ms);
}

void jwks_schedule_hurry(struct jwks_schedule *s, uint64_t now_ms) {
    if (s->running)
        s->wanted = true;
    else
        no_later_than(s, now_ms);
}
