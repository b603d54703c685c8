/* What goes to the workers' inboxes about a topic: events, and gaps. The bus thread. */
#ifndef RELAY_BUS_DELIVER_H
#define RELAY_BUS_DELIVER_H

#include "relay/bus/topic.h"
#include "relay/sse/frame.h"

/* Queue a frame for the workers that want the topic, and take it over. @id NULL: a live event. A
 * worker whose queue is full gets a gap at its tail instead. */
void deliver_event(struct bus_topic *t, struct frame *frame, const struct event_id *id);

/* From here on nothing is certain for the topic's subscribers: they ask for a replay. @reasons:
 * bits of enum reset_reason that they are told when they are live again. */
void notify_gap_to_all(struct bus_topic *t, unsigned reasons);

/* The same behind a gap, once it is known what was missed in it: @id is the first of that.
 * Whoever's cursor passed it meanwhile, by an event of another topic, is told. */
void notify_missed_to_all(struct bus_topic *t, const struct event_id *id);

/* An answer that says live was queued for the worker: an event that is dropped behind it has to be
 * told anew. */
void deliver_resumed(struct bus_topic *t, unsigned worker);

#endif
