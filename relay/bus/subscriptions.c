/* Which topics are subscribed on Redis, and which workers want them.
 *
 * A topic is only unsubscribed while it is CONFIRMED: so an unsubscription and a later subscription
 * of the same name never have confirmations on the way that could be taken for one another.
 *
 * Redis's ACL may forbid the channel of one topic. Redis then refuses the whole SUBSCRIBE and does
 * not say which; so each topic of the batch is asked for by itself, and the one that is refused
 * again waits, and its subscribers with it, while everybody else goes on. Rights can change: it is
 * asked for again, alone, later and later, and on each new connection. */
#include "relay/bus/subscriptions.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/core_state.h"
#include "relay/bus/deliver.h"
#include "relay/wire/names.h"

enum {
    SUBSCRIBE_BATCH = 256,
    ASK_AGAIN_MS = 10 * 1000, /* behind the first refusal; then twice as long each time */
    ASK_AGAIN_DOUBLINGS = 3,
    LOG_EVERY_MS = 60 * 1000
};

struct bus_topic *topics_find(struct bus_domain *d, const char *topic, size_t len) {
    struct bus_topic *t;
    unsigned hash = siphash(&d->topics_key, topic, len);
    HASH_FIND_BYHASHVALUE(hh, d->topics, topic, len, hash, t);
    return t;
}

struct bus_topic *topics_find_channel(struct bus_domain *d, const char *channel, size_t len) {
    const char *topic;
    size_t topic_len;
    if (!names_topic_of_channel(d->bus->options.prefix, channel, len, &topic, &topic_len))
        return NULL;
    return topics_find(d, topic, topic_len);
}

/* The one place where the state changes, so that the gauge holds. */
static void set_state(struct bus_topic *t, enum subscription_state state) {
    metric *refused = &t->domain->bus->metrics->topics_refused;
    if (t->subscription.state == SUBSCRIPTION_REFUSED)
        metric_sub(refused, 1);
    if (state == SUBSCRIPTION_REFUSED)
        metric_add(refused, 1);
    t->subscription.state = state;
}

static struct bus_topic *topic_new(struct bus_domain *d, const char *topic, size_t len) {
    struct bus_topic *t =
        mem_zalloc(sizeof(*t) + d->bus->options.workers * sizeof(t->interests[0]));
    t->domain = d;
    t->name = mem_strndup(topic, len);
    t->name_len = len;
    wheel_entry_init(&t->subscription.timer);
    unsigned hash = siphash(&d->topics_key, t->name, t->name_len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, d->topics, t->name, t->name_len, hash, t);
    DL_APPEND2(d->wanted, t, subscription.prev, subscription.next);
    metric_add(&d->bus->metrics->topics, 1);
    return t;
}

/* One SUBSCRIBE that is under way. */
struct batch {
    struct bus_domain *domain;
    size_t len;
    struct bus_topic *topics[SUBSCRIBE_BATCH]; /* NULL: not ASKED any more */
};

/* Whatever the answer to the SUBSCRIBE is, it does not concern the topic any more. */
static void leave_batch(struct bus_topic *t) {
    for (size_t i = 0; t->subscription.batch != NULL && i < t->subscription.batch->len; i++)
        if (t->subscription.batch->topics[i] == t)
            t->subscription.batch->topics[i] = NULL;
    t->subscription.batch = NULL;
}

static void batch_free(struct batch *batch) {
    for (size_t i = 0; i < batch->len; i++)
        if (batch->topics[i] != NULL)
            batch->topics[i]->subscription.batch = NULL;
    free(batch);
}

static void topic_free(struct bus_topic *t) {
    struct bus_domain *d = t->domain;
    wheel_clear(&t->subscription.timer);
    leave_batch(t);
    d->callbacks->topic_gone(t);
    if (t->subscription.state == SUBSCRIPTION_WANTED)
        DL_DELETE2(d->wanted, t, subscription.prev, subscription.next);
    set_state(t, SUBSCRIPTION_WANTED); /* for the gauge */
    metric_sub(&d->bus->metrics->topics, 1);
    HASH_DEL(d->topics, t);
    free(t->name);
    free(t);
}

