/* Kicks: see kicks.h.
 *
 * Each worker gets a message of its own, so that one which is stuck holds up nobody else's. The bar
 * is put before: a stream that begins meanwhile is refused, or ended by the message.
 *
 * Bars are read behind the confirmation of the channel. So what was kicked before it is read, and
 * what is kicked after it is heard; what comes twice does no harm. What is heard while they are
 * read may be newer than what is read, so it stays (bars.h), and where a bar was lifted meanwhile,
 * they are read once more. */
#include "relay/bus/kicks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "relay/auth/bars.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/core_state.h"
#include "relay/wire/names.h"

enum {
    /* More than there are bars: all of them may be new at once. Beyond it somebody floods. */
    UNDER_WAY_MAX = 2 * KICK_BARS_MAX,
    LOG_EVERY_MS = 1000,
    RETRY_MS = 10 * 1000
};

void kicks_init(struct bus *bus) {
    names_probe_channel(&bus->kicks.channel, bus->options.prefix, KICK_CHANNEL);
    names_bars(&bus->kicks.key, bus->options.prefix, bus->domain.tag);
}

void kicks_fini(struct bus *bus) {
    struct kick_tally *t, *next;
    DL_FOREACH_SAFE(bus->kicks.under_way, t, next) {
        free(t); /* workers may still hold messages of it, and do not look at it */
    }
    buf_fini(&bus->kicks.channel);
    buf_fini(&bus->kicks.key);
}

/* ---- the channel ---- */

static void on_subscribed(void *arg, int status, const struct redisReply *reply) {
    struct bus *bus = arg;
    if (status != RELAY_EREMOTE)
        return;
    log_warn(
        "Redis forbids the channel of kicks, so this node hears of none. Give the relay's user "
        "the channels of its prefix: ACL SETUSER <user> &<prefix>:relay.*",
        "channel=%s why=%s", bus->kicks.channel.data, reply->str);
    kicks_subscribed(bus); /* the bars may be read all the same */
}

void kicks_subscribe(struct bus *bus) {
    const char *argv[] = {"SUBSCRIBE", bus->kicks.channel.data};
    const size_t argv_len[] = {9, bus->kicks.channel.len};
    if (bus->options.bars != NULL)
        redis_client_subscription_command(&bus->node.subscriber, 2, argv, argv_len, on_subscribed,
                                          bus);
}

bool kicks_is_channel(const struct bus *bus, const char *channel, size_t len) {
    return bus->options.bars != NULL && len == bus->kicks.channel.len &&
           memcmp(channel, bus->kicks.channel.data, len) == 0;
}

void kicks_subscribed(struct bus *bus) {
    bus->kicks.due = true;
}

/* ---- one kick ---- */

/* A user without the right to the channel is not heard; the connections go on. */
static void on_published(void *arg, int status, const struct redisReply *reply) {
    (void)arg, (void)status, (void)reply;
}

static void answer(struct bus *bus, const struct kick_tally *t) {
    struct buf channel = BUF_INIT, text = BUF_INIT;
    names_probe_channel(&channel, bus->options.prefix, t->answer_to);
    count_answer_put(&text, bus->options.node, t->streams, t->name, strlen(t->name));
    const char *argv[] = {"PUBLISH", channel.data, text.data};
    const size_t argv_len[] = {7, channel.len, text.len};
    redis_client_command(&bus->node.publisher, 3, argv, argv_len, on_published, NULL);
    buf_fini(&channel);
    buf_fini(&text);
}

/* Whom a subject or a token is of, the operator knows, and nobody else need learn it from here. */
static void log_kick(const struct kick_tally *t) {
    bool is_topic = t->by == KICK_TOPIC;
    log_info("streams were kicked", "by=%s topic=%s streams=%" PRIu64 " bar_s=%" PRIu64,
             kick_by_name(t->by), is_topic ? t->name : "", t->streams, t->bar_ms / 1000);
}

static void done(struct bus *bus, struct kick_tally *t) {
    if (t->is_asked)
        answer(bus, t);
    if (t->is_asked || t->streams > 0)
        log_kick(t);
    DL_DELETE(bus->kicks.under_way, t);
    bus->kicks.under_way_len--;
    free(t);
}

static void send_to_workers(struct bus *bus, struct kick_tally *t) {
    size_t len = strlen(t->name);
    t->left = bus->options.workers;
    for (unsigned i = 0; i < bus->options.workers; i++) {
        struct bus_kick *k = mem_zalloc(sizeof(*k) + len);
        k->base.message.kind = BUS_KICK;
        k->tally = t;
        k->by = t->by;
        k->name_len = len;
        memcpy(k->name, t->name, len);
        queue_push_control(bus->options.inboxes[i], &k->base.message.node);
    }
}

