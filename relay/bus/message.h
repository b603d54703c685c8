/* What the bus and the workers say to each other: the two queues' messages.
 *
 * This header is the interface of the bus: a test that takes requests from one queue and pushes
 * messages into the other is a bus. Everything to a worker travels in one ordered queue, so that
 * the place of a message in it means something: behind a REPLAYED that says live stand all later
 * events.
 *
 * A message belongs to whoever holds it: pushing hands it over, the taker frees it. */
#ifndef RELAY_BUS_MESSAGE_H
#define RELAY_BUS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/queue.h"
#include "relay/sse/frame.h"
#include "relay/wire/count.h"
#include "relay/wire/cursor.h"
#include "relay/wire/kick.h"
#include "relay/wire/publish_script.h"
#include "relay/wire/reset.h"

/* ---- bus to worker ---- */

enum bus_message_kind {
    BUS_EVENT, /* struct bus_event: a frame for the subscribers of its topic */
    BUS_GAP,   /* struct bus_gap: from here on nothing is certain on this topic; ask for a replay */
    BUS_REPLAYED,  /* struct bus_replayed: the answer to a BUS_REPLAY */
    BUS_PUBLISHED, /* struct bus_publish comes back with its status */
    BUS_COUNT,     /* struct bus_count: add this worker's subscribers, and send it back */
    BUS_KICK       /* struct bus_kick: end the streams that it means, and send it back */
};

struct bus_message {
    struct queue_node node;
    enum bus_message_kind kind;
};

/* A worker's handle on a frame: holds one reference to the frame, counted plainly within the
 * worker. */
struct bus_event {
    struct bus_message base;
    uint32_t refs; /* the worker's: its own while it handles the message, and one per outbox */
    uint32_t topic_len;
    uint32_t
        count; /* events in the frame: 1, more for a slice of a replay, 0 for notices of our own */
    bool durable; /* id is set */
    struct frame *frame;
    uint64_t received_us; /* when Redis's bytes were read; 0 where that means nothing */
    struct event_id id;
    char topic[]; /* topic_len bytes */
};

struct bus_gap {
    struct bus_message base;
    unsigned reasons; /* bit set of enum reset_reason: what subscribers are told when they are live
                         again */
    struct cursor missed; /* an event that was not delivered when it was due: whoever's cursor has
                             passed it lost it. Not set: none */
    size_t topic_len;
    char topic[];
};

/* A step of a replay. The slice, if any, is to be sent; the subscriber's cursor is then @cursor. */
struct bus_replayed {
    struct bus_message base;
    uint64_t token;          /* of the request */
    struct bus_event *slice; /* many events in one frame, or NULL; its id is the last event's */
    bool live;     /* nothing is missing any more: from this place in the queue on, events follow */
    bool refused;  /* Redis forbids a topic, or to read it, and nothing else is said: ask again
                      behind a GAP on it, or later */
    bool deferred; /* it could not be answered in time, and nothing else is said: ask again */
    struct cursor cursor;   /* behind the slice; not set where the domain has no clock yet */
    struct cursor start;    /* before it: where the stream goes on after a reset */
    size_t resets_len;      /* 0, or the number of topics of the request */
    unsigned char resets[]; /* reasons per topic of the request, told before the slice; and marks */
};

/* In `resets`. */
enum {
    /* The slice holds some of this topic's events. Where it does not, what was trimmed of the topic
     * may still lie ahead of the cursor, and the next step says so again. */
    REPLAY_HAS_SOME = 1 << RESET_REASONS,
    /* One among those of the slice nobody can be given: not what was told before it. */
    REPLAY_SKIPS_SOME = 1 << (RESET_REASONS + 1),
    REPLAY_MARKS = REPLAY_HAS_SOME | REPLAY_SKIPS_SOME
};

/* Wrap @frame, whose reference it takes over. One reference. Any thread; never NULL. */
struct bus_event *bus_event_new(struct frame *frame, const char *topic, size_t topic_len,
                                uint64_t received_us);
void bus_event_free(struct bus_event *e);

static inline struct bus_event *bus_event_ref(struct bus_event *e) {
    e->refs++;
    return e;
}

static inline void bus_event_unref(struct bus_event *e) {
    if (--e->refs == 0)
        bus_event_free(e);
}

struct bus_gap *bus_gap_new(const char *topic, size_t topic_len, unsigned reasons);
struct bus_replayed *bus_replayed_new(uint64_t token, size_t resets_len);
void bus_replayed_free(struct bus_replayed *m);

