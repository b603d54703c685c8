/* The bus's thread: its loop, its three connections, and the requests of the workers. See bus.h. */
#include "relay/bus/bus.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/internal.h"

enum { OUTAGE_LOG_EVERY_MS = 30 * 1000 };

/* ---- the connections ---- */

/* The three connections are lost together, and each tries again several times a second. The log
 * tells that as one incident: Redis is away, still away, and back. */

static void log_up(struct bus *bus, const char *connection) {
    log_debug("a connection to Redis is ready", "connection=%s", connection);
    if (bus->subscriber.state != REDIS_CLIENT_READY || bus->publisher.state != REDIS_CLIENT_READY ||
        bus->reader.state != REDIS_CLIENT_READY)
        return;
    struct buf address = BUF_INIT;
    redis_url_describe(bus->options.url, &address);
    log_info(bus->outage.has_been_up ? "connected to Redis again" : "connected to Redis",
             "address=%s failed_attempts=%u", address.data, bus->outage.failed_attempts);
    buf_fini(&address);
    memset(&bus->outage, 0, sizeof(bus->outage));
    bus->outage.has_been_up = true;
}

static void log_down(struct bus *bus, const char *connection, bool was_ready, const char *why) {
    uint64_t suppressed;
    if (bus->stopping)
        return;
    bool begins = !bus->outage.lasts;
    bus->outage.lasts = true;
    bus->outage.failed_attempts += !was_ready;
    log_debug("no connection to Redis", "connection=%s why=%s", connection, why);
    if (!log_limit_pass(&bus->outage.log, clock_mono_ms(), OUTAGE_LOG_EVERY_MS, &suppressed))
        return;
    struct buf address = BUF_INIT;
    redis_url_describe(bus->options.url, &address);
    log_warn(was_ready ? "lost Redis; reconnecting"
             : begins  ? "cannot connect to Redis; retrying"
                       : "still cannot connect to Redis; retrying",
             "connection=%s address=%s failed_attempts=%u why=%s", connection, address.data,
             bus->outage.failed_attempts, why);
    buf_fini(&address);
}

static void gone(struct bus *bus, const char *connection, bool was_ready, const char *why,
                 figure *connected, figure *lost) {
    log_down(bus, connection, was_ready, why);
    figure_set(connected, 0);
    figure_add(was_ready ? lost : &bus->figures->connect_failures, 1);
}

static void subscriber_up(void *arg) {
    struct bus *bus = arg;
    figure_set(&bus->figures->subscriber_connected, 1);
    log_up(bus, "subscriber");
    probe_subscribe(bus);
    subscriptions_send(bus);
}

static void subscriber_down(void *arg, bool was_ready, int status, const char *why) {
    struct bus *bus = arg;
    (void)status;
    gone(bus, "subscriber", was_ready, why, &bus->figures->subscriber_connected,
         &bus->figures->subscriber_lost);
    probe_lost(bus);
    if (!was_ready)
        return;
    subscriptions_lost(bus);
    /* What is read from now on must come from the server that we shall be subscribed to. */
    bus->domain.known = false;
    redis_client_reconnect(&bus->reader);
}

static void publisher_up(void *arg) {
    struct bus *bus = arg;
    figure_set(&bus->figures->publisher_connected, 1);
    log_up(bus, "publisher");
    script_up(bus);
}

static void publisher_down(void *arg, bool was_ready, int status, const char *why) {
    struct bus *bus = arg;
    (void)status;
    gone(bus, "publisher", was_ready, why, &bus->figures->publisher_connected,
         &bus->figures->publisher_lost);
    script_down(bus);
}

static void on_reader_up(void *arg) {
    struct bus *bus = arg;
    figure_set(&bus->figures->reader_connected, 1);
    log_up(bus, "reader");
    reader_up(bus);
    clock_read(bus); /* history_resume() follows */
}

static void on_reader_down(void *arg, bool was_ready, int status, const char *why) {
    struct bus *bus = arg;
    (void)status;
    if (was_ready) /* first: who asks for readiness looks at it once there is no connection */
        figure_set(&bus->figures->reader_lost_ms, clock_mono_ms());
    gone(bus, "reader", was_ready, why, &bus->figures->reader_connected,
         &bus->figures->reader_lost);
}

static void nothing_more(void *arg) {
    (void)arg;
}

static void start_connections(struct bus *bus) {
    static const struct redis_client_callbacks subscriber = {subscriber_up, subscriber_down,
                                                             events_push, nothing_more};
    static const struct redis_client_callbacks publisher = {publisher_up, publisher_down, NULL,
                                                            nothing_more};
    static const struct redis_client_callbacks reader = {on_reader_up, on_reader_down, NULL,
                                                         nothing_more};
    bus->connection = (struct redis_conn_options){.url = bus->options.url,
                                                  .client_name = bus->options.node,
                                                  .timeout_ms = bus->options.redis_timeout_ms};
    redis_client_start(&bus->subscriber, &bus->loop, &bus->connection, &subscriber, bus);
    redis_client_start(&bus->publisher, &bus->loop, &bus->connection, &publisher, bus);
    redis_client_start(&bus->reader, &bus->loop, &bus->connection, &reader, bus);
}

