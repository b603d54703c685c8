/* A subscriber's state machine: hub.h tells its life. */
#include <assert.h>
#include <stdlib.h>

#include "relay/base/buf.h"
#include "relay/base/mem.h"
#include "relay/hub/internal.h"

void subscriber_mark_dirty(struct subscriber *s) {
    if (s->dirty_at != NULL)
        return;
    s->dirty_next = NULL;
    s->dirty_at = s->hub->dirty_tail;
    *s->dirty_at = s;
    s->hub->dirty_tail = &s->dirty_next;
}

void subscriber_clear_dirty(struct subscriber *s) {
    if (s->dirty_at == NULL)
        return;
    *s->dirty_at = s->dirty_next;
    if (s->dirty_next != NULL)
        s->dirty_next->dirty_at = s->dirty_at;
    else
        s->hub->dirty_tail = s->dirty_at;
    s->dirty_at = NULL;
}

/* Queue what has to go out whatever the limit: notices, which are small and few. */
void subscriber_push(struct subscriber *s, struct bus_event *e) {
    if (outbox_push(&s->outbox, e, SIZE_MAX) == 0)
        subscriber_mark_dirty(s);
}

void subscriber_take_frame(struct subscriber *s, struct frame *f) {
    struct bus_event *e = bus_event_new(f, NULL, 0, 0);
    subscriber_push(s, e);
    bus_event_unref(e);
}

static figure *gauge_of(struct subscriber *s, enum subscriber_state state) {
    if (state == SUBSCRIBER_LAGGING)
        return &s->hub->figures->lagging;
    return state == SUBSCRIBER_REPLAY ? &s->hub->figures->replaying : NULL;
}

/* The one place where the state changes, so that the gauges hold. */
void subscriber_set_state(struct subscriber *s, enum subscriber_state state) {
    figure *old = gauge_of(s, s->state), *new = gauge_of(s, state);
    if (old != NULL)
        figure_sub(old, 1);
    if (new != NULL)
        figure_add(new, 1);
    s->state = (uint8_t)state;
}

/* ---- notices ---- */

/* `"topics":[…]` of the subscriptions that have @reason, or of all where it is 0. Returns how many.
 */
static unsigned put_topics(const struct subscriber *s, struct buf *json, unsigned reason) {
    unsigned n = 0;
    buf_puts(json, "\"topics\":[");
    for (uint32_t i = 0; i < s->subscriptions_len; i++) {
        const struct subscription *sub = &s->subscriptions[i];
        if (reason != 0 && (sub->reasons & reason) == 0)
            continue;
        if (n++ > 0)
            buf_putc(json, ',');
        buf_put_json(json, sub->topic->name, sub->topic->name_len);
    }
    buf_putc(json, ']');
    return n;
}

static void announce(struct subscriber *s, const char *name, const struct event_id *at,
                     const struct buf *json) {
    struct buf id = BUF_INIT;
    if (at != NULL)
        id_format(&id, at);
    subscriber_take_frame(s, frame_notice(name, id.data, json->data, json->len));
    buf_fini(&id);
}

/* One relay.reset for each reason that waits to be told. @at: the id from which the stream goes on;
 * NULL: none. */
void subscriber_announce_resets(struct subscriber *s, const struct event_id *at) {
    for (unsigned bit = 0; bit < RESET_REASONS; bit++) {
        struct buf json = BUF_INIT;
        buf_putc(&json, '{');
        if (put_topics(s, &json, 1u << bit) > 0) {
            buf_printf(&json, ",\"reason\":\"%s\"}", reset_reason_name(bit));
            announce(s, "relay.reset", at, &json);
            figure_add(&s->hub->figures->resets[bit], 1);
        }
        buf_fini(&json);
    }
    for (uint32_t i = 0; i < s->subscriptions_len; i++)
        s->subscriptions[i].reasons = 0;
}

/* Now LIVE: tell what was lost on the way, or, the first time, that the stream is live. */
void subscriber_announce_live(struct subscriber *s) {
    const struct event_id *at = s->has_cursor ? &s->cursor : NULL;
    if (s->announced) {
        subscriber_announce_resets(s, at);
        return;
    }
    struct buf json = BUF_INIT;
    buf_putc(&json, '{');
    put_topics(s, &json, 0);
    buf_putc(&json, '}');
    announce(s, "relay.live", at, &json);
    buf_fini(&json);
    s->announced = true;
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
    subscriber_take_frame(s, frame_retry(hub_retry_soon_ms(s->hub)));
    s->stream->ops->finish(s->stream, s->end_why);
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
    struct subscriber *s = mem_zalloc(sizeof(*s) + spec->topics_len * sizeof(s->subscriptions[0]));
    s->hub = hub;
    s->stream = stream;
    s->start = mem_zalloc(sizeof(*s->start));
    *s->start = spec->start;
    figure_add(&hub->figures->replaying, 1); /* of the state REPLAY, which is 0 */
    s->ping = spec->ping;
    outbox_init(&s->outbox, spec->form, spec->chunked);
    wheel_entry_init(&s->deadline);
    subscriber_take_frame(s, spec->opening);
    s->subscriptions_len = (uint32_t)spec->topics_len;
    for (uint32_t i = 0; i < s->subscriptions_len; i++)
        topic_join(hub, &spec->topics[i], s, i);
    figure_add(&hub->figures->subscribers, 1);
    replay_want(s);
    s->heartbeat_due_ms = now_ms + 1 + rng_below(&hub->rng, look_ms(s)); /* a phase of its own */
    set_deadline(s);
    if (o->max_age_ms > 0)
        subscriber_end_at(s, now_ms + rng_jitter(&hub->rng, o->max_age_ms, 10), HUB_END_MAX_AGE);
    if (hub->draining) {
        uint64_t left = hub->drain_end_ms > now_ms ? hub->drain_end_ms - now_ms : 0;
        subscriber_end_at(s, now_ms + rng_below(&hub->rng, left + 1), HUB_END_DRAIN);
    }
    return s;
}

void hub_detach(struct subscriber *s) {
    struct hub *hub = s->hub;
    subscriber_clear_dirty(s);
    replay_cancel(s);
    free(s->start);
    wheel_clear(&s->deadline);
    for (uint32_t i = 0; i < s->subscriptions_len; i++)
        topic_leave(hub, &s->subscriptions[i]);
    subscriber_set_state(s, SUBSCRIBER_CLOSING);
    figure_sub(&hub->figures->subscribers, 1);
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
    figure_add(&hub->figures->deliveries, e->count);
    if (e->received_us != 0)
        figure_observe(&hub->figures->latency,
                       hub->now_us > e->received_us ? hub->now_us - e->received_us : 0);
}

void hub_written(struct subscriber *s, size_t bytes) {
    figure_add(&s->hub->figures->bytes, bytes);
    outbox_written(&s->outbox, bytes, count_delivery, s);
    if (s->state == SUBSCRIBER_LAGGING || s->state == SUBSCRIBER_REPLAY)
        replay_want(s);
}

size_t hub_unsent(const struct subscriber *s) {
    return s->outbox.bytes;
}

bool hub_is_chunked(const struct subscriber *s) {
    return s->outbox.chunked;
}

void hub_push_last(struct subscriber *s, struct frame *f) {
    subscriber_set_state(s, SUBSCRIBER_CLOSING);
    subscriber_take_frame(s, f);
}