/* ---- worker to bus ---- */

enum bus_request_kind {
    BUS_SUBSCRIBE,   /* struct bus_subscribe: this worker wants the topic, in these formats too */
    BUS_UNSUBSCRIBE, /* struct bus_subscribe: this worker wants the topic no more */
    BUS_REPLAY,  /* struct bus_replay; REPLAYED answers, unless a topic was given up meanwhile */
    BUS_PUBLISH, /* struct bus_publish; PUBLISHED answers */
    BUS_COUNTED, /* struct bus_count comes back */
    BUS_KICKED,  /* struct bus_kick comes back */
    BUS_STOP     /* struct bus_request: end the bus; from the application, not from workers */
};

struct bus_request {
    struct queue_node node;
    enum bus_request_kind kind;
    unsigned worker; /* whose queue gets the answer */
};

struct bus_subscribe {
    struct bus_request base;
    unsigned formats; /* bit set of enum frame_format */
    size_t topic_len;
    char topic[];
};

struct bus_subscribe *bus_subscribe_new(enum bus_request_kind kind, const char *topic,
                                        size_t topic_len, unsigned formats);

/* One step of a replay: what comes behind `start` on these topics, which the worker has subscribed
 * before. It is answered once all of them are subscribed on Redis and known up to the present. */
struct bus_replay {
    struct bus_request base;
    uint64_t token;              /* echoed */
    struct cursor_request start; /* the first step; later ones go on with CURSOR_ID */
    uint64_t replayed;           /* events that earlier steps brought, for --replay-limit */
    size_t limit_bytes;          /* of the slice; one event may exceed it */
    size_t max_event_bytes;      /* relay.large replaces a longer block; 0: none is too long */
    uint64_t patience_ms;        /* behind that it is deferred; 0: never */
    enum frame_format format;
    size_t topics_len;
    size_t names_len;
    char names[]; /* topics_len names, each with a NUL behind */
};

struct bus_replay *bus_replay_new(size_t topics_len, size_t names_len);

/* What one publish may take on its way to Redis: its envelope, once for each topic. Who makes a
 * larger one refuses it. */
enum { BUS_PUBLISH_MAX_BYTES = 32 * 1024 * 1024 };

/* A publish, there and back: one object makes the whole trip. */
struct bus;
struct bus_publish {
    union {
        struct bus_request request; /* on the way there */
        struct bus_message answer;  /* on the way back */
    } base;
    void *waiter; /* the worker's: who waits; NULL once it has gone. The bus does not look at it */
    bool durable;
    bool large;   /* event_is_large(): whoever answers warns */
    char *topics; /* topics_len names, each with a NUL behind (topics hold none) */
    size_t topics_len;
    char *envelope; /* live: the message; NULL where durable */
    size_t envelope_len;
    struct event event; /* durable: points into bytes */
    char *bytes;
    uint64_t history, ttl_ms; /* 0: as the relay's options say */
    char *key;                /* NULL: none */
    size_t key_len;
    struct bus *bus;          /* these two are the bus's */
    size_t topics_left;       /* how many answers are missing */
    int status;               /* RELAY_OK, RELAY_EAGAIN (no connection: nothing was published),
                                 RELAY_ECONN, RELAY_ETIMEOUT or RELAY_ECANCELED (may have been
                                 published), RELAY_EREMOTE (Redis refused; error and why say it) */
    enum publish_error error; /* durable, RELAY_EREMOTE */
    bool unannounced;         /* durable, RELAY_OK: stored, but Redis forbids to tell subscribers */
    char *ids;                /* durable, RELAY_OK: one text per topic, each with a NUL behind */
    char why[160];
};

void bus_publish_free(struct bus_publish *p);

/* How many subscribers a topic has: goes from worker to worker, and is freed by free(). */
struct bus_count {
    union {
        struct bus_message message; /* on the way to a worker */
        struct bus_request request; /* on the way back */
    } base;
    unsigned asked; /* workers so far */
    uint64_t subscribers;
    char answer_to[COUNT_ANSWER_TO_MAX_BYTES + 1];
    size_t topic_len;
    char topic[];
};

/* A kick, for one worker; freed by free(). */
struct kick_tally;
struct bus_kick {
    union {
        struct bus_message message; /* on the way to a worker */
        struct bus_request request; /* on the way back */
    } base;
    struct kick_tally *tally; /* the bus's; the worker does not look at it */
    uint64_t streams;         /* that the worker ended */
    enum kick_by by;
    size_t name_len;
    char name[];
};

#endif
