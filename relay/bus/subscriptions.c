/* Which topics are subscribed on Redis, and which workers want them.
 *
 * A topic is only unsubscribed while it is CONFIRMED: so an unsubscription and a later subscription
 * of the same name never have confirmations on the way that could be taken for one another. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/bus/internal.h"
#include "relay/wire/names.h"

enum { SUBSCRIBE_BATCH = 256 };

struct bus_subscription *subscriptions_find_topic(struct bus *bus, const char *topic, size_t len) {
    struct bus_subscription *s;
    unsigned hash = siphash(&bus->subscriptions_key, topic, len);
    HASH_FIND_BYHASHVALUE(hh, bus->subscriptions, topic, len, hash, s);
    return s;
}

struct bus_subscription *subscriptions_find(struct bus *bus, const char *channel, size_t len) {
    const char *topic;
    size_t topic_len;
    if (!names_topic_of_channel(bus->options.prefix, channel, len, &topic, &topic_len))
        return NULL;
    return subscriptions_find_topic(bus, topic, topic_len);
}

static struct bus_subscription *subscription_new(struct bus *bus, const char *topic, size_t len) {
    struct bus_subscription *s =
        mem_zalloc(sizeof(*s) + bus->options.workers * sizeof(s->interests[0]));
    s->bus = bus;
    s->topic = mem_strndup(topic, len);
    s->topic_len = len;
    wheel_entry_init(&s->linger);
    unsigned hash = siphash(&bus->subscriptions_key, s->topic, s->topic_len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, bus->subscriptions, s->topic, s->topic_len, hash, s);
    DL_APPEND(bus->wanted, s);
    figure_add(&bus->figures->topics, 1);
    return s;
}

static void subscription_free(struct bus_subscription *s) {
    wheel_clear(&s->linger);
    history_free(s);
    if (s->state == BUS_TOPIC_WANTED)
        DL_DELETE(s->bus->wanted, s);
    figure_sub(&s->bus->figures->topics, 1);
    HASH_DEL(s->bus->subscriptions, s);
    free(s->topic);
    free(s);
}

/* From here on nothing is certain for this worker's subscribers of the topic. */
void subscriptions_tell_gap(struct bus_subscription *s, unsigned worker, unsigned reasons) {
    struct bus_gap *gap = bus_gap_new(s->topic, s->topic_len, reasons);
    queue_push_control(s->bus->options.inboxes[worker], &gap->base.node);
}

void subscriptions_tell_gap_to_all(struct bus_subscription *s, unsigned reasons) {
    for (unsigned w = 0; w < s->bus->options.workers; w++)
        if (s->interests[w].forms != 0)
            subscriptions_tell_gap(s, w, reasons);
}

static void want(struct bus *bus, const struct bus_subscribe *r) {
    struct bus_subscription *s = subscriptions_find_topic(bus, r->topic, r->topic_len);
    if (s == NULL)
        s = subscription_new(bus, r->topic, r->topic_len);
    struct bus_interest *i = &s->interests[r->base.worker];
    if (i->forms == 0)
        s->wanted++;
    *i = (struct bus_interest){.forms = r->forms};
    s->forms |= r->forms;
    wheel_clear(&s->linger);
}

static void want_no_more(struct bus *bus, const struct bus_subscribe *r) {
    struct bus_subscription *s = subscriptions_find_topic(bus, r->topic, r->topic_len);
    if (s == NULL || s->interests[r->base.worker].forms == 0)
        return;
    s->interests[r->base.worker].forms = 0;
    if (--s->wanted == 0)
        wheel_set(&bus->wheel, &s->linger, clock_mono_ms() + bus->options.linger_ms);
}

void subscriptions_request(struct bus *bus, const struct bus_subscribe *r) {
    if (r->base.kind == BUS_SUBSCRIBE)
        want(bus, r);
    else
        want_no_more(bus, r);
}

/* Send one command for up to SUBSCRIBE_BATCH topics. */
static void send_batch(struct bus *bus, const char *command, struct bus_subscription **batch,
                       size_t len) {
    const char *argv[SUBSCRIBE_BATCH + 1] = {command};
    size_t argv_len[SUBSCRIBE_BATCH + 1] = {strlen(command)};
    struct buf channels[SUBSCRIBE_BATCH];
    for (size_t i = 0; i < len; i++) {
        buf_init(&channels[i]);
        names_channel(&channels[i], bus->options.prefix, batch[i]->topic, batch[i]->topic_len);
        argv[i + 1] = channels[i].data;
        argv_len[i + 1] = channels[i].len;
    }
    redis_client_subscription_command(&bus->subscriber, (int)len + 1, argv, argv_len);
    for (size_t i = 0; i < len; i++)
        buf_fini(&channels[i]);
}

void subscriptions_send(struct bus *bus) {
    while (bus->wanted != NULL && bus->subscriber.state == REDIS_CLIENT_READY) {
        struct bus_subscription *batch[SUBSCRIBE_BATCH];
        size_t len = 0;
        while (bus->wanted != NULL && len < SUBSCRIBE_BATCH) {
            struct bus_subscription *s = bus->wanted;
            DL_DELETE(bus->wanted, s);
            s->state = BUS_TOPIC_ASKED;
            batch[len++] = s;
        }
        send_batch(bus, "SUBSCRIBE", batch, len);
    }
}

void subscriptions_confirmed(struct bus *bus, const char *channel, size_t len) {
    struct bus_subscription *s = subscriptions_find(bus, channel, len);
    if (s == NULL || s->state != BUS_TOPIC_ASKED)
        return;
    s->state = BUS_TOPIC_CONFIRMED;
    history_begin(s);
}

void subscriptions_lost(struct bus *bus) {
    for (struct bus_subscription *s = bus->subscriptions; s != NULL; s = s->hh.next) {
        if (s->state == BUS_TOPIC_CONFIRMED)
            subscriptions_tell_gap_to_all(s, s->carried_live ? RESET_LIVE : 0);
        if (s->state != BUS_TOPIC_WANTED)
            DL_APPEND(bus->wanted, s);
        s->state = BUS_TOPIC_WANTED;
        s->history = HISTORY_UNKNOWN;
    }
}

void subscriptions_linger_over(struct wheel_entry *e, uint64_t now_ms, void *ctx) {
    struct bus_subscription *s = container_of(e, struct bus_subscription, linger);
    struct bus *bus = ctx;
    if (s->state == BUS_TOPIC_ASKED) { /* see the top of this file */
        wheel_set(&bus->wheel, &s->linger, now_ms + bus->options.linger_ms);
        return;
    }
    if (s->state == BUS_TOPIC_CONFIRMED)
        send_batch(bus, "UNSUBSCRIBE", &s, 1);
    subscription_free(s);
}

void subscriptions_free(struct bus *bus) {
    struct bus_subscription *s, *next;
    HASH_ITER(hh, bus->subscriptions, s, next) {
        subscription_free(s);
    }
}
