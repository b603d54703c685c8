/* From Redis's bytes to the workers' queues: decode once, encode once, hand over. */
#include "relay/bus/inbound.h"

#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/bus/core_state.h"
#include "relay/bus/count.h"
#include "relay/bus/deliver.h"
#include "relay/bus/kicks.h"
#include "relay/bus/probe.h"
#include "relay/bus/subscriptions.h"
#include "relay/bus/topic_sync.h"
#include "relay/wire/envelope.h"

enum { LOG_EVERY_MS = 1000 };

static void malformed(struct bus *bus, const struct bus_topic *t, const char *why) {
    uint64_t suppressed;
    metric_add(&bus->metrics->events_malformed, 1);
    if (log_limit_pass(&bus->malformed_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn("dropped a malformed message", "topic=%s why=%s suppressed=%llu", t->name, why,
                 (unsigned long long)suppressed);
}

static void live_event(struct bus *bus, struct bus_topic *t, const struct envelope *envelope) {
    struct frame_source source = {.topic = t->name,
                                  .topic_len = t->name_len,
                                  .event = envelope->event,
                                  .time_ms = clock_wall_ms()};
    struct frame *frame = frame_encode(&source, t->formats);
    t->carried_live = true;
    if (frame == NULL) {
        malformed(bus, t, "no memory to encode it");
        notify_gap_to_all(t, RESET_LIVE);
        return;
    }
    deliver_event(t, frame, NULL);
}

static void message(struct bus *bus, struct bus_topic *t, const redisReply *payload) {
    struct envelope envelope;
    const char *why = NULL;
    int rc = envelope_decode(payload->str, payload->len, &envelope, &why);
    if (rc != RELAY_OK && !envelope.deleted)
        malformed(bus, t, why != NULL ? why : relay_strerror(rc));
    if (envelope.durable) {
        if (topic_sync_message(t, &envelope, rc == RELAY_OK, payload->str, payload->len))
            metric_add(&bus->metrics->events_durable, 1);
    } else if (rc == RELAY_OK) {
        metric_add(&bus->metrics->events_live, 1);
        live_event(bus, t, &envelope);
    } else if (rc == RELAY_ENOMEM) {
        notify_gap_to_all(t, RESET_LIVE);
    }
    envelope_fini(&envelope);
}

static bool is(const redisReply *r, const char *word) {
    return r->type == REDIS_REPLY_STRING && r->len == strlen(word) &&
           memcmp(r->str, word, r->len) == 0;
}

static void message_on(struct bus *bus, const redisReply *channel, const redisReply *payload) {
    if (payload->type != REDIS_REPLY_STRING)
        return;
    if (probe_is_channel(&bus->node, channel->str, channel->len)) {
        probe_received(&bus->node, payload->str, payload->len);
        return;
    }
    if (count_is_channel(bus, channel->str, channel->len)) {
        count_asked(bus, payload->str, payload->len);
        return;
    }
    if (kicks_is_channel(bus, channel->str, channel->len)) {
        kicks_message(bus, payload->str, payload->len);
        return;
    }
    struct bus_topic *t = topics_find_channel(&bus->domain, channel->str, channel->len);
    if (t != NULL && t->subscription.state == SUBSCRIPTION_CONFIRMED)
        message(bus, t, payload); /* in its linger too: its ring stays true */
}

void inbound_push(struct bus *bus, const struct redisReply *reply) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return;
    const redisReply *kind = reply->element[0], *channel = reply->element[1];
    if (channel->type != REDIS_REPLY_STRING)
        return;
    if (is(kind, "message"))
        message_on(bus, channel, reply->element[2]);
    else if (is(kind, "subscribe") && probe_is_channel(&bus->node, channel->str, channel->len))
        probe_subscribed(&bus->node);
    else if (is(kind, "subscribe") && kicks_is_channel(bus, channel->str, channel->len))
        kicks_subscribed(bus);
    else if (is(kind, "subscribe"))
        subscriptions_confirmed(&bus->domain, channel->str, channel->len);
}
