/* One connection to Redis: commands out, replies in order, messages of subscriptions as they come.
 *
 * On a uv stream with hiredis's reader and formatter only (its async API knows neither
 * back-pressure nor sharded subscriptions, and its struct differs between versions). RESP2. Knows
 * nothing of topics or events. One loop, one thread. Redis 6.2 and later (hiredis 0.14 and later).
 *
 * The story: redis_conn_start() resolves and connects, authenticates (AUTH, with a user when there
 * is one), names itself (CLIENT SETNAME), selects the database, and reports `on_ready`. When any of
 * this fails, when the server closes, sends what is not RESP, or a deadline passes, every command
 * that is outstanding is answered with a code, `on_closed` is called once, and the connection is
 * dead; whoever owns it starts a new one (redis/client.h does). redis_conn_close() does the same
 * with RELAY_ECANCELED. No callback fires from inside start, command or close. Memory is freed in
 * or after on_closed: the embedding object must live until then. */
#ifndef RELAY_REDIS_CONN_H
#define RELAY_REDIS_CONN_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "relay/redis/url.h"

struct redisReply;
struct redis_conn; /* opaque; heap */

/* The answer to one command, exactly once. @status is RELAY_OK and @reply the answer, or
 * RELAY_EREMOTE and @reply an error reply (its text in ->str), or a code (RELAY_ECONN,
 * RELAY_ETIMEOUT, RELAY_ECANCELED, RELAY_EPROTO) and @reply NULL: whether Redis executed the
 * command is then unknown. @reply dies on return. */
typedef void (*redis_reply_cb)(void *arg, int status, const struct redisReply *reply);

struct redis_conn_callbacks {
    void (*on_ready)(void *arg);
    /* A reply that no command asked for: message, pmessage, and the (un)subscribe confirmations
     * (arrays whose first element is a string). Dies on return. */
    void (*on_push)(void *arg, const struct redisReply *reply);
    /* The last callback. @why is a short text for the log (static, or valid during the call). */
    void (*on_closed)(void *arg, int status, const char *why);
};

struct redis_conn_options {
    const struct redis_url *url; /* borrowed until on_closed */
    const char *client_name;     /* for CLIENT SETNAME: borrowed until on_closed */
    uint64_t timeout_ms;         /* to be ready; and for the oldest outstanding answer */
};

/* Start connecting. Never fails: errors arrive at on_closed, from the loop. */
struct redis_conn *redis_conn_start(uv_loop_t *loop, const struct redis_conn_options *options,
                                    const struct redis_conn_callbacks *callbacks, void *arg);

/* Send a command; @cb gets its answer. Commands sent in one loop turn leave in one write.
 *
 * Returns RELAY_OK, or RELAY_ECLOSING / RELAY_EAGAIN (not ready yet): @cb will not be called. */
int redis_conn_command(struct redis_conn *c, int argc, const char **argv, const size_t *argv_len,
                       redis_reply_cb cb, void *arg);

/* Send SUBSCRIBE, UNSUBSCRIBE (or their sharded forms): their confirmations, one a channel, arrive
 * at on_push. Returns as redis_conn_command(). */
int redis_conn_subscription_command(struct redis_conn *c, int argc, const char **argv,
                                    const size_t *argv_len);

/* Bytes written by us that the kernel has not taken yet: back-pressure for bulk publishing. */
size_t redis_conn_unsent_bytes(const struct redis_conn *c);

/* Commands sent whose answer has not come. */
size_t redis_conn_pending(const struct redis_conn *c);

/* End it. May be called more than once, and in any state; on_closed follows from the loop with
 * RELAY_ECANCELED. */
void redis_conn_close(struct redis_conn *c);

#endif
