/* Events that go to Redis together: one call of the publish script, or a run of PUBLISHes.
 *
 * A batch copies what it is given, so that it can be sent again after a lost connection. Live
 * events are kept as the commands that they become, durable ones as they were given, since the
 * command names the run of Redis at the other end. Knows no connection.
 *
 * new/free: heap; one thread. */
#ifndef PUBLISHER_CLI_PUBLISH_BATCH_H
#define PUBLISHER_CLI_PUBLISH_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "publisher-cli/input/files.h"
#include "relay/base/buf.h"
#include "relay/wire/publish_script.h"

enum {
    BATCH_ITEMS_MAX = PUBLISH_ITEMS_MAX, /* Redis does nothing else for so long */
    BATCH_BYTES_MAX = 64 * 1024          /* of payload; a single event may have more */
};

/* An event as it was asked for, checked. Borrowed. */
struct batch_event {
    struct event event;
    const struct publish_topic *topics; /* it becomes one item for each; BATCH_ITEMS_MAX at most */
    size_t topics_count;
    bool is_live;
    uint64_t history; /* these are 0 or NULL for a live event */
    uint64_t ttl_ms;
    const char *key; /* of its own; NULL: none. Such an event goes alone */
    size_t key_len;
    struct place place;
};

/* Bytes of batch.texts. */
struct batch_span {
    size_t at, len;
};

/* One event on one topic. */
struct batch_item {
    size_t topic;           /* index into topics */
    struct batch_span name; /* of a durable event */
    struct batch_span data; /* the same; of a live event, its command */
    uint32_t retry_ms;
    uint64_t number; /* of its event in the input */
};

struct batch_topic {
    struct batch_span name; /* in `names` */
    struct batch_span head; /* of a live topic: the beginning of its commands, in `names` too */
};

struct batch {
    bool is_live; /* these are the same for all of it */
    uint64_t history;
    uint64_t ttl_ms;
    struct batch_topic topics[BATCH_ITEMS_MAX]; /* each once */
    size_t topics_count;
    struct batch_item items[BATCH_ITEMS_MAX];
    size_t items_count;
    size_t events;  /* as they were added */
    size_t payload; /* bytes of names and data, of all items */
    struct buf texts;
    struct buf names;
    struct buf key;           /* of the only event; empty: none of its own */
    struct place first, last; /* of the events */

    struct batch *next;      /* the rest is the writer's */
    void *writer;            /* that has it */
    uint64_t number;         /* from 1 */
    uint64_t sent_ms;        /* when it was sent first; 0: not yet */
    bool is_sent;            /* it is on its way, and not answered */
    bool is_doubtful;        /* a connection was lost while it was */
    size_t answered;         /* of the items that were sent last */
    size_t kept;             /* of these, which have to be sent again; they are the first items */
    size_t published;        /* items that Redis has */
    size_t failed;           /* items that it refused */
    uint64_t failed_number;  /* that of the first of these in the input */
    size_t published_before; /* items that it took before it refused that one */
    struct buf refusal;      /* what it said to it; or to the question for replicas */
    struct buf answer;       /* of the script, while it is kept */
    struct outcome *outcome; /* answered, and kept until all before it are; NULL: it is not */
};

struct batch *batch_new(void);
void batch_free(struct batch *b);

/* Whether @e may be added: it is like the rest, and there is room. An empty batch takes any. */
bool batch_takes(const struct batch *b, const struct batch_event *e);

/* Add what batch_takes(). @prefix is that of channels. */
void batch_add(struct batch *b, const struct batch_event *e, const char *prefix);

/* No more is worth adding. */
bool batch_is_full(const struct batch *b);

/* Bytes that it holds. */
size_t batch_bytes(const struct batch *b);

/* Whether Redis may have it or not, and nobody knows; of one that is not answered. */
static inline bool batch_is_unknown(const struct batch *b) {
    return b->is_sent || b->is_doubtful;
}

/* The topic of an item. */
struct publish_topic batch_topic_of(const struct batch *b, size_t item);

/* Make the command of a durable batch. @request has what is the same for all batches, and the key.
 */
void batch_make_command(const struct batch *b, struct publish_request *request,
                        struct publish_command *command);

/* Of a live batch of which `kept` items, and those from `answered` on, have to be sent again: make
 * it a batch of these alone. */
void batch_shrink(struct batch *b);

#endif
