/* What a subscriber writes to: an HTTP/1 response today, an HTTP/2 stream some day.
 *
 * The hub never sees a socket. It queues frames in the subscriber's outbox and calls flush once per
 * loop turn; the stream gathers (hub_gather), writes, and says what left (hub_written), now and
 * whenever its socket drains. */
#ifndef RELAY_HUB_STREAM_H
#define RELAY_HUB_STREAM_H

#include "relay/hub/figures.h"

struct stream;

struct stream_ops {
    /* The outbox has frames: write what the socket takes now. May end in hub_detach(). */
    void (*flush)(struct stream *s);
    /* No more frames will be queued: end the response properly once the outbox is empty, and then
     * hub_detach(). The stream may hub_push_last() here, and nothing else of the hub. */
    void (*finish)(struct stream *s, enum hub_end why);
};

struct stream {
    const struct stream_ops *ops;
};

#endif