static void begin(struct bus *bus, const struct kick *k, bool is_asked) {
    uint64_t suppressed;
    if (bus->kicks.under_way_len == UNDER_WAY_MAX) {
        if (log_limit_pass(&bus->kicks.many_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
            log_warn("too many kicks at once: some are passed over, but for their bars",
                     "suppressed=%" PRIu64, suppressed);
        return;
    }
    struct kick_tally *t = mem_zalloc(sizeof(*t));
    t->by = k->by;
    t->bar_ms = k->bar_ms;
    t->is_asked = is_asked;
    memcpy(t->answer_to, k->answer_to, sizeof(t->answer_to));
    memcpy(t->name, k->name, k->name_len); /* it was checked */
    DL_APPEND(bus->kicks.under_way, t);
    bus->kicks.under_way_len++;
    if (k->is_lift)
        done(bus, t);
    else
        send_to_workers(bus, t);
}

void kicks_answered(struct bus *bus, struct bus_kick *k) {
    struct kick_tally *t = k->tally;
    t->streams += k->streams;
    free(k);
    if (--t->left == 0 && !bus->stopping)
        done(bus, t);
}

/* ---- bars ---- */

/* Whether it is new. */
static bool put_bar(struct bus *bus, const struct kick_bar *bar, uint64_t bar_ms) {
    uint64_t now_ms = clock_mono_ms(), suppressed;
    bool is_new;
    if (bars_put(bus->options.bars, bar, now_ms + bar_ms, &is_new) != RELAY_OK &&
        log_limit_pass(&bus->kicks.many_log, now_ms, LOG_EVERY_MS, &suppressed))
        log_warn("there are too many bars: some are passed over", "most=%d suppressed=%" PRIu64,
                 KICK_BARS_MAX, suppressed);
    metric_set(&bus->metrics->bars, bars_count(bus->options.bars));
    return is_new;
}

void kicks_message(struct bus *bus, const char *text, size_t len) {
    struct kick k;
    uint64_t suppressed;
    if (!kick_read(text, len, &k)) {
        if (log_limit_pass(&bus->kicks.malformed_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
            log_warn("dropped a message that is no kick", "channel=%s suppressed=%" PRIu64,
                     bus->kicks.channel.data, suppressed);
        return;
    }
    struct kick_bar bar = {.by = k.by, .name = k.name, .name_len = k.name_len};
    if (k.bar_ms > 0)
        put_bar(bus, &bar, k.bar_ms);
    if (k.is_lift) {
        bars_lift(bus->options.bars, &bar);
        bus->kicks.lifted = true;
        metric_set(&bus->metrics->bars, bars_count(bus->options.bars));
    }
    begin(bus, &k, true);
}

/* ---- reading them ---- */

/* Of one that was read. It ends at @score on Redis's clock, on which it is @now_ms now. */
static void take_bar(struct bus *bus, const struct redisReply *text, const struct redisReply *score,
                     uint64_t now_ms) {
    struct kick_bar bar;
    if (text->type != REDIS_REPLY_STRING || score->type != REDIS_REPLY_STRING ||
        !kick_bar_read(text->str, text->len, &bar))
        return;
    double left_ms = strtod(score->str, NULL) - (double)now_ms;
    if (!(left_ms > 0)) /* not a number, too */
        return;
    uint64_t bar_ms = left_ms < (double)KICK_BAR_MAX_MS ? (uint64_t)left_ms : KICK_BAR_MAX_MS;
    struct kick k = {.by = bar.by, .bar_ms = bar_ms, .name = bar.name, .name_len = bar.name_len};
    if (put_bar(bus, &bar, bar_ms))
        begin(bus, &k, false);
}

static void refused(struct bus *bus, const char *why) {
    uint64_t now_ms = clock_mono_ms(), suppressed;
    bus->kicks.retry_ms = now_ms + RETRY_MS;
    if (log_limit_pass(&bus->kicks.refused_log, now_ms, 6 * RETRY_MS, &suppressed))
        log_warn("cannot read who is barred: who was kicked while this node was away can come back "
                 "to it. Give the relay's user +zrange and the keys of its prefix",
                 "key=%s why=%s suppressed=%" PRIu64, bus->kicks.key.data, why, suppressed);
}

static void on_read(void *arg, int status, const struct redisReply *reply) {
    struct bus *bus = arg;
    struct bus_kicks *kicks = &bus->kicks;
    uint64_t now_ms;
    kicks->is_read = false;
    if (bus->stopping)
        return;
    if (status == RELAY_EREMOTE) {
        refused(bus, reply->str);
        return;
    }
    if (status != RELAY_OK || reply->type != REDIS_REPLY_ARRAY ||
        !redis_time_now(&bus->node, &now_ms)) {
        kicks->due = true; /* over the next connection, or once the time is known */
        return;
    }
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        take_bar(bus, reply->element[i], reply->element[i + 1], now_ms);
    bars_read(bus->options.bars);
    metric_set(&bus->metrics->bars, bars_count(bus->options.bars));
    kicks->due |= kicks->lifted;
}

static void read_bars(struct bus *bus) {
    struct bus_kicks *kicks = &bus->kicks;
    char most[16];
    snprintf(most, sizeof(most), "%d", KICK_BARS_MAX - 1);
    /* By when they end, the last one first: where there are too many, those are known that last. */
    const char *argv[] = {"ZRANGE", kicks->key.data, "0", most, "REV", "WITHSCORES"};
    const size_t argv_len[] = {6, kicks->key.len, 1, strlen(most), 3, 10};
    if (redis_client_command(&bus->node.reader, 6, argv, argv_len, on_read, bus) != RELAY_OK)
        return;
    kicks->due = kicks->lifted = false;
    kicks->is_read = true;
    kicks->retry_ms = 0;
    bars_reading(bus->options.bars);
}

void kicks_turn(struct bus *bus) {
    uint64_t now_ms;
    if (bus->kicks.due && !bus->kicks.is_read && node_can_read(&bus->node) &&
        redis_time_now(&bus->node, &now_ms))
        read_bars(bus);
}

void kicks_tick(struct bus *bus, uint64_t now_ms) {
    if (bus->options.bars == NULL)
        return;
    if (bus->kicks.retry_ms != 0 && now_ms >= bus->kicks.retry_ms) {
        bus->kicks.retry_ms = 0;
        bus->kicks.due = true;
    }
    bars_expire(bus->options.bars, now_ms);
    metric_set(&bus->metrics->bars, bars_count(bus->options.bars));
}
