/* Questions to Redis and words to standard output, for the commands that ask and print.
 *
 * Such a command has nothing else to do while it waits, so ask_wait() runs the loop until every
 * answer is there, and what asks reads from top to bottom. One connection; nothing is sent again
 * where it is lost. Embedded; one loop, one thread; must not move between open and close. */
#ifndef PUBLISHER_CLI_INSPECT_ASK_H
#define PUBLISHER_CLI_INSPECT_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <uv.h>

#include "publisher-cli/options/options.h"
#include "relay/redis/client.h"

/* An answer, errors included (REDIS_REPLY_ERROR). It dies on return. Where the connection is lost
 * there is none. May ask more. */
typedef void (*ask_cb)(void *arg, const struct redisReply *reply);

struct ask {
    struct redis_client client;
    struct redis_conn_options connection;
    uv_loop_t *loop;
    struct buf address;  /* of Redis, for messages */
    bool is_up;          /* it is, or was, connected */
    bool is_unsent;      /* a question could not be sent: on_down will tell why */
    const char *command; /* whose answer is looked at */
    const char *key;     /* the word behind it, or NULL */
    bool is_unheard;     /* of RELAY_EIO: whoever read what is printed has gone */
    int status;          /* RELAY_OK, or why nothing more can be asked */
    char why[512];       /* the same in words */
};

/* Connect to @o's Redis, within @o->timeout_ms. Returns RELAY_OK or why not; ask_close() ends it in
 * both cases. */
int ask_open(struct ask *a, const struct options *o, uv_loop_t *loop);

/* Ask: the words of a command (static storage or alive until ask_wait(); the last one is NULL). The
 * answer goes to @take. Nothing happens once the status is not RELAY_OK. */
void ask_send(struct ask *a, ask_cb take, void *arg, const char *command, ...)
    __attribute__((sentinel));

/* Run the loop until all that was asked is answered. Returns RELAY_OK, or a->status. */
int ask_wait(struct ask *a);

/* Whether @reply is what was expected: of @type. If it is not, a->status says so from here on,
 * RELAY_EREMOTE for an error reply and RELAY_EPROTO for anything else. For use in an ask_cb. */
bool ask_expect(struct ask *a, const struct redisReply *reply, int type);

/* Nothing more can be asked: @status, and @why in words. The first one counts. */
void ask_fail(struct ask *a, int status, const char *why);

/* Write @line to @out, and what was written through. Where that fails a->status is RELAY_EIO from
 * here on. */
int ask_print(struct ask *a, FILE *out, const struct buf *line);
int ask_flush(struct ask *a, FILE *out);

/* a->status, which is not RELAY_OK, in a sentence that says where and what to do; "" where nobody
 * listens to @out any more, which is no failure. Returns the exit code for it. */
int ask_explain(const struct ask *a, struct buf *out);

/* The same to @err. */
int ask_complain(const struct ask *a, FILE *err);

/* Close the connection and run the loop until nothing of it is left. */
void ask_close(struct ask *a);

/* Make foreign words fit to be shown: control characters become `?`, and where the text is not
 * UTF-8, all bytes beyond ASCII. */
void ask_clean(char *text);

#endif
