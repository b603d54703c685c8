/* The hub's turn: messages in, fan-out, flush; see hub.h. */
#include "relay/hub/hub.h"

#include <assert.h>
#include <stdlib.h>

#include "relay/base/mem.h"
#include "relay/hub/internal.h"

enum {
    /* Bounds of one turn. Messages come first, so that under load several events leave in one
     * system call; the pushes are cheap, the flushes are not. */
    TURN_PUSHES = 65536,
    TURN_FLUSHES = 1024,
    CLOCK_EVERY = 32 /* flushes between two looks at the clock */
};

struct hub *hub_new(const struct hub_options *options, struct hub_metrics *metrics,
                    uint64_t now_ms) {
    struct hub *hub = mem_zalloc(sizeof(*hub));
    hub->options = *options;
    hub->metrics = metrics;
    hub->inbox_tail = &hub->inbox;
    hub->dirty_tail = &hub->dirty;
    wheel_init(&hub->wheel, now_ms);
    replay_init(hub);
    rng_init(&hub->rng);
    siphash_key_init(&hub->topics_key);
    hub->heartbeat = bus_event_new(frame_heartbeat(), NULL, 0, 0);
    hub->ping = bus_event_new(frame_notice("relay.ping", NULL, "{}", 2), NULL, 0, 0);
    return hub;
}

static const struct bus_message *message_of(const struct queue_node *node) {
    return container_of(node, const struct bus_message, node);
}

/* When @m was read from Redis; 0: it does not say. */
static uint64_t received_us(const struct bus_message *m) {
    return m->kind == BUS_EVENT ? ((const struct bus_event *)m)->received_us : 0;
}

/* Since when the oldest message waits. One that does not say when it came has come behind the one
 * before it, whose time stays. */
static void inbox_note_oldest(struct hub *hub) {
    uint64_t us = hub->inbox != NULL ? received_us(message_of(hub->inbox)) : 0;
    if (us != 0 || hub->inbox == NULL)
        metric_set(&hub->metrics->waiting_since_us, us);
}

static struct bus_message *inbox_pop(struct hub *hub) {
    struct queue_node *node = hub->inbox;
    hub->inbox = node->next;
    if (hub->inbox == NULL)
        hub->inbox_tail = &hub->inbox;
    metric_sub(&hub->metrics->waiting, 1);
    inbox_note_oldest(hub);
    return container_of(node, struct bus_message, node);
}

static void message_free(struct bus_message *m) {
    if (m->kind == BUS_EVENT)
        bus_event_unref((struct bus_event *)m);
    else if (m->kind == BUS_REPLAYED)
        bus_replayed_free((struct bus_replayed *)m);
    else
        free(m);
}

void hub_free(struct hub *hub) {
    assert(hub->topics == NULL && hub->dirty == NULL && replay_is_idle(hub));
    while (hub->inbox != NULL)
        message_free(inbox_pop(hub));
    kicks_free(hub);
    bus_event_unref(hub->heartbeat);
    bus_event_unref(hub->ping);
    free(hub);
}

void hub_receive(struct hub *hub, struct bus_message *m) {
    m->node.next = NULL;
    if (hub->inbox == NULL)
        metric_set(&hub->metrics->waiting_since_us,
                   received_us(m) != 0 ? received_us(m) : hub->options.now_us());
    *hub->inbox_tail = &m->node;
    hub->inbox_tail = &m->node.next;
    metric_add(&hub->metrics->waiting, 1);
}

bool hub_is_behind(const struct hub *hub) {
    return hub->inbox != NULL;
}

/* ---- messages ---- */

/* A durable event: in the order of ids, each once. Whoever cannot take it now gets it by a replay.
 */
static void offer_durable(struct subscriber *s, struct bus_event *e) {
    if (s->state != SUBSCRIBER_LIVE || cursor_covers(&s->cursor, &e->id))
        return;
    if (outbox_push(&s->outbox, e, s->hub->options.outbox_limit_bytes) != 0) {
        subscriber_set_state(s, SUBSCRIBER_LAGGING);
        return;
    }
    cursor_advance(&s->cursor, &e->id);
    subscriber_mark_dirty(s);
}