static void ask_again_later(struct bus_topic *t) {
    struct topic_subscription *s = &t->subscription;
    unsigned doublings = s->refusals < ASK_AGAIN_DOUBLINGS ? s->refusals : ASK_AGAIN_DOUBLINGS;
    s->ask_again_ms = clock_mono_ms() + ((uint64_t)ASK_AGAIN_MS << doublings);
    wheel_set(&t->domain->bus->wheel, &s->timer, s->ask_again_ms);
}

static void want(struct bus_domain *d, const struct bus_subscribe *r) {
    struct bus_topic *t = topics_find(d, r->topic, r->topic_len);
    if (t == NULL)
        t = topic_new(d, r->topic, r->topic_len);
    struct topic_interest *i = &t->interests[r->base.worker];
    if (i->formats == 0 && t->subscription.wanted++ == 0) {
        wheel_clear(&t->subscription.timer);               /* its linger */
        if (t->subscription.state == SUBSCRIPTION_REFUSED) /* however often its client comes */
            wheel_set(&d->bus->wheel, &t->subscription.timer, t->subscription.ask_again_ms);
    }
    *i = (struct topic_interest){.formats = r->formats};
    t->formats |= r->formats;
}

static void want_no_more(struct bus_domain *d, const struct bus_subscribe *r) {
    struct bus_topic *t = topics_find(d, r->topic, r->topic_len);
    if (t == NULL || t->interests[r->base.worker].formats == 0)
        return;
    t->interests[r->base.worker].formats = 0;
    if (--t->subscription.wanted == 0)
        wheel_set(&d->bus->wheel, &t->subscription.timer,
                  clock_mono_ms() + d->bus->options.linger_ms);
}

void subscriptions_request(struct bus_domain *d, const struct bus_subscribe *r) {
    if (r->base.kind == BUS_SUBSCRIBE)
        want(d, r);
    else
        want_no_more(d, r);
}

static void want_again(struct bus_topic *t) {
    set_state(t, SUBSCRIPTION_WANTED);
    DL_APPEND2(t->domain->wanted, t, subscription.prev, subscription.next);
}

