/* The connections to one Redis server; see node.h. */
#include "relay/bus/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/core_state.h"

enum {
    OUTAGE_LOG_EVERY_MS = 30 * 1000,
    NEWS_ATTEMPTS = 9,          /* reasons that take turns are told no more often than that */
    LASTING_ATTEMPTS = 6,       /* two for each connection: it is no blip */
    FLAPPING_LOG_INCIDENTS = 3, /* told one by one in each */
    FLAPPING_LOG_EVERY_MS = 30 * 1000
};

/* ---- what the log says ---- */

/* The three connections are lost together, and each tries again several times a second. The log
 * tells that as one incident: Redis is away, still away, and back. Where incidents follow each
 * other (somebody kills connections, a proxy cuts them), the first of each half minute are told
 * one by one, the others in one line when it is over. One that lasts is told in any case. */

void node_tick(struct bus_node *n, uint64_t now_ms) {
    struct node_flapping *f = &n->flapping;
    if (now_ms < f->ends_ms)
        return;
    if (f->untold > 0) {
        struct buf address = BUF_INIT;
        redis_url_describe(n->connection.url, &address);
        log_warn("connections to Redis were lost and made anew, over and over",
                 "address=%s times=%u seconds=%d why=%s", address.data, f->told + f->untold,
                 FLAPPING_LOG_EVERY_MS / 1000, f->why);
        buf_fini(&address);
    }
    *f = (struct node_flapping){.ends_ms = now_ms + FLAPPING_LOG_EVERY_MS};
}

static void log_up(struct bus_node *n, const char *connection) {
    const struct node_outage *o = &n->outage;
    log_debug("a connection to Redis is ready", "connection=%s", connection);
    if (n->subscriber.state != REDIS_CLIENT_READY || n->publisher.state != REDIS_CLIENT_READY ||
        n->reader.state != REDIS_CLIENT_READY)
        return;
    if (o->is_told || !o->has_been_up) {
        struct buf address = BUF_INIT;
        redis_url_describe(n->connection.url, &address);
        log_info(o->has_been_up ? "connected to Redis again" : "connected to Redis",
                 "address=%s failed_attempts=%u", address.data, o->failed_attempts);
        buf_fini(&address);
    }
    n->outage = (struct node_outage){.has_been_up = true};
}

/* Redis is there and refuses us, and that was not told yet: a password that was changed, say,
 * behind the end of the connections. */
static bool is_news(const struct node_outage *o, int status, const char *why) {
    return status == RELAY_EREMOTE && strncmp(o->why, why, sizeof(o->why) - 1) != 0 &&
           o->failed_attempts <= NEWS_ATTEMPTS;
}

/* Whether an incident that begins is one too many to be told by itself; counts it. */
static bool is_flapping(struct node_flapping *f, const char *why) {
    if (f->told < FLAPPING_LOG_INCIDENTS) {
        f->told++;
        return false;
    }
    f->untold++;
    snprintf(f->why, sizeof(f->why), "%s", why);
    return true;
}

static bool is_worth_a_line(struct bus_node *n, bool begins, bool was_ready, int status,
                            const char *why) {
    struct node_outage *o = &n->outage;
    uint64_t suppressed;
    if (begins && o->has_been_up && is_flapping(&n->flapping, why))
        return false;
    if (!begins && !o->is_told && o->failed_attempts < LASTING_ATTEMPTS)
        return is_news(o, status, why);
    return log_limit_pass(&o->log, clock_mono_ms(), OUTAGE_LOG_EVERY_MS, &suppressed) ||
           (!was_ready && is_news(o, status, why));
}

static void log_down(struct bus_node *n, const char *connection, bool was_ready, int status,
                     const char *why) {
    struct node_outage *o = &n->outage;
    if (n->bus->stopping)
        return;
    bool begins = !o->lasts;
    o->lasts = true;
    o->failed_attempts += !was_ready;
    log_debug("no connection to Redis", "connection=%s why=%s", connection, why);
    if (!is_worth_a_line(n, begins, was_ready, status, why))
        return;
    snprintf(o->why, sizeof(o->why), "%s", why);
    struct buf address = BUF_INIT, reason = BUF_INIT;
    redis_url_describe(n->connection.url, &address);
    buf_puts(&reason, why);
    if (redis_url_is_password_refused(why))
        buf_puts(&reason, "; a password is given as --redis " REDIS_URL_PASSWORD_FORM);
    log_warn(was_ready     ? "lost Redis; reconnecting"
             : !o->is_told ? "cannot connect to Redis; retrying"
                           : "still cannot connect to Redis; retrying",
             "connection=%s address=%s failed_attempts=%u why=%s", connection, address.data,
             o->failed_attempts, reason.data);
    buf_fini(&address);
    buf_fini(&reason);
    o->is_told = true;
}

/* ---- the connections ---- */

static void up(struct bus_node *n, const char *connection, metric *connected) {
    metric_set(connected, 1);
    log_up(n, connection);
}

