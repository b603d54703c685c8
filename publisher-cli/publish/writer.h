/* How batches get into Redis: pipelined, in order, and again where a connection was lost.
 *
 * A batch is sent as soon as it is given, while others are still unanswered. When the connection is
 * lost, or Redis cannot take events for a while (loading, busy, a replica during a failover, a
 * script that it forgot), all that is unanswered is sent again, in its order and before anything
 * new. A durable batch has a key of idempotency, its event's own or one made of this run and its
 * number, so that Redis knows what it did already; live events may then be there twice, and are
 * counted. It ends when Redis made no progress for timeout_ms.
 *
 * Once keys live in Redis for a while only. They are given timeout_ms and KEY_SPARE_MS more, and a
 * batch that is older than its timeout_ms and half of the spare is not sent again: it may be
 * published or not, and nobody can find out.
 *
 * Only a refusal that passes (BUSY) can change the order: batches behind the refused one may be
 * taken before it is sent again. They are counted too. On a new connection the first batch goes
 * alone until Redis took it, so that a server that is about to become the master, say, changes
 * none. What became of batches is told in the order in which they were given in any case.
 *
 * start/close: embedded; one loop, one thread; on_closed is the last callback. No callback from
 * within a call. */
#ifndef PUBLISHER_CLI_PUBLISH_WRITER_H
#define PUBLISHER_CLI_PUBLISH_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "publisher-cli/publish/batch.h"
#include "publisher-cli/publish/session.h"
#include "relay/base/rng.h"
#include "relay/redis/client.h"

enum {
    WRITER_WINDOW_BATCHES = 32,            /* unanswered at most */
    WRITER_WINDOW_BYTES = 4 * 1024 * 1024, /* of these; one batch may have more */
    WRITER_KEY_SPARE_MS = 5 * 60 * 1000,   /* beyond the timeout */
    WRITER_RUN_DIGITS = 16
};

struct writer_options {
    const struct redis_url *redis;
    const char *prefix;
    uint64_t timeout_ms;
    bool is_patient; /* never gives up once it was connected */
    bool is_live;    /* no batch is durable */
    unsigned wait_replicas;
};

/* An event that Redis has. */
struct written {
    const struct batch *batch;
    size_t item;
    const char *id; /* of a durable event, id_len bytes; NULL: live */
    size_t id_len;
    bool is_duplicate;     /* it was published before, with the same key */
    long long subscribers; /* of a live one: those in Redis */
};

/* What became of a batch. */
struct outcome {
    bool is_lost;        /* it may be published or not: the answer was lost for good */
    const char *refusal; /* what Redis said to `batch->failed` items of it; NULL: they are none */
    bool is_duplicate;   /* it was published before */
    bool is_found;       /* by us, before a connection was lost */
    bool is_announced;   /* else it is stored, and subscribers were not told */
    long long replicas;  /* that have it, where they were waited for; -1: not known */
    const char *wait_refusal;     /* what Redis said instead; NULL: nothing */
    struct publish_answer answer; /* of durable ones that are stored: the ids of its items */
};

enum writer_end {
    WRITER_UNREACHABLE, /* there is no Redis */
    WRITER_REFUSED,     /* Redis will not have us */
    WRITER_REJECTED,    /* it answers, and took no events for timeout_ms; none is in doubt */
    WRITER_GAVE_UP      /* there was no progress for timeout_ms */
};

struct writer_callbacks {
    void (*on_room)(void *arg); /* writer_has_room(), perhaps again */
    /* In the order of the batches and of the items of each: */
    void (*on_written)(void *arg, const struct written *written);
    void (*on_outcome)(void *arg, const struct batch *batch, const struct outcome *outcome);
    /* The connection is lost, or Redis takes no events for now; it is being tried again. */
    void (*on_trouble)(void *arg, bool is_lost, const char *why);
    void (*on_again)(void *arg); /* and that worked, so that the next trouble is told, too */
    void (*on_end)(void *arg, enum writer_end end, const char *why); /* close it */
    void (*on_closed)(void *arg);
};

struct writer {
    struct writer_options options;
    struct writer_callbacks callbacks;
    void *arg;
    struct redis_client client;
    struct session session;
    uv_timer_t timer; /* runs while something is waited for */
    struct rng rng;
    char run[WRITER_RUN_DIGITS + 1];
    struct batch *head, **tail; /* unanswered, the oldest first */
    struct batch *unsent;       /* of these, the first that is not on its way */
    size_t unanswered;          /* batches in the list */
    size_t unanswered_bytes;
    size_t in_flight; /* batches that are on their way */
    uint64_t sent;    /* batches so far */
    bool is_ready;    /* the connection is prepared */
    bool is_proven;   /* and Redis took a batch over it */
    bool has_been_ready;
    bool is_in_trouble; /* which was said */
    bool is_rejected;   /* of the last trouble: Redis answered, and takes no events for now */
    bool is_refused;    /* for now: nothing more is sent until what is in flight is answered */
    bool is_forgotten;  /* of that: the script alone */
    bool is_over;       /* on_end was called */
    bool is_closing;
    uint64_t progress_ms; /* when something was answered, or waiting began; loop time */
    uint64_t resent_live; /* events that may be there twice */
    uint64_t overtaken;   /* events that were taken behind later ones */
    struct buf why;       /* the last trouble */
};

void writer_start(struct writer *w, uv_loop_t *loop, const struct writer_options *options,
                  const struct writer_callbacks *callbacks, void *arg);

/* Whether it makes sense to give another batch now. */
bool writer_has_room(const struct writer *w);

/* Send @b, which holds something; it is the writer's from now on. */
void writer_send(struct writer *w, struct batch *b);

/* The oldest batch that is unanswered, and its followers by ->next, of which some may be answered;
 * NULL: all are. */
const struct batch *writer_unanswered(const struct writer *w);

/* How long replicas are waited for. */
uint64_t writer_wait_ms(const struct writer *w);

/* End it, in any state and again; unanswered batches stay until writer_fini(). */
void writer_close(struct writer *w);

/* After on_closed. */
void writer_fini(struct writer *w);

#endif
