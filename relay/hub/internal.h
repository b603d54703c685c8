/* What the hub's files share; nobody else includes this. They know one another downwards only:
 * hub.c, kicks.c, subscriber_life.c, catch_up.c, subscriber.c, hub_topics.c. */
#ifndef RELAY_HUB_INTERNAL_H
#define RELAY_HUB_INTERNAL_H

#include <uthash.h>

#include "relay/base/owner.h"
#include "relay/base/rng.h"
#include "relay/base/siphash.h"
#include "relay/base/wheel.h"
#include "relay/hub/hub.h"
#include "relay/hub/outbox.h"

enum subscriber_state {
    SUBSCRIBER_REPLAY,
    SUBSCRIBER_LIVE,
    SUBSCRIBER_LAGGING,
    SUBSCRIBER_CLOSING
};

/* One subscriber's place in one topic. */
struct subscription {
    struct hub_topic *topic;
    uint32_t slot;         /* index in topic->slots */
    unsigned char reasons; /* bits of enum reset_reason, to be told when it is live again */
    bool in_hole;          /* told that it was trimmed, and nothing of it came since */
};

struct subscriber {
    struct hub *hub;
    struct stream *stream;
    struct subscriber *dirty_next; /* the list of those to be flushed */
    struct subscriber **dirty_at;  /* what points at it in that list; NULL when it is not there */
    struct outbox outbox;
    struct wheel_entry deadline; /* the next heartbeat, or the end */
    uint64_t heartbeat_due_ms;
    uint64_t end_ms;              /* 0: none */
    struct replay *replay;        /* under way or waiting for its turn; NULL: none */
    struct cursor cursor;         /* the last durable event queued, or where the stream began */
    struct cursor_request *start; /* what the client asked for, until the first answer */
    uint64_t replayed;            /* events of replays since it was last live */
    uint8_t state;                /* enum subscriber_state */
    uint8_t end_why;              /* enum hub_end, once end_ms is set */
    bool ping;
    bool written;      /* an event since the last heartbeat: then the next one is not needed */
    bool announced;    /* relay.live was sent */
    bool deferred;     /* its step could not be answered in time: it takes the other lane */
    bool blocked;      /* its last step was refused: Redis does not allow one of its topics */
    bool has_identity; /* behind the subscriptions */
    uint32_t max_event_bytes; /* 0: none is too long */
    uint32_t subscriptions_len;
    struct subscription subscriptions[];
};

/* Of one that has_identity. It stands behind the rest, so that nobody else pays for it. */
static inline struct hub_identity *subscriber_identity(struct subscriber *s) {
    return (struct hub_identity *)(void *)&s->subscriptions[s->subscriptions_len];
}
_Static_assert(sizeof(struct subscription) % _Alignof(struct hub_identity) == 0, "aligned");

/* One step of a subscriber's replay: a request to the bus, or a place in the line for one. */
struct replay {
    UT_hash_handle hh; /* by token, once sent */
    uint64_t token;    /* 0: waits for its turn */
    struct replay_lane *lane;
    struct subscriber *subscriber;
    struct replay *next, *prev; /* the line, while waiting */
};

/* Steps that share a bound. */
struct replay_lane {
    struct replay *line; /* waiting for their turn */
    unsigned sent;
    uint64_t patience_ms; /* of a step, on the bus */
};

/* A topic's list of subscribers, as the fan-out walks it. */
struct hub_slot {
    struct subscriber *subscriber;
    uint32_t which; /* index of the subscription */
};

struct hub_topic {
    UT_hash_handle hh;
    unsigned formats_requested; /* bit set of enum frame_format */
    struct hub_slot *slots;
    uint32_t len, cap;
    size_t name_len;
    char name[];
};

struct hub {
    struct owner owner; /* the worker's thread */
    struct hub_options options;
    struct hub_metrics *metrics;
    struct hub_topic *topics;
    struct siphash_key topics_key; /* clients choose the names */
    struct replay *replays;        /* sent to the bus, by token */
    struct replay_lane lanes[2];   /* the other one for those that were deferred */
    uint64_t next_token;
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
    struct queue_node *kicks; /* that came since the last turn */
};

/* hub_topics.c */
struct hub_topic *topic_find(struct hub *hub, const char *name, size_t len);
void topic_join(struct hub *hub, const struct hub_topic_name *name, struct subscriber *s,
                uint32_t which);
void topic_leave(struct hub *hub, struct subscription *sub);

/* catch_up.c */
void replay_init(struct hub *hub);
bool replay_is_idle(const struct hub *hub);
void replay_want(
    struct subscriber *s); /* unless one is under way, or the outbox has no room for it */
void replay_cancel(struct subscriber *s);
size_t replay_answered(struct hub *hub, struct bus_replayed *m);

/* subscriber.c */
void subscriber_mark_dirty(struct subscriber *s);
void subscriber_clear_dirty(struct subscriber *s); /* nothing happens when it is not */
void subscriber_push(struct subscriber *s, struct bus_event *e);
void subscriber_take_frame(struct subscriber *s, struct frame *f);
void subscriber_set_state(struct subscriber *s, enum subscriber_state state);
void subscriber_set_blocked(struct subscriber *s, bool blocked);
void subscriber_announce_live(struct subscriber *s);
void subscriber_announce_resets(struct subscriber *s, const struct cursor *at);

/* subscriber_life.c */
void subscriber_deadline(struct subscriber *s, uint64_t now_ms);
void subscriber_end_at(struct subscriber *s, uint64_t end_ms, enum hub_end why);
void subscriber_end_now(struct subscriber *s, enum hub_end why);

/* kicks.c */
void kicks_carry_out(struct hub *hub);
void kicks_free(struct hub *hub);

#endif
