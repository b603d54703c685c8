/* How an event gets into Redis, live or durable, and what became of it.
 *
 * Durable: on each new connection the server's run_id is read and the publish script loaded; then
 * each event is one call of the script, and where replicas are waited for, a WAIT behind it on the
 * same connection, since it counts the writes of its own connection. A server that forgot the
 * script gets its text, and no further event until that was answered, so that the order stays.
 *
 * Embedded; one loop, one thread. Every event that was taken has exactly one outcome. */
#ifndef PUBLISHER_CLI_WRITER_H
#define PUBLISHER_CLI_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "publisher-cli/options.h"
#include "relay/base/rng.h"
#include "relay/redis/client.h"
#include "relay/redis/info.h"
#include "relay/wire/id.h"
#include "relay/wire/publish.h"

enum { WRITER_WAIT_MS = 3000 }; /* for replicas; less than a connection is given for an answer */

struct outcome {
    int status;            /* RELAY_OK: Redis has it; RELAY_EREMOTE: it refused; else its answer was
                              lost, before or after it had it */
    const char *refusal;   /* of RELAY_EREMOTE: what is wrong */
    long long subscribers; /* of a live event: those in Redis */
    const char *id;        /* of a durable event, id_len bytes; NULL: live */
    size_t id_len;
    bool duplicate;     /* it was published before, with the same key */
    bool announced;     /* else it is stored, and subscribers were not told */
    long long replicas; /* that have it, where they were waited for; -1: that is not known */
};

/* The texts live for the call. */
typedef void (*writer_cb)(void *arg, const struct outcome *outcome);

struct writer {
    const struct options *options;
    struct redis_client *client;
    void (*on_ready)(void *arg);                    /* events may be sent (again) */
    void (*on_refused)(void *arg, const char *why); /* the connection is of no use for them */
    void *arg;
    bool is_prepared;   /* the present connection */
    uint64_t resent;    /* texts of the script that are not answered yet */
    struct buf channel; /* of the topic */
    struct buf text;    /* being sent; kept for its memory */
    struct rng rng;
    char run_id[REDIS_INFO_VALUE_MAX];
    char sha[PUBLISH_SHA_BYTES + 1]; /* "": unknown, the text is sent each time */
};

/* @client is started by the caller, who calls writer_up() from its on_up and writer_down() from its
 * on_down. The callbacks come from the loop. */
void writer_init(struct writer *w, const struct options *options, struct redis_client *client,
                 void (*on_ready)(void *arg), void (*on_refused)(void *arg, const char *why),
                 void *arg);
void writer_fini(struct writer *w);

void writer_up(struct writer *w);
void writer_down(struct writer *w);

/* Whether writer_send() takes an event now; on_ready tells when it does again. */
bool writer_is_ready(const struct writer *w);

/* Send @event, checked; @line is its number where the input is lines, else 0.
 *
 * Returns RELAY_OK, or the code of redis_client_command(): @cb will not be called. */
int writer_send(struct writer *w, const struct event *event, uint64_t line, writer_cb cb,
                void *arg);

#endif
