/* What comes from Redis, in order: each reply goes to the command that it answers, or is a push.
 *
 * Fed with bytes, so that it runs without a socket (and a fuzzer can feed it). Redis answers in the
 * order of the commands; in RESP2 a message of a subscription looks like any array, so what is a
 * push is decided by the state that the commands sent so far have put the connection in, never by
 * the text of a reply alone.
 *
 * init/fini: embedded; one thread; must not move in between. */
#ifndef RELAY_REDIS_REPLIES_H
#define RELAY_REDIS_REPLIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/redis/parser.h"

/* The answer to one command, exactly once. @status is RELAY_OK and @reply the answer, or
 * RELAY_EREMOTE and @reply an error reply (its text in ->str), or a code (RELAY_ECONN,
 * RELAY_ETIMEOUT, RELAY_ECANCELED, RELAY_EPROTO; RELAY_EOVERFLOW: a reply was too large, this one
 * or one before it) and @reply NULL: whether Redis executed the command is then unknown. @reply
 * dies on return. */
typedef void (*redis_reply_cb)(void *arg, int status, const struct redisReply *reply);

/* A reply that no command asked for. Its shape is checked before: an array that begins with the
 * string
 *   message, smessage   behind it two strings: channel, payload
 *   pmessage            behind it three strings: pattern, channel, payload
 *   (un)subscribe, p(un)subscribe, s(un)subscribe
 *                       behind it the channel (a string) and the number of subscriptions left
 * Dies on return. */
typedef void (*redis_push_cb)(void *arg, const struct redisReply *reply);

struct redis_expectation; /* commands sent together whose answers are outstanding */

struct redis_replies {
    struct redis_parser parser;
    struct redis_expectation *head, **tail; /* the oldest first */
    size_t pending;                         /* commands that they are */
    long long channels;                     /* subscribed now, patterns included */
    bool uses_shards;                       /* SSUBSCRIBE was sent once */
    bool stopped;
    redis_push_cb on_push; /* may be NULL */
    void *arg;
    char why[192]; /* the last error */
};

void redis_replies_init(struct redis_replies *r, redis_push_cb on_push, void *arg);

/* redis_replies_cancel() must have emptied it. */
void redis_replies_fini(struct redis_replies *r);

/* @commands (at least one) are being sent, whose replies go to @cb, each by itself. */
void redis_replies_expect(struct redis_replies *r, size_t commands, redis_reply_cb cb, void *arg);

/* A command of the SUBSCRIBE family is being sent, for @channels channels (at least one): so many
 * confirmations will come, and go to on_push; then @cb gets RELAY_OK and no reply. Or Redis refuses
 * it, all channels alike: then @cb gets that, and where it is NULL the connection is of no more
 * use. */
void redis_replies_expect_confirmations(struct redis_replies *r, const char *command,
                                        size_t channels, redis_reply_cb cb, void *arg);

/* Take bytes of the server and make the callbacks that they complete. A callback may expect more,
 * or stop.
 *
 * Returns RELAY_OK, or the connection is of no more use, r->why has the reason:
 *   RELAY_EPROTO     what came is not RESP2, or answers nothing that was asked
 *   RELAY_EOVERFLOW  a reply is larger than the limit
 *   RELAY_EREMOTE    the server refused a subscription that had no callback, or the connection
 *                    itself */
int redis_replies_feed(struct redis_replies *r, const char *bytes, size_t len);

/* Make no more callbacks from redis_replies_feed(). */
void redis_replies_stop(struct redis_replies *r);

/* Answer everything outstanding with @status and no reply, the oldest first. */
void redis_replies_cancel(struct redis_replies *r, int status);

#endif
