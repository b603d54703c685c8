/* Fetching a JWKS; see source.h. */
#include "relay/jwks/source.h"

#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/log.h"

enum { LOOK_EVERY_MS = 200 };

void jwks_source_init(struct jwks_source *s, const char *url, const char *ca_file,
                      int (*take)(void *arg, const char *json, size_t len, uint64_t asked_ms,
                                  struct buf *why),
                      void *arg) {
    memset(s, 0, sizeof(*s));
    jwks_get_global_init();
    jwks_get_init(&s->get, url, ca_file);
    rng_init(&s->rng);
    atomic_init(&s->wanted, false);
    s->take = take;
    s->arg = arg;
}

/* ---- what came ---- */

/* Without what stands behind the path: it may be a secret. */
static int shown_len(const struct jwks_source *s) {
    return (int)strcspn(s->get.url, "?");
}

static void tell_taken(struct jwks_source *s) {
    if (s->fails)
        log_info("the keys of tokens can be fetched again", "url=%.*s", shown_len(s), s->get.url);
    else if (!s->has_keys)
        log_info("the keys of tokens were fetched", "url=%.*s", shown_len(s), s->get.url);
    s->has_keys = true;
    s->fails = false;
}

static void tell_failed(struct jwks_source *s, const char *why) {
    if (s->fails)
        log_debug("the keys of tokens cannot be fetched", "url=%.*s why=%s", shown_len(s),
                  s->get.url, why);
    else if (s->has_keys)
        log_error("the keys of tokens cannot be fetched; those of before are used on",
                  "url=%.*s why=%s", shown_len(s), s->get.url, why);
    else
        log_error("the keys of tokens cannot be fetched; this node is not ready without them",
                  "url=%.*s why=%s", shown_len(s), s->get.url, why);
    s->fails = true;
}

static void on_fetched(uv_work_t *work, int status) {
    struct jwks_source *s = work->data;
    struct jwks_get *g = &s->get;
    uint64_t now_ms = clock_mono_ms(), asked_ms = s->schedule.began_ms;
    if (s->is_closing || status != 0)
        return;
    if (g->why.len == 0 && s->take(s->arg, g->body.data != NULL ? g->body.data : "", g->body.len,
                                   asked_ms, &g->why) == RELAY_OK) {
        metric_add(&s->metrics.fetched, 1);
        metric_set(&s->metrics.fetched_s, clock_wall_ms() / 1000);
        tell_taken(s);
        jwks_schedule_done(&s->schedule, now_ms, g->has_max_age ? &g->max_age_ms : NULL, &s->rng);
    } else {
        metric_add(&s->metrics.failed, 1);
        tell_failed(s, g->why.data);
        jwks_schedule_failed(&s->schedule, now_ms, &s->rng);
    }
}

/* ---- when ---- */

static void fetch(uv_work_t *work) {
    struct jwks_source *s = work->data;
    jwks_get_run(&s->get);
}

static void on_timer(uv_timer_t *timer) {
    struct jwks_source *s = timer->data;
    uint64_t now_ms = clock_mono_ms();
    if (atomic_exchange(&s->wanted, false))
        jwks_schedule_want(&s->schedule, now_ms);
    if (!jwks_schedule_is_due(&s->schedule, now_ms))
        return;
    jwks_schedule_began(&s->schedule, now_ms);
    uv_queue_work(timer->loop, &s->work, fetch, on_fetched);
}

void jwks_source_start(struct jwks_source *s, uv_loop_t *loop) {
    jwks_schedule_init(&s->schedule, clock_mono_ms());
    uv_timer_init(loop, &s->timer);
    s->timer.data = s->work.data = s;
    uv_timer_start(&s->timer, on_timer, 0, LOOK_EVERY_MS);
}

void jwks_source_want(struct jwks_source *s) {
    atomic_store(&s->wanted, true);
}

void jwks_source_hurry(struct jwks_source *s) {
    jwks_schedule_hurry(&s->schedule, clock_mono_ms());
}

/* ---- the end ---- */

void jwks_source_close(struct jwks_source *s) {
    if (s->is_closing)
        return;
    s->is_closing = true;
    jwks_get_abort(&s->get);
    if (s->schedule.running)
        uv_cancel((uv_req_t *)&s->work); /* where it waits for a thread; else it ends by itself */
    uv_close((uv_handle_t *)&s->timer, NULL);
}

void jwks_source_fini(struct jwks_source *s) {
    jwks_get_fini(&s->get);
    jwks_get_global_fini();
}