int bus_settle(struct bus *bus, redis_reply_cb cb, void *arg) {
    const char *argv[] = {"PING"};
    const size_t argv_len[] = {4};
    return redis_client_command(&bus->subscriber, 1, argv, argv_len, cb, arg);
}

/* ---- requests ---- */

static void stop(struct bus *bus) {
    bus->stopping = true;
    redis_client_close(&bus->subscriber);
    redis_client_close(&bus->publisher);
    redis_client_close(&bus->reader);
    uv_close((uv_handle_t *)&bus->script.retry, NULL);
    uv_close((uv_handle_t *)&bus->probe.timer, NULL);
    uv_close((uv_handle_t *)&bus->tick, NULL);
    uv_close((uv_handle_t *)&bus->turn, NULL);
    uv_close((uv_handle_t *)&bus->wakeup, NULL);
}

/* Handles a request and frees it, unless it goes back. */
static void handle(struct bus *bus, struct bus_request *r) {
    switch (r->kind) {
    case BUS_SUBSCRIBE:
    case BUS_UNSUBSCRIBE:
        subscriptions_request(bus, (struct bus_subscribe *)r);
        free(r);
        break;
    case BUS_REPLAY:
        replay_request(bus, (struct bus_replay *)r);
        break;
    case BUS_PUBLISH:
        publish_request(bus, (struct bus_publish *)r);
        break;
    case BUS_STOP:
        stop(bus);
        free(r);
        break;
    }
}

static void on_wakeup(uv_async_t *wakeup) {
    struct bus *bus = wakeup->data;
    struct queue_node *next;
    for (struct queue_node *node = queue_take(&bus->requests); node != NULL; node = next) {
        next = node->next;
        handle(bus, container_of(node, struct bus_request, node));
    }
    if (!bus->stopping)
        subscriptions_send(bus);
}

/* What the sockets and the queue brought is there. */
static void on_turn(uv_check_t *turn) {
    struct bus *bus = turn->data;
    if (bus->clock_due)
        clock_read(bus);
    bus->clock_due = false;
    doubt_ask(bus);
    replay_serve(bus);
}

static void on_tick(uv_timer_t *tick) {
    struct bus *bus = tick->data;
    wheel_advance(&bus->wheel, clock_mono_ms(), subscriptions_timer, bus);
    pages_expire(bus);
    replay_put_off(bus);
}

/* ---- the thread ---- */

static void run(void *arg) {
    struct bus *bus = arg;
    start_connections(bus);
    uv_run(&bus->loop, UV_RUN_DEFAULT);
}

static void bus_free(struct bus *bus) {
    replay_free_all(bus);
    subscriptions_free(bus);
    domain_fini(&bus->domain);
    queue_fini(&bus->requests);
    buf_fini(&bus->probe.channel);
    int rc = uv_loop_close(&bus->loop);
    assert(rc == 0);
    (void)rc;
    free(bus);
}

struct bus *bus_start(const struct bus_options *options, struct bus_figures *figures) {
    struct bus *bus = mem_zalloc(sizeof(*bus));
    bus->options = *options;
    bus->figures = figures;
    if (uv_loop_init(&bus->loop) != 0 || uv_async_init(&bus->loop, &bus->wakeup, on_wakeup) != 0) {
        log_error("cannot make an event loop for the bus; are file descriptors short?", NULL);
        abort(); /* at start, before anything is served */
    }
    bus->wakeup.data = bus;
    queue_init(&bus->requests, SIZE_MAX, SIZE_MAX, &bus->wakeup);
    wheel_init(&bus->wheel, clock_mono_ms());
    siphash_key_init(&bus->subscriptions_key);
    uv_timer_init(&bus->loop, &bus->tick);
    uv_check_init(&bus->loop, &bus->turn);
    bus->tick.data = bus->turn.data = bus;
    uv_check_start(&bus->turn, on_turn);
    uv_timer_start(&bus->tick, on_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
    script_init(bus);
    probe_start(bus);
    if (uv_thread_create(&bus->thread, run, bus) != 0) {
        log_error("cannot start the bus thread", NULL);
        abort();
    }
    return bus;
}

struct queue *bus_requests(struct bus *bus) {
    return &bus->requests;
}

void bus_stop(struct bus *bus) {
    struct bus_request *r = mem_zalloc(sizeof(*r));
    r->kind = BUS_STOP;
    queue_push_control(&bus->requests, &r->node);
    uv_thread_join(&bus->thread);
    bus_free(bus);
}
