/* A slice of what lies behind a cursor: events of several topics, merged in the order of their ids.
 * The bus thread. */
#ifndef RELAY_BUS_REPLAY_SLICE_H
#define RELAY_BUS_REPLAY_SLICE_H

#include "relay/bus/log_pages.h"
#include "relay/bus/message.h"

/* Events of one topic that may go into the slice. */
struct stretch {
    const struct log_page *page; /* where they are; NULL: in the topic's ring */
    size_t next;
    size_t bytes; /* of the ring, before frames are made */
    struct bus_topic *topic;
    bool taken;       /* some of it is in the slice */
    unsigned reasons; /* bits of enum reset_reason: of events that could not be taken */
};

struct slice {
    struct buf bytes;
    uint32_t count;
    struct event_id last;
    bool cut;     /* a limit was reached: there is more */
    uint64_t max; /* how many events it may hold, for --replay-limit */
};

/* What lies behind @pos: in @page, or where it is NULL in the topic's ring. */
struct stretch stretch_of(struct bus_topic *topic, const struct log_page *page,
                          const struct event_id *pos);

/* The id of the next event; NULL: there is none. */
const struct event_id *stretch_peek(const struct stretch *s);

/* Take events in the order of their ids, up to @bound (NULL: all), while they fit what @r asks for.
 * One that cannot be had is passed, and its stretch says the reason. */
void slice_gather(struct stretch *stretches, size_t len, const struct event_id *bound,
                  const struct bus_replay *r, struct slice *out);

/* The slice holds its bytes: the rings may let their frames go. */
void stretches_free(struct stretch *stretches, size_t len);

/* Its events as one message; NULL where there are none. */
struct bus_event *slice_event(struct slice *slice, enum frame_format format);

#endif
