/* The recent durable events of one topic, without a gap: what most replays are served from.
 *
 * Holds every event of the topic with floor < id <= top, each linked to the one before by its
 * `prev`. Grows at the top with what is published, at the floor with what is read from the log
 * backwards, and gives up its oldest events where it exceeds its bytes. Pure; the bus thread;
 * embedded. */
#ifndef RELAY_BUS_RING_H
#define RELAY_BUS_RING_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/sse/frame.h"
#include "relay/wire/id.h"

/* One event: its message as published, and its frame in the formats that were wanted so far. */
struct ring_entry {
    struct event_id id, prev;
    char *message; /* `sse1 <id> <prev> <json>` */
    size_t message_len;
    struct frame *frame; /* NULL until it was encoded */
    unsigned formats;    /* that the frame has */
};

struct ring {
    struct ring_entry *entries; /* a circular array */
    size_t head, len, cap;      /* cap is a power of two */
    size_t bytes;               /* that the entries take */
    struct event_id floor;      /* all events above it are here */
    struct event_id top;        /* the latest of the topic; equals floor where the ring is empty */
};

/* Empty: nothing is known but that @at is the topic's latest. */
void ring_init(struct ring *r, const struct event_id *at);

/* Forget all events; @at is the topic's latest. */
void ring_reset(struct ring *r, const struct event_id *at);
void ring_fini(struct ring *r);

/* Add the event behind top: @prev must be top. The message is copied; @frame may be NULL and is
 * taken over. NULL where memory is short (the size is a publisher's choice): nothing was added. */
struct ring_entry *ring_append(struct ring *r, const struct event_id *id,
                               const struct event_id *prev, const char *message, size_t message_len,
                               struct frame *frame, unsigned formats);

/* Add the event whose id is floor: floor becomes @prev. NULL as above. */
struct ring_entry *ring_prepend(struct ring *r, const struct event_id *id,
                                const struct event_id *prev, const char *message,
                                size_t message_len);

/* Drop the oldest event: floor rises to it. Nothing happens when empty. */
void ring_drop_oldest(struct ring *r);

/* The event at place @i, 0 being the oldest. */
struct ring_entry *ring_at(const struct ring *r, size_t i);

/* The place of the first event above @pos; len where there is none. */
size_t ring_find(const struct ring *r, const struct event_id *pos);

/* Make sure that the entry's frame has @format, encoding it anew where not; account for it in
 * bytes.
 *
 * Returns RELAY_OK and *@out is the frame, the ring's; or RELAY_ENOMEM; or RELAY_EINVAL: the
 * message does not decode, and never will. */
int ring_frame(struct ring *r, struct ring_entry *e, const char *topic, size_t topic_len,
               enum frame_format format, struct frame **out);

/* Forget the frames, which ring_frame() makes anew; the events stay. */
void ring_drop_frames(struct ring *r);

/* What has to be done to serve what lies behind a position. */
enum range {
    RANGE_RING,    /* nothing: the ring has all of it */
    RANGE_TRIMMED, /* nothing: the ring has what is left, and the log no longer holds the rest */
    RANGE_EXTEND,  /* extend the ring backwards */
    RANGE_LOG      /* read the log: the ring is as long as it may be */
};

/* @extended: as far back as its bytes allow, or the log goes. @reaches_back: the log holds nothing
 * at or below its floor. */
enum range ring_range(const struct ring *r, bool extended, bool reaches_back,
                      const struct event_id *pos);

/* When its first event was published, where Redis knew of none before it then, and @now_ms where
 * there is none; 0 where it knew of one. What is behind a cursor that is older than the domain's
 * memory may have been forgotten by then. */
uint64_t ring_began_ms(const struct ring *r, uint64_t now_ms);

#endif
