/* Which topics are subscribed on Redis, and which workers want them.
 *
 * A topic is only unsubscribed while it is CONFIRMED: so an unsubscription and a later subscription
 * of the same name never have confirmations on the way that could be taken for one another.
 *
 * Redis's ACL may forbid the channel of one topic. Redis then refuses the whole SUBSCRIBE and does
 * not say which; so each topic of the batch is asked for by itself, and the one that is refused
 * again waits, and its subscribers with it, while everybody else goes on. Rights can change: it is
 * asked for again, alone, later and later, and on each new connection. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/internal.h"
#include "relay/wire/names.h"

enum {
    SUBSCRIBE_BATCH = 256,
    ASK_AGAIN_MS = 10 * 1000, /* behind the first refusal; then twice as long each time */
    ASK_AGAIN_DOUBLINGS = 3,
    LOG_EVERY_MS = 60 * 1000
};

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
    wheel_entry_init(&s->timer);
    unsigned hash = siphash(&bus->subscriptions_key, s->topic, s->topic_len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, bus->subscriptions, s->topic, s->topic_len, hash, s);
    DL_APPEND(bus->wanted, s);
    figure_add(&bus->figures->topics, 1);
    return s;
}

static void subscription_free(struct bus_subscription *s) {
    wheel_clear(&s->timer);
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

static void ask_again_later(struct bus_subscription *s) {
    unsigned doublings = s->refusals < ASK_AGAIN_DOUBLINGS ? s->refusals : ASK_AGAIN_DOUBLINGS;
    wheel_set(&s->bus->wheel, &s->timer, clock_mono_ms() + ((uint64_t)ASK_AGAIN_MS << doublings));
}

static void want(struct bus *bus, const struct bus_subscribe *r) {
    struct bus_subscription *s = subscriptions_find_topic(bus, r->topic, r->topic_len);
    if (s == NULL)
        s = subscription_new(bus, r->topic, r->topic_len);
    struct bus_interest *i = &s->interests[r->base.worker];
    if (i->forms == 0 && s->wanted++ == 0) {
        wheel_clear(&s->timer); /* its linger */
        if (s->state == BUS_TOPIC_REFUSED)
            ask_again_later(s);
    }
    *i = (struct bus_interest){.forms = r->forms};
    s->forms |= r->forms;
}

static void want_no_more(struct bus *bus, const struct bus_subscribe *r) {
    struct bus_subscription *s = subscriptions_find_topic(bus, r->topic, r->topic_len);
    if (s == NULL || s->interests[r->base.worker].forms == 0)
        return;
    s->interests[r->base.worker].forms = 0;
    if (--s->wanted == 0)
        wheel_set(&bus->wheel, &s->timer, clock_mono_ms() + bus->options.linger_ms);
}

void subscriptions_request(struct bus *bus, const struct bus_subscribe *r) {
    if (r->base.kind == BUS_SUBSCRIBE)
        want(bus, r);
    else
        want_no_more(bus, r);
}

/* One SUBSCRIBE that is under way. */
struct batch {
    struct bus *bus;
    size_t len;
    struct bus_subscription *topics[SUBSCRIBE_BATCH]; /* ASKED, until the first is confirmed */
};

static void want_again(struct bus_subscription *s) {
    s->state = BUS_TOPIC_WANTED;
    DL_APPEND(s->bus->wanted, s);
}

static void refused(struct bus_subscription *s, const char *why) {
    struct bus *bus = s->bus;
    uint64_t suppressed;
    s->state = BUS_TOPIC_REFUSED;
    if (s->wanted > 0)
        ask_again_later(s);
    s->refusals++;
    bus->replays_due = true;
    figure_add(&bus->figures->topics_refused, 1);
    if (log_limit_pass(&bus->refused_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn("Redis forbids a topic; its subscribers wait. Give the relay's user the channels "
                 "of its prefix: ACL SETUSER <user> &<prefix>:*",
                 "topic=%s prefix=%s why=%s suppressed=%llu", s->topic, bus->options.prefix, why,
                 (unsigned long long)suppressed);
}

static void on_subscribed(void *arg, int status, const struct redisReply *reply) {
    struct batch *batch = arg;
    struct bus *bus = batch->bus;
    bool forbidden = status == RELAY_EREMOTE && strncmp(reply->str, "NOPERM", 6) == 0;
    if (forbidden && batch->len == 1) {
        refused(batch->topics[0], reply->str);
    } else if (forbidden) {
        for (size_t i = 0; i < batch->len; i++) {
            batch->topics[i]->alone = true;
            want_again(batch->topics[i]);
        }
        subscriptions_send(bus);
    } else if (status == RELAY_EREMOTE) {
        log_warn("Redis refuses SUBSCRIBE; reconnecting", "why=%s", reply->str);
        redis_client_reconnect(&bus->subscriber);
    }
    free(batch);
}

/* SUBSCRIBE, with @arg for on_subscribed(), or UNSUBSCRIBE. */
static int send_command(struct bus *bus, const char *command,
                        struct bus_subscription *const *topics, size_t len, redis_reply_cb cb,
                        void *arg) {
    const char *argv[SUBSCRIBE_BATCH + 1] = {command};
    size_t argv_len[SUBSCRIBE_BATCH + 1] = {strlen(command)};
    struct buf channels[SUBSCRIBE_BATCH];
    for (size_t i = 0; i < len; i++) {
        buf_init(&channels[i]);
        names_channel(&channels[i], bus->options.prefix, topics[i]->topic, topics[i]->topic_len);
        argv[i + 1] = channels[i].data;
        argv_len[i + 1] = channels[i].len;
    }
    int rc =
        redis_client_subscription_command(&bus->subscriber, (int)len + 1, argv, argv_len, cb, arg);
    for (size_t i = 0; i < len; i++)
        buf_fini(&channels[i]);
    return rc;
}

/* The topics that go into the next SUBSCRIBE: many, or one that goes alone. */
static struct batch *next_batch(struct bus *bus) {
    struct batch *batch = mem_zalloc(sizeof(*batch));
    batch->bus = bus;
    while (bus->wanted != NULL && batch->len < SUBSCRIBE_BATCH) {
        struct bus_subscription *s = bus->wanted;
        if (s->alone && batch->len > 0)
            break;
        DL_DELETE(bus->wanted, s);
        s->state = BUS_TOPIC_ASKED;
        batch->topics[batch->len++] = s;
        if (s->alone)
            break;
    }
    return batch;
}

void subscriptions_send(struct bus *bus) {
    while (bus->wanted != NULL && bus->subscriber.state == REDIS_CLIENT_READY) {
        struct batch *batch = next_batch(bus);
        if (send_command(bus, "SUBSCRIBE", batch->topics, batch->len, on_subscribed, batch) !=
            RELAY_OK) { /* it is gone, and its return begins anew */
            for (size_t i = 0; i < batch->len; i++)
                want_again(batch->topics[i]);
            free(batch);
            return;
        }
    }
}

void subscriptions_confirmed(struct bus *bus, const char *channel, size_t len) {
    struct bus_subscription *s = subscriptions_find(bus, channel, len);
    if (s == NULL || s->state != BUS_TOPIC_ASKED)
        return;
    s->state = BUS_TOPIC_CONFIRMED;
    if (s->refusals > 0)
        subscriptions_tell_gap_to_all(s, 0); /* whoever was told that it is forbidden asks again */
    s->alone = false;
    s->refusals = 0;
    history_begin(s);
}

void subscriptions_lost(struct bus *bus) {
    doubt_forget(bus);
    for (struct bus_subscription *s = bus->subscriptions; s != NULL; s = s->hh.next) {
        if (s->state == BUS_TOPIC_CONFIRMED)
            subscriptions_tell_gap_to_all(s, s->carried_live ? RESET_LIVE : 0);
        if (s->state != BUS_TOPIC_WANTED)
            DL_APPEND(bus->wanted, s);
        s->state = BUS_TOPIC_WANTED;
        s->history = HISTORY_UNKNOWN;
    }
}

static void linger_over(struct bus_subscription *s, uint64_t now_ms) {
    if (s->state == BUS_TOPIC_ASKED) { /* see the top of this file */
        wheel_set(&s->bus->wheel, &s->timer, now_ms + s->bus->options.linger_ms);
        return;
    }
    if (s->state == BUS_TOPIC_CONFIRMED)
        send_command(s->bus, "UNSUBSCRIBE", &s, 1, NULL, NULL);
    subscription_free(s);
}

void subscriptions_timer(struct wheel_entry *e, uint64_t now_ms, void *ctx) {
    struct bus_subscription *s = container_of(e, struct bus_subscription, timer);
    struct bus *bus = ctx;
    if (s->wanted == 0) {
        linger_over(s, now_ms);
    } else if (s->state == BUS_TOPIC_REFUSED) {
        want_again(s);
        subscriptions_send(bus);
    }
}

void subscriptions_free(struct bus *bus) {
    struct bus_subscription *s, *next;
    HASH_ITER(hh, bus->subscriptions, s, next) {
        subscription_free(s);
    }
}
