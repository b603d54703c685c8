/* One worker's topics and subscribers, and the fan-out from one to the other.
 *
 * Pure: no uv, no HTTP, no Redis, no clock of its own. Messages of the bus go in, frames come out
 * in the subscribers' outboxes, requests to the bus leave through `send`. Everything runs on the
 * worker's thread.
 *
 * A subscriber's life: REPLAY until the bus has brought it from its cursor to the present; then
 * `relay.live` is queued and it is LIVE. An outbox that is full, or a gap on one of its topics,
 * makes it LAGGING: it gets no durable events until its outbox has drained to a half; then it goes
 * through REPLAY again, the same code as a reconnect. What is really gone is told by `relay.reset`
 * before anything behind it. CLOSING: its end was announced, and nothing more is queued.
 *
 * The cursor of a subscriber never passes an event of its topics that it was not sent: durable
 * events are queued in the order of their ids, and one at or below the cursor is not queued again.
 */
#ifndef RELAY_HUB_HUB_H
#define RELAY_HUB_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "relay/bus/message.h"
#include "relay/hub/hub_metrics.h"
#include "relay/hub/stream.h"

struct hub;
struct subscriber;

struct hub_options {
    size_t outbox_limit_bytes; /* per subscriber */
    uint64_t heartbeat_ms;
    uint64_t max_age_ms; /* 0: none */
    uint64_t retry_ms;   /* base of the jittered retry */
    unsigned worker;     /* the number in requests to the bus */
    uint64_t (*now_us)(void);
    void (*send)(void *ctx, struct bus_request *request); /* takes the request over */
    void *send_ctx;
};

/* Never NULL. @metrics must outlive the hub. */
struct hub *hub_new(const struct hub_options *options, struct hub_metrics *metrics,
                    uint64_t now_ms);

/* There must be no subscriber left. */
void hub_free(struct hub *hub);

/* What a request asked for. */
struct hub_topic_name {
    const char *name;
    size_t len;
};

/* Whom a stream is of, as its token says: hashes that this hub alone can make; 0: nobody. */
struct hub_identity {
    uint64_t subject, token;
};

/* @len 0: there is none. */
struct hub_identity hub_identify(const struct hub *hub, const char *subject, size_t subject_len,
                                 const char *token, size_t token_len);

struct hub_subscription_spec {
    const struct hub_topic_name *topics; /* at least one, no two equal */
    size_t topics_len;
    enum frame_format format;
    enum frame_framing framing; /* of the frames in the outbox; the hub passes it on */
    uint32_t max_event_bytes;   /* a longer block is replaced by relay.large; 0: none is too long */
    bool ping;                  /* heartbeats are `relay.ping` events */
    struct cursor_request start;
    uint64_t expires_ms;          /* by the clock of hub_attach(): the stream ends then; 0: never */
    struct hub_identity identity; /* by whom it can be kicked */
    struct frame *opening;        /* the first bytes: taken over */
};

/* Register a subscriber. Its opening is queued and leaves at the next hub_turn(). Never NULL.
 * @stream must live until hub_detach(). */
struct subscriber *hub_attach(struct hub *hub, const struct hub_subscription_spec *spec,
                              struct stream *stream, uint64_t now_ms);

/* Forget and free a subscriber, in any state, also from within flush. */
void hub_detach(struct subscriber *s);

/* Unsent bytes, as iovecs; what was written of them. hub_written() may queue a reset, which is
 * flushed by the next hub_turn(). */
int hub_gather(const struct subscriber *s, struct iovec *iov, int max);
void hub_written(struct subscriber *s, size_t bytes);
size_t hub_unsent(const struct subscriber *s);

/* Take a message of the bus (not PUBLISHED) over; it is handled by hub_turn(). */
void hub_receive(struct hub *hub, struct bus_message *m);

/* Add the subscribers of its topic to @c, and send it back to the bus. Takes it over. */
void hub_count(struct hub *hub, struct bus_count *c);

/* End the streams that @k means, at the next hub_turn(), before any message is handled; then it
 * goes back to the bus. Takes it over. */
void hub_kick(struct hub *hub, struct bus_kick *k);

/* True while messages were received that hub_turn() has not handled: then take no more from the
 * queue, so that its bound holds. */
bool hub_is_behind(const struct hub *hub);

/* Handle messages and flush touched subscribers, each once, up to a bounded amount of work. Returns
 * true when work is left: call again after the loop has looked at its sockets. */
bool hub_turn(struct hub *hub);

/* Heartbeats, maximum ages and drain. Call every WHEEL_TICK_MS or so. */
void hub_tick(struct hub *hub, uint64_t now_ms);

/* End all subscribers, each at a moment of its own within @window_ms from now; later ones too. */
void hub_drain(struct hub *hub, uint64_t now_ms, uint64_t window_ms);

/* The retry that a stream is opened with, and the short one of a node whose neighbours are well;
 * jittered, in ms. */
uint64_t hub_retry_ms(struct hub *hub);
uint64_t hub_retry_soon_ms(struct hub *hub);

#endif
