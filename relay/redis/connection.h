/* One connection to Redis: commands out, replies in order, messages of subscriptions as they come.
 *
 * On a uv stream with hiredis's reader and formatter only (its async API knows neither
 * back-pressure nor sharded subscriptions, and its struct differs between versions). RESP2. Knows
 * nothing of topics or events. One loop, one thread; the program ignores SIGPIPE. Redis 6.2 and
 * later (hiredis 0.14 and later).
 *
 * The story: redis_conn_start() resolves the host and tries its addresses in turn, authenticates
 * (AUTH, with a user when there is one), selects the database, names itself (CLIENT SETNAME), asks
 * whether the server is able to serve (PING: not while it is LOADING), and reports `on_ready`. When
 * any of this fails, when the server closes, sends what is not RESP2, or a deadline passes, every
 * command that is outstanding is answered with a code, `on_closed` is called once, and the
 * connection is dead; whoever owns it starts a new one (redis/client.h does).
 * A connection that brings no byte for idle_ms is asked to PING, and TCP keeps it alive as well:
 * a proxy's idle limit does not cut it, and one that was cut in silence is noticed.
 * redis_conn_close() does the same with RELAY_ECANCELED. No callback fires from inside start,
 * command or close; none but answers and on_closed after close. The connection frees itself after
 * on_closed, so the pointer is dead then; what it was given as @arg must live until then. */
#ifndef RELAY_REDIS_CONNECTION_H
#define RELAY_REDIS_CONNECTION_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "relay/redis/replies.h" /* redis_reply_cb, redis_push_cb */
#include "relay/redis/url.h"

struct redis_conn; /* opaque; heap */

struct redis_conn_callbacks {
    void (*on_ready)(void *arg);
    redis_push_cb on_push; /* NULL: pushes are dropped */
    /* The last callback. @why is a short text for the log, valid during the call; it never holds
     * the password. */
    void (*on_closed)(void *arg, int status, const char *why);
};

struct redis_conn_options {
    const struct redis_url *url; /* borrowed until on_closed */
    const char *client_name;     /* for CLIENT SETNAME: borrowed until on_closed */
    uint64_t idle_ms;            /* without a byte, before it is asked to PING; 0: ten seconds */
    uint64_t timeout_ms; /* to be ready; then without a byte while an answer is outstanding */
};

/* Start connecting. Never fails: errors arrive at on_closed, from the loop. */
struct redis_conn *redis_conn_start(uv_loop_t *loop, const struct redis_conn_options *options,
                                    const struct redis_conn_callbacks *callbacks, void *arg);

/* Send a command; @cb gets its answer. Commands sent in one loop turn leave in one write, just
 * before the loop polls (so send none from a prepare callback: it might wait for a turn).
 *
 * Returns RELAY_OK, or RELAY_ECLOSING / RELAY_EAGAIN (not ready yet): @cb will not be called. */
int redis_conn_command(struct redis_conn *c, int argc, const char **argv, const size_t *argv_len,
                       redis_reply_cb cb, void *arg);

/* Send @count commands, @bytes of RESP that the caller wrote; each one's answer goes to @cb, in
 * their order. Returns as redis_conn_command(). */
int redis_conn_commands(struct redis_conn *c, const char *bytes, size_t len, size_t count,
                        redis_reply_cb cb, void *arg);

/* Send SUBSCRIBE, UNSUBSCRIBE (or their forms for patterns and shards) with at least one channel:
 * their confirmations, one a channel, arrive at on_push, and behind the last one @cb is called with
 * RELAY_OK and no reply. Where Redis refuses (NOPERM, MOVED), it refuses all channels of the
 * command and does not say which is at fault: @cb gets RELAY_EREMOTE and Redis's words; where @cb
 * is NULL the connection ends with them. Returns as redis_conn_command(). */
int redis_conn_subscription_command(struct redis_conn *c, int argc, const char **argv,
                                    const size_t *argv_len, redis_reply_cb cb, void *arg);

/* Bytes written by us that the kernel has not taken yet: back-pressure for bulk publishing. */
size_t redis_conn_unsent_bytes(const struct redis_conn *c);

/* Commands sent whose answer has not come. */
/* For how long an answer has been outstanding without a byte; 0: none is. */
uint64_t redis_conn_waiting_ms(const struct redis_conn *c);

size_t redis_conn_pending(const struct redis_conn *c);

/* End it. May be called more than once, and in any state; on_closed follows from the loop with
 * RELAY_ECANCELED. */
void redis_conn_close(struct redis_conn *c);

#endif
