/* What hub.c, topics.c and subscriber.c share; nobody else includes this. */
#ifndef RELAY_HUB_INTERNAL_H
#define RELAY_HUB_INTERNAL_H

#include <uthash.h>

#include "relay/base/rng.h"
#include "relay/base/wheel.h"
#include "relay/hub/hub.h"
#include "relay/hub/outbox.h"

enum subscriber_state {
    SUBSCRIBER_ATTACH,
    SUBSCRIBER_LIVE,
    SUBSCRIBER_LAGGING,
    SUBSCRIBER_CLOSING
};

/* One subscriber's place in one topic. */
struct subscription {
    struct hub_topic *topic;
    uint32_t slot;  /* index in topic->slots */
    bool confirmed; /* Redis confirmed the topic, in this subscriber's form */
    bool dropped;   /* a live event of it was lost for this subscriber; the next reset says so */
};

struct subscriber {
    struct hub *hub;
    struct stream *stream;
    struct subscriber *dirty_next; /* the list of those to be flushed */
    struct subscriber **dirty_at;  /* what points at it in that list; NULL when it is not there */
    struct outbox outbox;
    struct wheel_entry deadline; /* the next heartbeat, or the end */
    uint64_t heartbeat_due_ms;
    uint64_t end_ms; /* 0: none */
    uint8_t state;   /* enum subscriber_state */
    uint8_t end_why; /* enum hub_end, once end_ms is set */
    bool ping;
    bool written;         /* since the last look: then no heartbeat is needed */
    uint32_t unconfirmed; /* subscriptions that are not confirmed */
    uint32_t subscriptions_len;
    struct subscription subscriptions[];
};

/* A topic's list of subscribers, as the fan-out walks it. */
struct hub_slot {
    struct subscriber *subscriber;
    uint32_t which; /* index of the subscription */
};

struct hub_topic {
    UT_hash_handle hh;
    uint64_t serial;          /* of this topic's SUBSCRIBE requests */
    unsigned forms_requested; /* bit sets of enum frame_form */
    unsigned forms_confirmed; /* 0: not confirmed */
    struct hub_slot *slots;
    uint32_t len, cap;
    size_t name_len;
    char name[];
};

struct hub {
    struct hub_options options;
    struct hub_figures *figures;
    struct hub_topic *topics;
    uint64_t next_serial;
    struct queue_node *inbox; /* messages received and not handled, oldest first */
    struct queue_node **inbox_tail;
    struct subscriber *dirty; /* to be flushed, oldest first */
    struct subscriber **dirty_tail;
    size_t unflushed_bytes; /* of events, handed to outboxes since the dirty list was empty */
    struct wheel wheel;
    struct rng rng;
    struct bus_event *heartbeat; /* shared by all */
    struct bus_event *ping;
    uint64_t now_us; /* refreshed often enough for the latency histogram */
    bool draining;
    uint64_t drain_end_ms;
};

/* topics.c */
struct hub_topic *topic_find(struct hub *hub, const char *name, size_t len);
void topic_join(struct hub *hub, const struct hub_topic_name *name, struct subscriber *s,
                uint32_t which);
void topic_leave(struct hub *hub, struct subscription *sub);

/* subscriber.c */
void subscriber_mark_dirty(struct subscriber *s);
void subscriber_clear_dirty(struct subscriber *s); /* nothing happens when it is not */
void subscriber_push(struct subscriber *s, struct bus_event *e);
void subscriber_take_frame(struct subscriber *s, struct frame *f);
void subscriber_lag(struct subscriber *s);
void subscriber_settle(struct subscriber *s);
void subscriber_deadline(struct subscriber *s, uint64_t now_ms);
void subscriber_end_at(struct subscriber *s, uint64_t end_ms, enum hub_end why);

#endif
