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

void subscriber_lag(struct subscriber *s) {
    if (s->state != SUBSCRIBER_LIVE)
        return;
    s->state = SUBSCRIBER_LAGGING;
    figure_add(&s->hub->figures->lagging, 1);
}

/* ---- notices ---- */

/* `{"topics":[…]` of all subscriptions, or of those that lost something, whose marks are cleared.
 * Returns how many. */
static unsigned put_topics(struct subscriber *s, struct buf *json, bool only_dropped) {
    unsigned n = 0;
    buf_puts(json, "{\"topics\":[");
    for (uint32_t i = 0; i < s->subscriptions_len; i++) {
        struct subscription *sub = &s->subscriptions[i];
        if (only_dropped && !sub->dropped)
            continue;
        if (n++ > 0)
            buf_putc(json, ',');
        buf_put_json(json, sub->topic->name, sub->topic->name_len);
        sub->dropped = false;
    }
    buf_putc(json, ']');
    return n;
}

static void announce_live(struct subscriber *s) {
    struct buf json = BUF_INIT;
    put_topics(s, &json, false);
    buf_putc(&json, '}');
    subscriber_take_frame(s, frame_notice("relay.live", json.data, json.len));
    buf_fini(&json);
}

static void announce_reset(struct subscriber *s) {
    struct buf json = BUF_INIT;
    if (put_topics(s, &json, true) > 0) {
        buf_puts(&json, ",\"reason\":\"live\"}");
        subscriber_take_frame(s, frame_notice("relay.reset", json.data, json.len));
        figure_add(&s->hub->figures->resets_live, 1);
    }
    buf_fini(&json);
}

/* Go LIVE where that is possible now: all topics confirmed, and room in the outbox. */
void subscriber_settle(struct subscriber *s) {
    if (s->unconfirmed > 0)
        return;
    if (s->state == SUBSCRIBER_ATTACH) {
        announce_live(s);
    } else if (s->state == SUBSCRIBER_LAGGING) {
        if (!outbox_is_empty(&s->outbox) &&
            s->outbox.bytes > s->hub->options.outbox_limit_bytes / 2)
            return;
        announce_reset(s);
        figure_sub(&s->hub->figures->lagging, 1);
    } else {
        return;
    }
    s->state = SUBSCRIBER_LIVE;
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
    if (s->state == SUBSCRIBER_LAGGING)
        figure_sub(&s->hub->figures->lagging, 1);
    s->state = SUBSCRIBER_CLOSING;
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
    s->state = SUBSCRIBER_ATTACH;
    s->ping = spec->ping;
    outbox_init(&s->outbox, spec->form, spec->chunked);
    wheel_entry_init(&s->deadline);
    subscriber_take_frame(s, spec->opening);
    s->subscriptions_len = (uint32_t)spec->topics_len;
    for (uint32_t i = 0; i < s->subscriptions_len; i++)
        topic_join(hub, &spec->topics[i], s, i);
    figure_add(&hub->figures->subscribers, 1);
    subscriber_settle(s);
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
    wheel_clear(&s->deadline);
    for (uint32_t i = 0; i < s->subscriptions_len; i++)
        topic_leave(hub, &s->subscriptions[i]);
    if (s->state == SUBSCRIBER_LAGGING)
        figure_sub(&hub->figures->lagging, 1);
    figure_sub(&hub->figures->subscribers, 1);
    outbox_fini(&s->outbox);
    free(s);
}

int hub_gather(const struct subscriber *s, struct iovec *iov, int max) {
    return outbox_gather(&s->outbox, iov, max);
}

static void count_delivery(void *arg, const struct bus_event *e) {
    struct subscriber *s = arg;
    if (e->received_us == 0) /* a notice of our own */
        return;
    s->written = true;
    figure_add(&s->hub->figures->deliveries, 1);
    figure_observe(&s->hub->figures->latency,
                   s->hub->now_us > e->received_us ? s->hub->now_us - e->received_us : 0);
}

void hub_written(struct subscriber *s, size_t bytes) {
    figure_add(&s->hub->figures->bytes, bytes);
    outbox_written(&s->outbox, bytes, count_delivery, s);
    if (s->state == SUBSCRIBER_LAGGING)
        subscriber_settle(s);
}

size_t hub_unsent(const struct subscriber *s) {
    return s->outbox.bytes;
}

bool hub_is_chunked(const struct subscriber *s) {
    return s->outbox.chunked;
}

void hub_push_last(struct subscriber *s, struct frame *f) {
    s->state = SUBSCRIBER_CLOSING;
    subscriber_take_frame(s, f);
}