static void refused(struct bus_topic *t, const char *why) {
    struct bus *bus = t->domain->bus;
    uint64_t suppressed;
    set_state(t, SUBSCRIPTION_REFUSED);
    if (t->subscription.wanted > 0)
        ask_again_later(t);
    t->subscription.refusals++;
    bus->replays_due = true;
    if (log_limit_pass(&bus->refused_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn("Redis forbids a topic; its subscribers wait. Give the relay's user the channels "
                 "of its prefix: ACL SETUSER <user> &<prefix>:*",
                 "topic=%s prefix=%s why=%s suppressed=%llu", t->name, bus->options.prefix, why,
                 (unsigned long long)suppressed);
}

static void on_subscribed(void *arg, int status, const struct redisReply *reply) {
    struct batch *batch = arg;
    struct bus_domain *d = batch->domain;
    bool forbidden = status == RELAY_EREMOTE && strncmp(reply->str, "NOPERM", 6) == 0;
    for (size_t i = 0; forbidden && i < batch->len; i++) {
        struct bus_topic *t = batch->topics[i];
        if (t != NULL && batch->len == 1) {
            refused(t, reply->str);
        } else if (t != NULL) {
            t->subscription.alone = true;
            want_again(t);
        }
    }
    batch_free(batch);
    if (forbidden) {
        subscriptions_send(d);
    } else if (status == RELAY_EREMOTE) {
        log_warn("Redis refuses SUBSCRIBE; reconnecting", "why=%s", reply->str);
        redis_client_reconnect(&d->node->subscriber);
    }
}

/* SUBSCRIBE, with @arg for on_subscribed(), or UNSUBSCRIBE. */
static int send_command(struct bus_domain *d, const char *command, struct bus_topic *const *topics,
                        size_t len, redis_reply_cb cb, void *arg) {
    const char *argv[SUBSCRIBE_BATCH + 1] = {command};
    size_t argv_len[SUBSCRIBE_BATCH + 1] = {strlen(command)};
    struct buf channels[SUBSCRIBE_BATCH];
    for (size_t i = 0; i < len; i++) {
        buf_init(&channels[i]);
        names_channel(&channels[i], d->bus->options.prefix, topics[i]->name, topics[i]->name_len);
        argv[i + 1] = channels[i].data;
        argv_len[i + 1] = channels[i].len;
    }
    int rc = redis_client_subscription_command(&d->node->subscriber, (int)len + 1, argv, argv_len,
                                               cb, arg);
    for (size_t i = 0; i < len; i++)
        buf_fini(&channels[i]);
    return rc;
}

/* The topics that go into the next SUBSCRIBE: many, or one that goes alone. */
static struct batch *next_batch(struct bus_domain *d) {
    struct batch *batch = mem_zalloc(sizeof(*batch));
    batch->domain = d;
    while (d->wanted != NULL && batch->len < SUBSCRIBE_BATCH) {
        struct bus_topic *t = d->wanted;
        if (t->subscription.alone && batch->len > 0)
            break;
        DL_DELETE2(d->wanted, t, subscription.prev, subscription.next);
        set_state(t, SUBSCRIPTION_ASKED);
        t->subscription.batch = batch;
        batch->topics[batch->len++] = t;
        if (t->subscription.alone)
            break;
    }
    return batch;
}

void subscriptions_send(struct bus_domain *d) {
    while (d->wanted != NULL && d->node->subscriber.state == REDIS_CLIENT_READY) {
        struct batch *batch = next_batch(d);
        if (send_command(d, "SUBSCRIBE", batch->topics, batch->len, on_subscribed, batch) !=
            RELAY_OK) { /* it is gone, and its return begins anew */
            for (size_t i = 0; i < batch->len; i++)
                want_again(batch->topics[i]);
            batch_free(batch);
            return;
        }
    }
}

void subscriptions_confirmed(struct bus_domain *d, const char *channel, size_t len) {
    struct bus_topic *t = topics_find_channel(d, channel, len);
    if (t == NULL || t->subscription.state != SUBSCRIPTION_ASKED)
        return;
    set_state(t, SUBSCRIPTION_CONFIRMED);
    leave_batch(t);
    if (t->subscription.refusals > 0)
        notify_gap_to_all(t, 0); /* whoever was told that it is forbidden asks again */
    t->subscription.alone = false;
    t->subscription.refusals = 0;
    d->callbacks->topic_confirmed(t);
}

void subscriptions_lost(struct bus_domain *d) {
    for (struct bus_topic *t = d->topics; t != NULL; t = t->hh.next) {
        if (t->subscription.state == SUBSCRIPTION_CONFIRMED)
            notify_gap_to_all(t, t->carried_live ? RESET_LIVE : 0);
        if (t->subscription.state != SUBSCRIPTION_WANTED)
            DL_APPEND2(d->wanted, t, subscription.prev, subscription.next);
        set_state(t, SUBSCRIPTION_WANTED);
        leave_batch(t);
        d->callbacks->topic_lost(t);
    }
}

static void linger_over(struct bus_topic *t, uint64_t now_ms) {
    if (t->subscription.state == SUBSCRIPTION_ASKED) { /* see the top of this file */
        wheel_set(&t->domain->bus->wheel, &t->subscription.timer,
                  now_ms + t->domain->bus->options.linger_ms);
        return;
    }
    if (t->subscription.state == SUBSCRIPTION_CONFIRMED)
        send_command(t->domain, "UNSUBSCRIBE", &t, 1, NULL, NULL);
    topic_free(t);
}

void subscriptions_timer(struct wheel_entry *e, uint64_t now_ms, void *ctx) {
    struct bus_topic *t = container_of(e, struct bus_topic, subscription.timer);
    (void)ctx;
    if (t->subscription.wanted == 0) {
        linger_over(t, now_ms);
    } else if (t->subscription.state == SUBSCRIPTION_REFUSED) {
        want_again(t);
        subscriptions_send(t->domain);
    }
}

void subscriptions_free(struct bus_domain *d) {
    struct bus_topic *t, *next;
    HASH_ITER(hh, d->topics, t, next) {
        topic_free(t);
    }
}
