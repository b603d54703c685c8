/* A subscriber's beginning, its deadlines and its end, and what its stream calls. */
#include <assert.h>
#include <stdlib.h>

#include "relay/base/buf.h"
#include "relay/base/mem.h"
#include "relay/hub/internal.h"

enum { RETRY_SOON_MS = 200 };

uint64_t hub_retry_ms(struct hub *hub) {
    return rng_jitter(&hub->rng, hub->options.retry_ms, 50);
}

uint64_t hub_retry_soon_ms(struct hub *hub) {
    return RETRY_SOON_MS + rng_below(&hub->rng, hub->options.retry_ms);
}

/* ---- the end ---- */

static void set_deadline(struct subscriber *s) {
    uint64_t due = s->heartbeat_due_ms;
    if (s->end_ms != 0 && s->end_ms < due)
        due = s->end_ms;
    wheel_set(&s->hub->wheel, &s->deadline, due);
}

/* Let the stream end at @end_ms, unless it ends earlier already. */
void subscriber_end_at(struct subscriber *s, uint64_t end_ms, enum hub_end why) {
    if (s->state == SUBSCRIBER_CLOSING || (s->end_ms != 0 && s->end_ms <= end_ms))
        return;
    s->end_ms = end_ms;
    s->end_why = (uint8_t)why;
    set_deadline(s);
}

static void finish(struct subscriber *s) {
    replay_cancel(s);
    subscriber_set_state(s, SUBSCRIBER_CLOSING);
    subscriber_take_frame(s, frame_close(hub_end_name(s->end_why), hub_retry_soon_ms(s->hub)));
    s->stream->ops->finish(s->stream, s->end_why);
}

/* Whatever is queued leaves first. It may be called in a walk over subscribers. */
void subscriber_end_now(struct subscriber *s, enum hub_end why) {
    s->end_why = (uint8_t)why;
    wheel_clear(&s->deadline);
    finish(s);
}

/* How long a stream goes between two looks at whether it needs a heartbeat. */
static uint64_t look_ms(const struct subscriber *s) {
    return s->hub->options.heartbeat_ms / (s->ping ? 1 : 2);
}

/* A heartbeat that nobody needs, since something else left or is leaving, is not sent; a client
 * that asked for pings watches for them, and gets each one. A look in each half of the interval
 * bounds the silence to the whole of it, and leaves each stream its own phase. */
static void heartbeat(struct subscriber *s, uint64_t now_ms) {
    bool wanted = outbox_is_empty(&s->outbox) && (s->ping || !s->written);
    if (wanted)
        subscriber_push(s, s->ping ? s->hub->ping : s->hub->heartbeat);
    s->written = wanted;
    s->heartbeat_due_ms = now_ms + look_ms(s);
}

void subscriber_deadline(struct subscriber *s, uint64_t now_ms) {
    if (s->end_ms != 0 && now_ms >= s->end_ms) {
        finish(s);
        return;
    }
    if (now_ms >= s->heartbeat_due_ms)
        heartbeat(s, now_ms);
    set_deadline(s);
}

/* ---- from the stream ---- */

struct subscriber *hub_attach(struct hub *hub, const struct hub_subscription_spec *spec,
                              struct stream *stream, uint64_t now_ms) {
    const struct hub_options *o = &hub->options;
    owner_check(&hub->owner);
    bool has_identity = spec->identity.subject != 0 || spec->identity.token != 0;
    struct subscriber *s = mem_zalloc(sizeof(*s) + spec->topics_len * sizeof(s->subscriptions[0]) +
                                      (has_identity ? sizeof(spec->identity) : 0));
    s->hub = hub;
    s->stream = stream;
    s->start = mem_zalloc(sizeof(*s->start));
    *s->start = spec->start;
    metric_add(&hub->metrics->replaying, 1); /* of the state REPLAY, which is 0 */
    s->ping = spec->ping;
    s->max_event_bytes = spec->max_event_bytes;
    outbox_init(&s->outbox, spec->format, spec->framing);
    wheel_entry_init(&s->deadline);
    subscriber_take_frame(s, spec->opening);
    s->subscriptions_len = (uint32_t)spec->topics_len;
    for (uint32_t i = 0; i < s->subscriptions_len; i++)
        topic_join(hub, &spec->topics[i], s, i);
    s->has_identity = has_identity;
    if (has_identity)
        *subscriber_identity(s) = spec->identity;
    metric_add(&hub->metrics->subscribers, 1);
    replay_want(s);
    s->heartbeat_due_ms = now_ms + 1 + rng_below(&hub->rng, look_ms(s)); /* a phase of its own */
    set_deadline(s);
    if (o->max_age_ms > 0)
        subscriber_end_at(s, now_ms + rng_jitter(&hub->rng, o->max_age_ms, 10), HUB_END_MAX_AGE);
    if (spec->expires_ms > 0)
        subscriber_end_at(s, spec->expires_ms, HUB_END_EXPIRED);
    if (hub->draining) {
        uint64_t left = hub->drain_end_ms > now_ms ? hub->drain_end_ms - now_ms : 0;
        subscriber_end_at(s, now_ms + rng_below(&hub->rng, left + 1), HUB_END_DRAIN);
    }
    return s;
}

void hub_detach(struct subscriber *s) {
    struct hub *hub = s->hub;
    owner_check(&hub->owner);
    subscriber_clear_dirty(s);
    replay_cancel(s);
    free(s->start);
    wheel_clear(&s->deadline);
    for (uint32_t i = 0; i < s->subscriptions_len; i++)
        topic_leave(hub, &s->subscriptions[i]);
    subscriber_set_state(s, SUBSCRIBER_CLOSING);
    metric_sub(&hub->metrics->subscribers, 1);
    outbox_fini(&s->outbox);
    free(s);
}

int hub_gather(const struct subscriber *s, struct iovec *iov, int max) {
    return outbox_gather(&s->outbox, iov, max);
}

static void count_delivery(void *arg, const struct bus_event *e) {
    struct subscriber *s = arg;
    struct hub *hub = s->hub;
    if (e->count == 0) /* a notice of our own */
        return;
    s->written = true;
    metric_add(&hub->metrics->deliveries, e->count);
    if (e->received_us != 0)
        metric_observe(&hub->metrics->latency,
                       hub->now_us > e->received_us ? hub->now_us - e->received_us : 0);
}

void hub_written(struct subscriber *s, size_t bytes) {
    owner_check(&s->hub->owner);
    metric_add(&s->hub->metrics->bytes, bytes);
    outbox_written(&s->outbox, bytes, count_delivery, s);
    if (s->state == SUBSCRIBER_LAGGING || s->state == SUBSCRIBER_REPLAY)
        replay_want(s);
}

size_t hub_unsent(const struct subscriber *s) {
    return s->outbox.bytes;
}
