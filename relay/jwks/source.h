/* A JWKS at an address, over the relay's life: fetched at the start, before it grows old, for a
 * token whose key is not known, and on SIGHUP.
 *
 * The story: a timer looks five times a second whether a fetch is due (schedule.h). One that is
 * runs on a thread of libuv's pool (get.h), and what it brought is handed to `take` on the loop's
 * thread. Where it brings nothing, or nothing that `take` takes, what was taken before stays, and
 * the next one comes soon. The log tells when fetching begins to fail, and when it works again. A
 * fetch that is under way at the end is aborted, and the loop goes on until that is done.
 *
 * The loop's thread, except for jwks_source_want(); embedded. */
#ifndef RELAY_JWKS_SOURCE_H
#define RELAY_JWKS_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "relay/base/buf.h"
#include "relay/base/rng.h"
#include "relay/jwks/get.h"
#include "relay/jwks/jwks_metrics.h"
#include "relay/jwks/schedule.h"

struct jwks_source {
    struct jwks_get get; /* of the pool's thread while `schedule.running` */
    struct jwks_schedule schedule;
    struct rng rng;
    atomic_bool wanted; /* since the timer last looked */
    bool has_keys, fails;
    bool is_closing;
    struct jwks_metrics metrics;
    uv_timer_t timer;
    uv_work_t work;
    /* Returns RELAY_OK, or another code and appends to @why what is wrong with it. */
    int (*take)(void *arg, const char *json, size_t len, uint64_t asked_ms, struct buf *why);
    void *arg;
};

/* @url and @ca_file (NULL: the system's) are borrowed. Before the threads. */
void jwks_source_init(struct jwks_source *s, const char *url, const char *ca_file,
                      int (*take)(void *arg, const char *json, size_t len, uint64_t asked_ms,
                                  struct buf *why),
                      void *arg);

void jwks_source_start(struct jwks_source *s, uv_loop_t *loop);

/* A key is not known: fetch soon. Any thread, also after the end. */
void jwks_source_want(struct jwks_source *s);

/* Fetch now. */
void jwks_source_hurry(struct jwks_source *s);

/* May be called twice. The loop has to run until nothing is left in it. */
void jwks_source_close(struct jwks_source *s);

/* After the loop and all threads. */
void jwks_source_fini(struct jwks_source *s);

#endif
