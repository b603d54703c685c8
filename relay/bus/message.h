/* What the bus and the workers say to each other: the two queues' messages.
 *
 * This header is the interface of the bus: a test that takes requests from one queue and pushes
 * messages into the other is a bus. Everything to a worker travels in one ordered queue, so that
 * the place of a message in it means something: what stands behind a CONFIRMED was published after
 * it.
 *
 * A message belongs to whoever holds it: pushing hands it over, the taker frees it. */
#ifndef RELAY_BUS_MESSAGE_H
#define RELAY_BUS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/queue.h"
#include "relay/sse/frame.h"

/* ---- bus to worker ---- */

enum bus_message_kind {
    BUS_EVENT,     /* struct bus_event: a frame for the subscribers of its topic */
    BUS_CONFIRMED, /* struct bus_topic: Redis confirmed the topic; frames in `forms` follow */
    BUS_LOST, /* struct bus_message: the subscription connection is gone; no topic is confirmed */
    BUS_GAP,  /* struct bus_topic: live events of the topic were dropped here */
    BUS_PUBLISHED /* struct bus_publish comes back with its status */
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
    struct frame *frame;
    uint64_t received_us; /* when Redis's bytes were read; 0 for frames of the worker's own */
    char topic[];         /* topic_len bytes */
};

struct bus_topic {
    struct bus_message base;
    uint64_t serial; /* CONFIRMED: that of the SUBSCRIBE which it answers */
    unsigned forms;  /* CONFIRMED: the forms that frames have from here on */
    bool live_gap;   /* CONFIRMED: the connection had been lost, and the topic carried live events
                        before */
    size_t topic_len;
    char topic[];
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

struct bus_message *bus_lost_new(void);
struct bus_topic *bus_topic_new(enum bus_message_kind kind, const char *topic, size_t topic_len);

/* ---- worker to bus ---- */

enum bus_request_kind {
    BUS_SUBSCRIBE,   /* struct bus_subscribe: this worker wants the topic in these forms too;
                        CONFIRMED answers */
    BUS_UNSUBSCRIBE, /* struct bus_subscribe: this worker wants the topic no more */
    BUS_PUBLISH,     /* struct bus_publish; PUBLISHED answers */
    BUS_STOP         /* struct bus_request: end the bus; from the application, not from workers */
};

struct bus_request {
    struct queue_node node;
    enum bus_request_kind kind;
    unsigned worker; /* whose queue gets the answer */
};

struct bus_subscribe {
    struct bus_request base;
    uint64_t serial; /* the worker's: tells a topic from its namesake that it gave up before */
    unsigned forms;  /* bit set of enum frame_form */
    size_t topic_len;
    char topic[];
};

struct bus_subscribe *bus_subscribe_new(enum bus_request_kind kind, const char *topic,
                                        size_t topic_len, unsigned forms);

/* What one publish may take on its way to Redis: its envelope, once for each topic. Who makes a
 * larger one refuses it. */
enum { BUS_PUBLISH_MAX_BYTES = 32 * 1024 * 1024 };

/* A live publish, there and back: one object makes the whole trip. */
struct bus;
struct bus_publish {
    union {
        struct bus_request request; /* on the way there */
        struct bus_message answer;  /* on the way back */
    } base;
    void *waiter; /* the worker's: who waits; NULL once it has gone. The bus does not look at it */
    char *envelope;
    size_t envelope_len;
    char *topics; /* topics_len names, each with a NUL behind (topics hold none) */
    size_t topics_len;
    struct bus *bus;    /* these two are the bus's */
    size_t topics_left; /* how many answers are missing */
    int status; /* RELAY_OK, RELAY_EAGAIN (no connection: nothing was published), RELAY_ECONN,
                   RELAY_ETIMEOUT or RELAY_ECANCELED (may have been published), RELAY_EREMOTE (Redis
                   refused; why says it) */
    char why[160];
};

void bus_publish_free(struct bus_publish *p);

#endif
