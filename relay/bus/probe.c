/* The probe: proof that what is published arrives.
 *
 * A subscription connection can look healthy and be attached to a demoted master, or to nothing at
 * all. So once a second a nonce is published on the publishing connection to a channel of the
 * node's own. When Redis says that nobody received it, or it does not come within the timeout
 * though Redis took it, the subscription connection is made anew. A publish that is not even
 * answered ends its own connection by its deadline, and then the subscription connection is
 * quarantined too. One that was lost with its connection, or refused, says nothing about it:
 * another is sent later, and readiness tells. */
#include "relay/bus/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/core_state.h"
#include "relay/bus/script.h"
#include "relay/bus/server_info.h"
#include "relay/wire/names.h"

enum { PROBE_EVERY_MS = 1000, READER_SILENT_MS = 300, LOG_EVERY_MS = 60 * 1000 };

static void fail(struct bus_node *n, const char *why) {
    n->probe.sent_us = 0;
    metric_add(&n->bus->metrics->probe_lost, 1);
    log_warn("the subscription connection does not deliver; reconnecting", "why=%s", why);
    redis_client_reconnect(&n->subscriber);
}

/* A probe whose answer is waited for. */
struct sent_probe {
    struct bus_node *node;
    uint64_t nonce;
};

static void answered(struct bus_node *n, int status, const struct redisReply *reply) {
    uint64_t suppressed;
    if (status == RELAY_ETIMEOUT)
        fail(n, "a probe was not answered");
    else if (status != RELAY_OK)
        n->probe.sent_us = 0;
    else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0)
        fail(n, "a probe had no receiver");
    if (status == RELAY_EREMOTE &&
        log_limit_pass(&n->probe.refused_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn("Redis refuses the probe; the node is not ready without it", "why=%s", reply->str);
}

/* The answer to an older one says nothing about the connection of today. */
static void on_published(void *arg, int status, const struct redisReply *reply) {
    struct sent_probe *sent = arg;
    struct bus_node *n = sent->node;
    if (!n->bus->stopping && n->probe.sent_us != 0 && n->probe.nonce == sent->nonce)
        answered(n, status, reply);
    free(sent);
}

/* While the publishing connection is down nothing is sent, and the next second tries again. */
static void send_probe(struct bus_node *n) {
    char nonce[24];
    int len = snprintf(nonce, sizeof(nonce), "%" PRIu64, ++n->probe.nonce);
    const char *argv[] = {"PUBLISH", n->probe.channel.data, nonce};
    const size_t argv_len[] = {7, n->probe.channel.len, (size_t)len};
    server_info_ask_role(n);
    struct sent_probe *sent = mem_zalloc(sizeof(*sent));
    *sent = (struct sent_probe){.node = n, .nonce = n->probe.nonce};
    if (redis_client_command(&n->publisher, 3, argv, argv_len, on_published, sent) == RELAY_OK)
        n->probe.sent_us = clock_mono_us();
    else
        free(sent);
}

static bool overdue(const struct bus_node *n, uint64_t since_us) {
    return clock_mono_us() - since_us > n->bus->options.redis_timeout_ms * 1000;
}

/* What was sent is not waited for for ever; and each second another is sent. */
static void look(struct bus_node *n) {
    bool is_denied = metric_get(&n->bus->metrics->channel_unfit) != BUS_FIT;
    if (!n->probe.subscribed && is_denied && overdue(n, n->probe.asked_us))
        probe_subscribe(n);
    else if (!n->probe.subscribed && overdue(n, n->probe.asked_us))
        fail(n, "SUBSCRIBE was not confirmed");
    else if (n->probe.sent_us != 0 && overdue(n, n->probe.sent_us))
        fail(n, "a probe did not arrive");
    else
        n->probe.due = true;
}

/* Redis answers in order, so where a probe that was sent later has come back, and the reading
 * connection is still as silent as before, that one is dead: cut by somebody on the way, who told
 * nobody. Replays ask again on the next one. */
static void look_at_reader(struct bus_node *n, uint64_t probe_ms) {
    if (redis_client_waiting_ms(&n->reader) < probe_ms + READER_SILENT_MS / 2)
        return;
    log_warn("the reading connection is dead: Redis answers on another one; reconnecting", NULL);
    redis_client_reconnect(&n->reader);
}

bool probe_tick(struct bus_node *n, uint64_t now_ms) {
    if (redis_client_waiting_ms(&n->reader) >= READER_SILENT_MS)
        n->probe.due = true;
    if (now_ms < n->probe.due_ms)
        return false;
    n->probe.due_ms = now_ms + PROBE_EVERY_MS;
    if (n->subscriber.state == REDIS_CLIENT_READY)
        look(n);
    return true;
}

void probe_turn(struct bus_node *n) {
    if (!n->probe.due || !n->probe.subscribed || n->probe.sent_us != 0 || !script_known(n))
        return;
    n->probe.due = false;
    send_probe(n);
}

void probe_init(struct bus_node *n) {
    names_probe_channel(&n->probe.channel, n->bus->options.prefix, n->bus->options.node);
}

void probe_fini(struct bus_node *n) {
    buf_fini(&n->probe.channel);
}

/* Its channel is denied, so nothing can prove that events arrive: the node is not ready, and asks
 * again. */
static void on_subscribed(void *arg, int status, const struct redisReply *reply) {
    struct bus_node *n = arg;
    uint64_t suppressed;
    if (status != RELAY_EREMOTE || n->bus->stopping)
        return;
    metric_set(&n->bus->metrics->channel_unfit, BUS_UNFIT_CHANNEL);
    if (log_limit_pass(&n->probe.denied_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_error("Redis refuses the relay's own channel; the node is not ready. Give its user the "
                  "channels of its prefix: ACL SETUSER <user> +subscribe &<prefix>:*",
                  "channel=%s why=%s", n->probe.channel.data, reply->str);
}

void probe_subscribe(struct bus_node *n) {
    const char *argv[] = {"SUBSCRIBE", n->probe.channel.data};
    const size_t argv_len[] = {9, n->probe.channel.len};
    redis_client_subscription_command(&n->subscriber, 2, argv, argv_len, on_subscribed, n);
    n->probe.asked_us = clock_mono_us();
}

void probe_subscribed(struct bus_node *n) {
    n->probe.subscribed = n->probe.due = true;
    metric_set(&n->bus->metrics->channel_unfit, BUS_FIT);
}

void probe_lost(struct bus_node *n) {
    n->probe.subscribed = false;
    n->probe.sent_us = 0;
}

void probe_soon(struct bus_node *n) {
    n->probe.due = true;
}

bool probe_is_channel(const struct bus_node *n, const char *channel, size_t len) {
    return len == n->probe.channel.len && memcmp(channel, n->probe.channel.data, len) == 0;
}

void probe_received(struct bus_node *n, const char *nonce, size_t len) {
    char expected[24];
    int count = snprintf(expected, sizeof(expected), "%" PRIu64, n->probe.nonce);
    if (n->probe.sent_us == 0 || len != (size_t)count || memcmp(nonce, expected, len) != 0)
        return;
    uint64_t took_us = clock_mono_us() - n->probe.sent_us;
    metric_set(&n->bus->metrics->probe_us, took_us);
    look_at_reader(n, took_us / 1000);
    metric_set(&n->bus->metrics->probe_ok_ms, clock_mono_ms());
    n->probe.sent_us = 0;
}

static void say_where(const struct bus_options *options, uint64_t since_ms, uint64_t now_ms,
                      struct buf *why) {
    redis_url_describe(options->url, why);
    if (since_ms == 0)
        buf_puts(why, " since the start");
    else
        buf_printf(why, " for %" PRIu64 " s", (now_ms - since_ms) / 1000);
    buf_puts(why, "; retrying");
}

static bool is_fit(const struct bus_options *options, const struct bus_metrics *metrics,
                   struct buf *why) {
    enum bus_unfit unfit = (enum bus_unfit)metric_get(&metrics->server_unfit);
    if (unfit == BUS_FIT)
        unfit = (enum bus_unfit)metric_get(&metrics->clock_unfit);
    if (unfit == BUS_FIT)
        unfit = (enum bus_unfit)metric_get(&metrics->channel_unfit);
    if (unfit == BUS_FIT)
        return true;
    buf_puts(why, "at ");
    redis_url_describe(options->url, why);
    buf_printf(why, ": %s", bus_unfit_text(unfit));
    return false;
}

bool bus_ready(const struct bus_options *options, const struct bus_metrics *metrics,
               uint64_t now_ms, struct buf *why) {
    if (!is_fit(options, metrics, why))
        return false;
    uint64_t ok_ms = metric_get(&metrics->probe_ok_ms);
    uint64_t lost_ms = metric_get(&metrics->reader_lost_ms);
    /* The grace: one probe may be lost and a connection be made anew without the balancer hearing
     * of it. */
    uint64_t grace_ms = options->redis_timeout_ms + 2 * PROBE_EVERY_MS;
    if (ok_ms == 0 || now_ms >= ok_ms + grace_ms) {
        buf_puts(why, metric_get(&metrics->subscriber_connected) &&
                              metric_get(&metrics->publisher_connected)
                          ? "no probe has come back through Redis at "
                          : "not connected to Redis at ");
        say_where(options, ok_ms, now_ms, why);
        return false;
    }
    if (!metric_get(&metrics->reader_connected) && (lost_ms == 0 || now_ms >= lost_ms + grace_ms)) {
        buf_puts(why, "no connection that reads logs, so no stream becomes live, to Redis at ");
        say_where(options, lost_ms, now_ms, why);
        return false;
    }
    return true;
}
