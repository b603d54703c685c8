/* From Redis's bytes to the workers' queues: decode once, encode once, hand over. */
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/bus/internal.h"
#include "relay/wire/envelope.h"

enum { LOG_EVERY_MS = 1000 };

static void malformed(struct bus *bus, const struct bus_subscription *s, const char *why) {
    uint64_t suppressed;
    figure_add(&bus->figures->events_malformed, 1);
    if (log_limit_pass(&bus->malformed_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn("dropped a malformed message", "topic=%s why=%s suppressed=%llu", s->topic, why,
                 (unsigned long long)suppressed);
}

/* The queue of a worker that does not keep up is full: the event is dropped for it, and a mark at
 * the tail of its queue tells its subscribers in their order. */
static void overflow(struct bus *bus, struct bus_subscription *s, unsigned worker, bool live) {
    uint64_t suppressed;
    figure_add(&bus->figures->events_dropped, 1);
    if (log_limit_pass(&bus->overflow_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn("a worker does not keep up; events are dropped and subscribers told",
                 "worker=%u topic=%s suppressed=%llu", worker, s->topic,
                 (unsigned long long)suppressed);
    struct queue *inbox = bus->options.inboxes[worker];
    struct bus_interest *i = &s->interests[worker];
    uint64_t takes = queue_takes(inbox);
    unsigned reasons = live ? RESET_LIVE : 0;
    if (i->gap_told && i->gap_takes == takes && (i->gap_reasons & reasons) == reasons)
        return;
    i->gap_told = true;
    i->gap_takes = takes;
    i->gap_reasons = reasons;
    subscriptions_tell_gap(s, worker, reasons);
}

/* Takes @frame over. */
void events_hand_over(struct bus_subscription *s, struct frame *frame, const struct event_id *id) {
    struct bus *bus = s->bus;
    uint64_t now_us = clock_mono_us();
    for (unsigned w = 0; w < bus->options.workers; w++) {
        if (s->interests[w].forms == 0)
            continue;
        struct bus_event *e = bus_event_new(frame_ref(frame), s->topic, s->topic_len, now_us);
        e->durable = id != NULL;
        if (id != NULL)
            e->id = *id;
        if (queue_push(bus->options.inboxes[w], &e->base.node, frame_size(frame)) == RELAY_OK) {
            s->interests[w].gap_told = false;
        } else {
            bus_event_unref(e);
            overflow(bus, s, w, id == NULL);
        }
    }
    frame_unref(frame);
}

static void live_event(struct bus *bus, struct bus_subscription *s,
                       const struct envelope *envelope) {
    struct frame_source source = {.topic = s->topic,
                                  .topic_len = s->topic_len,
                                  .event = envelope->event,
                                  .time_ms = clock_wall_ms()};
    struct frame *frame = frame_encode(&source, s->forms);
    if (frame == NULL) {
        malformed(bus, s, "no memory to encode it");
        return;
    }
    s->carried_live = true;
    events_hand_over(s, frame, NULL);
}

static void message(struct bus *bus, struct bus_subscription *s, const redisReply *payload) {
    struct envelope envelope;
    const char *why = NULL;
    int rc = envelope_decode(payload->str, payload->len, &envelope, &why);
    if (rc != RELAY_OK) {
        malformed(bus, s, why != NULL ? why : relay_strerror(rc));
        return;
    }
    if (!envelope.durable) {
        figure_add(&bus->figures->events_live, 1);
        live_event(bus, s, &envelope);
    } else if (history_event(s, &envelope, payload)) {
        figure_add(&bus->figures->events_durable, 1);
    }
    envelope_fini(&envelope);
}

static bool is(const redisReply *r, const char *word) {
    return r->type == REDIS_REPLY_STRING && r->len == strlen(word) &&
           memcmp(r->str, word, r->len) == 0;
}

static bool is_probe(const struct bus *bus, const redisReply *channel) {
    return channel->len == bus->probe.channel.len &&
           memcmp(channel->str, bus->probe.channel.data, channel->len) == 0;
}

static void message_on(struct bus *bus, const redisReply *channel, const redisReply *payload) {
    if (payload->type != REDIS_REPLY_STRING)
        return;
    if (is_probe(bus, channel)) {
        probe_received(bus, payload->str, payload->len);
        return;
    }
    struct bus_subscription *s = subscriptions_find(bus, channel->str, channel->len);
    if (s != NULL && s->state == BUS_TOPIC_CONFIRMED) /* in its linger too: its ring stays true */
        message(bus, s, payload);
}

void events_push(void *arg, const struct redisReply *reply) {
    struct bus *bus = arg;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return;
    const redisReply *kind = reply->element[0], *channel = reply->element[1];
    if (channel->type != REDIS_REPLY_STRING)
        return;
    if (is(kind, "message"))
        message_on(bus, channel, reply->element[2]);
    else if (is(kind, "subscribe") && is_probe(bus, channel))
        probe_subscribed(bus);
    else if (is(kind, "subscribe"))
        subscriptions_confirmed(bus, channel->str, channel->len);
}
