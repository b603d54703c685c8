/* What a subscriber writes to: the response of one exchange.
 *
 * The hub never sees a socket. It queues frames in the subscriber's outbox and calls flush once per
 * loop turn; the stream gathers (hub_gather), writes, and says what left (hub_written): within
 * flush, or later, when all streams of its connection are written together, when the socket drains,
 * or when the client opens its window. Until then the outbox fills, which is all that the hub knows
 * of a slow client. What stands around the frames (chunks, frames of HTTP/2), and what ends the
 * response, is the stream's alone. */
#ifndef RELAY_HUB_STREAM_H
#define RELAY_HUB_STREAM_H

#include "relay/hub/hub_metrics.h"

struct stream;

struct stream_ops {
    /* The outbox has frames: write what can be written now, or see to it that it will be. May end
     * in hub_detach(). */
    void (*flush)(struct stream *s);
    /* No more frames will be queued: when the outbox is empty, after a flush that follows, end the
     * response as its protocol asks for, and hub_detach(). Nothing of the hub may be called here.
     */
    void (*finish)(struct stream *s, enum hub_end why);
};

struct stream {
    const struct stream_ops *ops;
};

#endif