static void down(struct bus_node *n, const char *connection, bool was_ready, int status,
                 const char *why, metric *connected, metric *lost) {
    log_down(n, connection, was_ready, status, why);
    metric_set(connected, 0);
    metric_add(was_ready ? lost : &n->bus->metrics->connect_failures, 1);
}

static void subscriber_up(void *arg) {
    struct bus_node *n = arg;
    n->may_not_ping = false; /* rights change */
    up(n, "subscriber", &n->bus->metrics->subscriber_connected);
    n->callbacks->subscriber_up(n);
}

static void subscriber_down(void *arg, bool was_ready, int status, const char *why) {
    struct bus_node *n = arg;
    struct bus_metrics *m = n->bus->metrics;
    down(n, "subscriber", was_ready, status, why, &m->subscriber_connected, &m->subscriber_lost);
    n->callbacks->subscriber_down(n, was_ready);
}

static void publisher_up(void *arg) {
    struct bus_node *n = arg;
    up(n, "publisher", &n->bus->metrics->publisher_connected);
    n->callbacks->publisher_up(n);
}

static void publisher_down(void *arg, bool was_ready, int status, const char *why) {
    struct bus_node *n = arg;
    struct bus_metrics *m = n->bus->metrics;
    down(n, "publisher", was_ready, status, why, &m->publisher_connected, &m->publisher_lost);
    n->callbacks->publisher_down(n);
}

static void reader_up(void *arg) {
    struct bus_node *n = arg;
    up(n, "reader", &n->bus->metrics->reader_connected);
    n->callbacks->reader_up(n);
}

static void reader_down(void *arg, bool was_ready, int status, const char *why) {
    struct bus_node *n = arg;
    struct bus_metrics *m = n->bus->metrics;
    if (was_ready) /* first: who asks for readiness looks at it once there is no connection */
        metric_set(&m->reader_lost_ms, clock_mono_ms());
    down(n, "reader", was_ready, status, why, &m->reader_connected, &m->reader_lost);
}

static void message(void *arg, const struct redisReply *push) {
    struct bus_node *n = arg;
    n->callbacks->message(n, push);
}

static void nothing_more(void *arg) {
    (void)arg;
}

void node_start(struct bus_node *n, const struct node_callbacks *callbacks,
                struct uv_loop_s *loop) {
    static const struct redis_client_callbacks subscriber = {subscriber_up, subscriber_down,
                                                             message, nothing_more};
    static const struct redis_client_callbacks publisher = {publisher_up, publisher_down, NULL,
                                                            nothing_more};
    static const struct redis_client_callbacks reader = {reader_up, reader_down, NULL,
                                                         nothing_more};
    n->callbacks = callbacks;
    n->connection = (struct redis_conn_options){.url = n->bus->options.url,
                                                .client_name = n->bus->options.node,
                                                .timeout_ms = n->bus->options.redis_timeout_ms};
    redis_client_start(&n->subscriber, loop, &n->connection, &subscriber, n);
    redis_client_start(&n->publisher, loop, &n->connection, &publisher, n);
    redis_client_start(&n->reader, loop, &n->connection, &reader, n);
}

void node_close(struct bus_node *n) {
    redis_client_close(&n->subscriber);
    redis_client_close(&n->publisher);
    redis_client_close(&n->reader);
}

/* ---- barriers ---- */

struct barrier {
    struct bus_node *node;
    redis_reply_cb cb;
    void *arg;
    bool is_ping;
};

static int send_barrier(struct barrier *b);

/* Where the user may not PING, subscribing again to the channel of the probe does as well; for all
 * barriers that were under way when that was found out. */
static void on_barrier(void *arg, int status, const struct redisReply *reply) {
    struct barrier *b = arg;
    if (status == RELAY_EREMOTE && b->is_ping) {
        if (!b->node->may_not_ping)
            log_warn("Redis refuses PING; the relay works without it. Give its user +ping",
                     "why=%s", reply->str);
        b->node->may_not_ping = true;
        status = send_barrier(b);
        if (status == RELAY_OK)
            return;
    }
    b->cb(b->arg, status, NULL);
    free(b);
}

static int send_barrier(struct barrier *b) {
    struct bus_node *n = b->node;
    const struct buf *channel = &n->probe.channel;
    const char *ping[] = {"PING"}, *subscribe[] = {"SUBSCRIBE", channel->data};
    const size_t ping_len[] = {4}, subscribe_len[] = {9, channel->len};
    b->is_ping = !n->may_not_ping;
    if (b->is_ping)
        return redis_client_command(&n->subscriber, 1, ping, ping_len, on_barrier, b);
    return redis_client_subscription_command(&n->subscriber, 2, subscribe, subscribe_len,
                                             on_barrier, b);
}

int node_barrier(struct bus_node *n, redis_reply_cb cb, void *arg) {
    struct barrier *b = mem_zalloc(sizeof(*b));
    *b = (struct barrier){.node = n, .cb = cb, .arg = arg};
    int rc = send_barrier(b);
    if (rc != RELAY_OK)
        free(b);
    return rc;
}
