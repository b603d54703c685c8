/* A connection to Redis that comes back: redis_conn with reconnects.
 *
 * States: CONNECTING (a connection is being made), READY, WAITING (backing off with jitter, 50 ms
 * at first and up to 2 s), CLOSED. One loop, one thread. `on_up` is called each time a connection
 * is ready (the owner then subscribes again, and so on), `on_down` each time a ready one is lost or
 * one attempt fails. The law of closing holds: redis_client_close() may be called twice, `closed`
 * is the last callback, memory is the owner's until then. */
#ifndef RELAY_REDIS_CLIENT_H
#define RELAY_REDIS_CLIENT_H

#include <stdbool.h>

#include "relay/base/rng.h"
#include "relay/redis/conn.h"

enum redis_client_state {
    REDIS_CLIENT_CONNECTING,
    REDIS_CLIENT_READY,
    REDIS_CLIENT_WAITING,
    REDIS_CLIENT_CLOSED
};

struct redis_client_callbacks {
    void (*on_up)(void *arg);
    /* @was_ready: a working connection was lost; else an attempt to connect failed. @why is for the
     * log. */
    void (*on_down)(void *arg, bool was_ready, int status, const char *why);
    void (*on_push)(void *arg, const struct redisReply *reply); /* may be NULL */
    void (*on_closed)(void *arg);
};

struct redis_client {
    uv_loop_t *loop;
    struct redis_conn_options options;
    struct redis_client_callbacks callbacks;
    void *arg;
    struct redis_conn *conn; /* NULL while WAITING and after the end */
    enum redis_client_state state;
    bool closing;
    unsigned attempts; /* failures since the last on_up */
    uv_timer_t retry;  /* runs while WAITING */
    struct rng rng;
};

/* Start; @options' pointers must live until on_closed. Never fails. */
void redis_client_start(struct redis_client *c, uv_loop_t *loop,
                        const struct redis_conn_options *options,
                        const struct redis_client_callbacks *callbacks, void *arg);

/* As redis_conn_command() and redis_conn_subscription_command(); RELAY_EAGAIN while not READY. */
int redis_client_command(struct redis_client *c, int argc, const char **argv,
                         const size_t *argv_len, redis_reply_cb cb, void *arg);
int redis_client_subscription_command(struct redis_client *c, int argc, const char **argv,
                                      const size_t *argv_len);

/* Drop the present connection and make a new one: what a failed probe does. */
void redis_client_reconnect(struct redis_client *c);

void redis_client_close(struct redis_client *c);

#endif
