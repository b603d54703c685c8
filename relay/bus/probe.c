/* The probe: proof that what is published arrives.
 *
 * A subscription connection can look healthy and be attached to a demoted master, or to nothing at
 * all. So once a second a nonce is published on the publishing connection to a channel of the
 * node's own. When Redis says that nobody received it, or it does not come within the timeout
 * though Redis took it, the subscription connection is made anew. A publish that is not even
 * answered ends its own connection by its deadline, and then the subscription connection is doubted
 * too. One that was lost with its connection, or refused, says nothing about it: another is sent
 * later, and readiness tells. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/bus/internal.h"
#include "relay/wire/names.h"

enum { PROBE_EVERY_MS = 1000, LOG_EVERY_MS = 60 * 1000 };

static void doubt(struct bus *bus, const char *why) {
    bus->probe.sent_us = 0;
    figure_add(&bus->figures->probe_lost, 1);
    log_warn("the subscription connection does not deliver; reconnecting", "why=%s", why);
    redis_client_reconnect(&bus->subscriber);
}

static void on_published(void *arg, int status, const struct redisReply *reply) {
    struct bus *bus = arg;
    uint64_t suppressed;
    if (bus->stopping || bus->probe.sent_us == 0)
        return;
    if (status == RELAY_ETIMEOUT)
        doubt(bus, "a probe was not answered");
    else if (status != RELAY_OK)
        bus->probe.sent_us = 0;
    else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0)
        doubt(bus, "a probe had no receiver");
    if (status == RELAY_EREMOTE &&
        log_limit_pass(&bus->probe.refused_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn("Redis refuses the probe; the node is not ready without it", "why=%s", reply->str);
}

/* While the publishing connection is down nothing is sent, and the next turn of the timer tries
 * again. */
static void send_probe(struct bus *bus) {
    char nonce[24];
    int len = snprintf(nonce, sizeof(nonce), "%" PRIu64, ++bus->probe.nonce);
    const char *argv[] = {"PUBLISH", bus->probe.channel.data, nonce};
    const size_t argv_len[] = {7, bus->probe.channel.len, (size_t)len};
    if (redis_client_command(&bus->publisher, 3, argv, argv_len, on_published, bus) == RELAY_OK)
        bus->probe.sent_us = clock_mono_us();
}

static bool overdue(const struct bus *bus, uint64_t since_us) {
    return clock_mono_us() - since_us > bus->options.redis_timeout_ms * 1000;
}

static void on_timer(uv_timer_t *timer) {
    struct bus *bus = timer->data;
    if (bus->subscriber.state != REDIS_CLIENT_READY)
        return;
    history_watch(bus);
    if (!bus->probe.subscribed && overdue(bus, bus->probe.asked_us))
        doubt(bus, "SUBSCRIBE was not confirmed");
    else if (bus->probe.sent_us != 0 && overdue(bus, bus->probe.sent_us))
        doubt(bus, "a probe did not arrive");
    else
        probe_now(bus);
}

void probe_start(struct bus *bus) {
    bus->probe.timer.data = bus;
    names_probe_channel(&bus->probe.channel, bus->options.prefix, bus->options.node);
    uv_timer_init(&bus->loop, &bus->probe.timer);
    uv_timer_start(&bus->probe.timer, on_timer, PROBE_EVERY_MS, PROBE_EVERY_MS);
}

void probe_subscribe(struct bus *bus) {
    const char *argv[] = {"SUBSCRIBE", bus->probe.channel.data};
    const size_t argv_len[] = {9, bus->probe.channel.len};
    redis_client_subscription_command(&bus->subscriber, 2, argv, argv_len, NULL, NULL);
    bus->probe.asked_us = clock_mono_us();
}

void probe_subscribed(struct bus *bus) {
    bus->probe.subscribed = true;
    probe_now(bus);
}

void probe_lost(struct bus *bus) {
    bus->probe.subscribed = false;
    bus->probe.sent_us = 0;
}

void probe_now(struct bus *bus) {
    if (bus->probe.subscribed && bus->probe.sent_us == 0 && script_settled(bus))
        send_probe(bus);
}

void probe_received(struct bus *bus, const char *nonce, size_t len) {
    char expected[24];
    int n = snprintf(expected, sizeof(expected), "%" PRIu64, bus->probe.nonce);
    if (bus->probe.sent_us == 0 || len != (size_t)n || memcmp(nonce, expected, len) != 0)
        return;
    figure_set(&bus->figures->probe_us, clock_mono_us() - bus->probe.sent_us);
    figure_set(&bus->figures->probe_ok_ms, clock_mono_ms());
    bus->probe.sent_us = 0;
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

bool bus_ready(const struct bus_options *options, const struct bus_figures *figures,
               uint64_t now_ms, struct buf *why) {
    uint64_t ok_ms = figure_get(&figures->probe_ok_ms);
    uint64_t lost_ms = figure_get(&figures->reader_lost_ms);
    /* The grace: one probe may be lost and a connection be made anew without the balancer hearing
     * of it. */
    uint64_t grace_ms = options->redis_timeout_ms + 2 * PROBE_EVERY_MS;
    if (ok_ms == 0 || now_ms >= ok_ms + grace_ms) {
        buf_puts(why, figure_get(&figures->subscriber_connected) &&
                              figure_get(&figures->publisher_connected)
                          ? "no probe has come back through Redis at "
                          : "not connected to Redis at ");
        say_where(options, ok_ms, now_ms, why);
        return false;
    }
    if (!figure_get(&figures->reader_connected) && (lost_ms == 0 || now_ms >= lost_ms + grace_ms)) {
        buf_puts(why, "no connection that reads logs, so no stream becomes live, to Redis at ");
        say_where(options, lost_ms, now_ms, why);
        return false;
    }
    return true;
}
