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

/* One event: its message as published, and its frame in the forms that were wanted so far. */
struct ring_entry {
    struct event_id id, prev;
    char *message; /* `sse1 <id> <prev> <json>` */
    size_t message_len;
    struct frame *frame; /* NULL until it was encoded */
    unsigned forms;      /* that the frame has */
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
 * taken over. */
struct ring_entry *ring_append(struct ring *r, const struct event_id *id,
                               const struct event_id *prev, const char *message, size_t message_len,
                               struct frame *frame, unsigned forms);

/* Add the event whose id is floor: floor becomes @prev. */
void ring_prepend(struct ring *r, const struct event_id *id, const struct event_id *prev,
                  const char *message, size_t message_len);

/* Drop the oldest event: floor rises to it. Nothing happens when empty. */
void ring_drop_oldest(struct ring *r);

/* The event at place @i, 0 being the oldest. */
struct ring_entry *ring_at(const struct ring *r, size_t i);

/* The place of the first event above @pos; len where there is none. */
size_t ring_find(const struct ring *r, const struct event_id *pos);

/* Make sure that the entry's frame has @form, encoding it anew where not; account for it in bytes.
 * Returns NULL where memory is short or the message does not decode. */
struct frame *ring_frame(struct ring *r, struct ring_entry *e, const char *topic, size_t topic_len,
                         enum frame_form form);

/* Forget the frames, which ring_frame() makes anew; the events stay. */
void ring_drop_frames(struct ring *r);

#endif
