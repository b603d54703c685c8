/* A subscriber's states, what is queued for it, and its notices: hub.h tells its life. */
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

static metric *gauge_of(struct subscriber *s, enum subscriber_state state) {
    if (state == SUBSCRIBER_LAGGING)
        return &s->hub->metrics->lagging;
    return state == SUBSCRIBER_REPLAY ? &s->hub->metrics->replaying : NULL;
}

/* The one place where it changes, so that the gauge holds. */
void subscriber_set_blocked(struct subscriber *s, bool blocked) {
    if (blocked && !s->blocked)
        metric_add(&s->hub->metrics->blocked, 1);
    else if (!blocked && s->blocked)
        metric_sub(&s->hub->metrics->blocked, 1);
    s->blocked = blocked;
}

/* Likewise. */
void subscriber_set_state(struct subscriber *s, enum subscriber_state state) {
    if (state == SUBSCRIBER_CLOSING)
        subscriber_set_blocked(s, false);
    metric *old = gauge_of(s, s->state), *new = gauge_of(s, state);
    if (old != NULL)
        metric_sub(old, 1);
    if (new != NULL)
        metric_add(new, 1);
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
        buf_put_json_line(json, sub->topic->name, sub->topic->name_len);
    }
    buf_putc(json, ']');
    return n;
}

static void announce(struct subscriber *s, const char *name, const struct cursor *at,
                     const struct buf *json) {
    struct buf id = BUF_INIT;
    if (cursor_is_set(at))
        cursor_format(&id, at);
    subscriber_take_frame(s, frame_notice(name, id.data, json->data, json->len));
    buf_fini(&id);
}

/* One relay.reset for each reason that waits to be told. @at: from where the stream goes on. */
void subscriber_announce_resets(struct subscriber *s, const struct cursor *at) {
    for (unsigned bit = 0; bit < RESET_REASONS; bit++) {
        struct buf json = BUF_INIT;
        buf_putc(&json, '{');
        if (put_topics(s, &json, 1u << bit) > 0) {
            buf_printf(&json, ",\"reason\":\"%s\"}", reset_reason_name(bit));
            announce(s, "relay.reset", at, &json);
            metric_add(&s->hub->metrics->resets[bit], 1);
        }
        buf_fini(&json);
    }
    for (uint32_t i = 0; i < s->subscriptions_len; i++)
        s->subscriptions[i].reasons = 0;
}

/* Now LIVE: tell what was lost on the way and, the first time, that the stream is live. */
void subscriber_announce_live(struct subscriber *s) {
    subscriber_announce_resets(s, &s->cursor);
    if (s->announced)
        return;
    struct buf json = BUF_INIT;
    buf_putc(&json, '{');
    put_topics(s, &json, 0);
    buf_putc(&json, '}');
    announce(s, "relay.live", &s->cursor, &json);
    buf_fini(&json);
    s->announced = true;
}