/* A live event: now or never, and before relay.live too, which may have to wait for Redis. One that
 * is lost behind it is told by a reset, and the topic's live events up to that are lost too. */
static void offer_live(struct subscriber *s, uint32_t which, struct bus_event *e) {
    struct subscription *sub = &s->subscriptions[which];
    if (s->state == SUBSCRIBER_CLOSING)
        return;
    if ((sub->reasons & RESET_LIVE) == 0 &&
        outbox_push(&s->outbox, e, s->hub->options.outbox_limit_bytes) == 0) {
        subscriber_mark_dirty(s);
        return;
    }
    if (!s->announced) /* it was told of no beginning yet */
        return;
    sub->reasons |= RESET_LIVE;
    metric_add(&s->hub->metrics->dropped, 1);
    if (s->state == SUBSCRIBER_LIVE)
        subscriber_set_state(s, SUBSCRIBER_LAGGING);
}

/* What replaces one event for subscribers to whom it is too long: made once for all of a format. */
struct replacements {
    struct bus_event *of[FRAME_FORMATS];
};

static struct bus_event *make_replacement(const struct bus_event *e, size_t bytes) {
    struct buf id = BUF_INIT;
    if (e->durable)
        id_format(&id, &e->id);
    struct bus_event *notice =
        bus_event_new(frame_large(e->topic, e->topic_len, id.data, bytes), NULL, 0, 0);
    notice->durable = e->durable;
    notice->id = e->id;
    buf_fini(&id);
    return notice;
}

/* @e, or what @s gets in its place. */
static struct bus_event *fit(const struct subscriber *s, struct bus_event *e,
                             struct replacements *r) {
    size_t bytes = frame_slice(e->frame, s->outbox.format, FRAMING_NONE).len;
    if (bytes <= s->max_event_bytes)
        return e;
    if (r->of[s->outbox.format] == NULL)
        r->of[s->outbox.format] = make_replacement(e, bytes);
    return r->of[s->outbox.format];
}

static void offer(struct subscriber *s, uint32_t which, struct bus_event *e,
                  struct replacements *r) {
    if (!frame_has_format(e->frame, s->outbox.format))
        return; /* it left the bus before the format was known there, so a replay is still to come
                 */
    if (s->max_event_bytes > 0)
        e = fit(s, e, r);
    if (e->durable)
        offer_durable(s, e);
    else
        offer_live(s, which, e);
}

/* The fan-out. Nothing here closes a stream, so the list cannot change under the walk. */
static size_t on_event(struct hub *hub, struct bus_event *e) {
    const struct hub_topic *t = topic_find(hub, e->topic, e->topic_len);
    if (t == NULL)
        return 0;
    hub->unflushed_bytes += frame_size(e->frame);
    struct replacements replacements = {{NULL}};
    for (uint32_t i = 0; i < t->len; i++)
        offer(t->slots[i].subscriber, t->slots[i].which, e, &replacements);
    for (unsigned format = 0; format < FRAME_FORMATS; format++)
        if (replacements.of[format] != NULL)
            bus_event_unref(replacements.of[format]);
    return t->len;
}

/* Whether the event that was missed concerns @s: one that is not live yet may have passed it too,
 * with the first steps of its replay. */
static bool has_passed(const struct subscriber *s, const struct bus_gap *m) {
    return s->start == NULL && cursor_is_set(&m->missed) &&
           cursor_covers(&s->cursor, &m->missed.at);
}

/* Every subscriber of the topic, on all its topics, has to go through a replay before it gets
 * another durable event. */
