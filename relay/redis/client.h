/* A connection to Redis that comes back: redis_conn with reconnects.
 *
 * States: CONNECTING (a connection is being made), READY, WAITING (backing off with jitter, 50 ms
 * at first and up to 2 s while attempts fail), CLOSED. One loop, one thread. `on_up` is called each
 * time a connection is ready (the owner then subscribes again, and so on), `on_down` each time a
 * ready one is lost or one attempt fails. The back-off also grows, up to 0.7 s, with connections
 * that were ready for less than 2 s: a server which throws us out each time is not stormed, and one
 * that is well has us back within a second however often somebody kills our connection. The law of
 * closing holds: redis_client_close() may be called twice, `on_closed` is the last callback
 * (on_down is not called for the end that we asked for), memory is the owner's until then. */
#ifndef RELAY_REDIS_CLIENT_H
#define RELAY_REDIS_CLIENT_H

#include <stdbool.h>

#include "relay/base/rng.h"
#include "relay/redis/connection.h"

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
    redis_push_cb on_push; /* NULL: pushes are dropped */
    void (*on_closed)(void *arg);
};

struct redis_client {
    uv_loop_t *loop;
    struct redis_conn_options options;
    struct redis_client_callbacks callbacks;
    void *arg;
    struct redis_conn *conn; /* NULL while WAITING and CLOSED */
    enum redis_client_state state;
    bool closing;
    bool useless;         /* the present connection, see redis_client_back_off() */
    unsigned attempts;    /* to connect that failed in a row */
    unsigned short_lives; /* connections in a row that were ready for less than 2 s */
    uint64_t ready_ms;    /* when the present connection became ready, loop time */
    uv_timer_t retry;     /* runs while WAITING */
    struct rng rng;
};

/* Start; @options' pointers must live until on_closed. Never fails. */
void redis_client_start(struct redis_client *c, uv_loop_t *loop,
                        const struct redis_conn_options *options,
                        const struct redis_client_callbacks *callbacks, void *arg);

/* As redis_conn_command(), _commands() and _subscription_command(): RELAY_EAGAIN while there is no
 * ready connection, RELAY_ECLOSING after redis_client_close(). */
int redis_client_command(struct redis_client *c, int argc, const char **argv,
                         const size_t *argv_len, redis_reply_cb cb, void *arg);
int redis_client_commands(struct redis_client *c, const char *bytes, size_t len, size_t count,
                          redis_reply_cb cb, void *arg);
int redis_client_subscription_command(struct redis_client *c, int argc, const char **argv,
                                      const size_t *argv_len, redis_reply_cb cb, void *arg);

/* As redis_conn_unsent_bytes(), _waiting_ms() and _pending(); 0 without a connection. */
uint64_t redis_client_waiting_ms(const struct redis_client *c);
size_t redis_client_unsent_bytes(const struct redis_client *c);
size_t redis_client_pending(const struct redis_client *c);

/* Drop the present connection and make a new one: what a failed probe does. on_down follows from
 * the loop. While WAITING a new one is about to be made anyway: nothing happens. */
void redis_client_reconnect(struct redis_client *c);

/* The same, from a server that answers and does nothing for us: its life does not count as a
 * success, and the pauses grow up to 2 s until a connection lives longer than that. */
void redis_client_back_off(struct redis_client *c);

/* End it, in any state; on_closed follows from the loop. */
void redis_client_close(struct redis_client *c);

#endif