static size_t on_gap(struct hub *hub, const struct bus_gap *m) {
    const struct hub_topic *t = topic_find(hub, m->topic, m->topic_len);
    if (t == NULL)
        return 0;
    for (uint32_t i = 0; i < t->len; i++) {
        struct subscriber *s = t->slots[i].subscriber;
        unsigned reasons = s->announced ? m->reasons : 0;
        if (has_passed(s, m))
            reasons |= RESET_TRIMMED;
        s->subscriptions[t->slots[i].which].reasons |= (unsigned char)reasons;
        if (s->state == SUBSCRIBER_LIVE)
            subscriber_set_state(s, SUBSCRIBER_LAGGING);
        replay_want(s);
    }
    return t->len;
}

void hub_count(struct hub *hub, struct bus_count *c) {
    const struct hub_topic *t = topic_find(hub, c->topic, c->topic_len);
    c->subscribers += t != NULL ? t->len : 0;
    c->base.request.kind = BUS_COUNTED;
    c->base.request.worker = hub->options.worker;
    hub->options.send(hub->options.send_ctx, &c->base.request);
}

/* Returns how many subscribers were looked at. */
static size_t handle(struct hub *hub, struct bus_message *m) {
    size_t touched = 0;
    switch (m->kind) {
    case BUS_EVENT:
        touched = on_event(hub, (struct bus_event *)m);
        break;
    case BUS_GAP:
        touched = on_gap(hub, (struct bus_gap *)m);
        break;
    case BUS_REPLAYED:
        touched = replay_answered(hub, (struct bus_replayed *)m);
        break;
    case BUS_PUBLISHED:
    case BUS_COUNT:
    case BUS_KICK:
        assert(false && "the worker answers these itself");
    }
    message_free(m);
    return touched;
}

/* ---- the turn ---- */

static void flush(struct hub *hub, unsigned budget) {
    for (unsigned n = 0; n < budget && hub->dirty != NULL; n++) {
        if (n % CLOCK_EVERY == 0)
            hub->now_us = hub->options.now_us();
        struct subscriber *s = hub->dirty;
        subscriber_clear_dirty(s);
        s->stream->ops->flush(s->stream);
    }
    if (hub->dirty == NULL)
        hub->unflushed_bytes = 0;
}

/* Whether another message may be handled before what is queued was offered to the sockets: a burst
 * must not fill the outbox of a client whose socket is empty. */
static bool may_push(const struct hub *hub) {
    return hub->unflushed_bytes < hub->options.outbox_limit_bytes / 4;
}

bool hub_turn(struct hub *hub) {
    owner_check(&hub->owner);
    size_t touched = 0;
    if (hub->kicks != NULL)
        kicks_carry_out(hub);
    while (hub->inbox != NULL && touched < TURN_PUSHES && may_push(hub))
        touched += 1 + handle(hub, inbox_pop(hub));
    flush(hub, TURN_FLUSHES);
    return hub->inbox != NULL || hub->dirty != NULL;
}

/* ---- time ---- */

static void on_deadline(struct wheel_entry *e, uint64_t now_ms, void *ctx) {
    (void)ctx;
    subscriber_deadline(container_of(e, struct subscriber, deadline), now_ms);
}

void hub_tick(struct hub *hub, uint64_t now_ms) {
    owner_check(&hub->owner);
    hub->now_us = hub->options.now_us();
    wheel_advance(&hub->wheel, now_ms, on_deadline, NULL);
}

static void drain_one(struct hub *hub, struct subscriber *s, uint64_t now_ms, uint64_t window_ms) {
    subscriber_end_at(s, now_ms + rng_below(&hub->rng, window_ms + 1), HUB_END_DRAIN);
}

void hub_drain(struct hub *hub, uint64_t now_ms, uint64_t window_ms) {
    hub->draining = true;
    hub->drain_end_ms = now_ms + window_ms;
    for (struct hub_topic *t = hub->topics; t != NULL; t = t->hh.next)
        for (uint32_t i = 0; i < t->len; i++)
            if (t->slots[i].which == 0) /* each subscriber once */
                drain_one(hub, t->slots[i].subscriber, now_ms, window_ms);
}
