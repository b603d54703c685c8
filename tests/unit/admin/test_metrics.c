/* The metrics page, of a real queue and a real hub: what waits for a worker is counted wherever it
 * is, and so are streams that wait for Redis. */
#include "relay/admin/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/hub/hub.h"
#include "tests/unit/unit.h"

enum { EVENTS = 60000, SECOND_US = 1000000 };

struct world {
    struct queue inbox;
    struct hub_metrics hub_metrics;
    struct http_metrics http_metrics;
    struct bus_metrics bus_metrics;
    struct http_limit_metrics limit_metrics;
    struct jwks_metrics jwks_metrics;
    struct metric_histogram lag;
    struct metrics_worker worker;
    struct hub *hub;
    struct bus_request *last; /* of the hub */
    struct stream stream;
    struct subscriber *subscriber;
};

static void take_request(void *ctx, struct bus_request *r) {
    struct world *w = ctx;
    free(w->last);
    w->last = r;
}

static void take_all(struct stream *s) {
    struct world *w = container_of(s, struct world, stream);
    hub_written(w->subscriber, hub_unsent(w->subscriber));
}

static void finish(struct stream *s, enum hub_end why) {
    (void)s;
    (void)why;
}

static const struct stream_ops ops = {take_all, finish};

static int setup(void **state) {
    struct world *w = mem_zalloc(sizeof(*w));
    struct hub_options options = {.outbox_limit_bytes = 64 * 1024,
                                  .heartbeat_ms = 1000,
                                  .retry_ms = 100,
                                  .now_us = clock_mono_us,
                                  .send = take_request,
                                  .send_ctx = w};
    struct hub_topic_name name = {"t", 1};
    struct hub_subscription_spec spec = {
        .topics = &name, .topics_len = 1, .opening = frame_raw("open\n", 5)};
    queue_init(&w->inbox, EVENTS, SIZE_MAX, NULL);
    w->hub = hub_new(&options, &w->hub_metrics, 0);
    w->worker = (struct metrics_worker){&w->hub_metrics, &w->http_metrics, &w->lag, &w->inbox};
    w->stream = (struct stream){&ops};
    w->subscriber = hub_attach(w->hub, &spec, &w->stream, 0);
    hub_turn(w->hub);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    if (w->subscriber != NULL)
        hub_detach(w->subscriber);
    hub_free(w->hub);
    queue_fini(&w->inbox);
    free(w->last);
    free(w);
    return 0;
}

/* The value of a sample of the page, which must be there. */
static double value_of(const struct world *w, const char *sample) {
    struct metrics_source source = {.workers = &w->worker,
                                    .workers_len = 1,
                                    .bus = &w->bus_metrics,
                                    .limits = &w->limit_metrics,
                                    .jwks = &w->jwks_metrics,
                                    .started_ms = 1700000000123,
                                    .version = "1"};
    struct buf page = BUF_INIT;
    char line[128];
    metrics_write(&source, true, &page);
    buf_putc(&page, '\0');
    snprintf(line, sizeof(line), "\nsse_relay_%s ", sample);
    const char *at = strstr(page.data, line);
    if (at == NULL)
        fail_msg("no sample %s", sample);
    double value = strtod(at + strlen(line), NULL);
    buf_fini(&page);
    return value;
}

static double queued(const struct world *w) {
    return value_of(w, "worker_queue_messages{worker=\"0\"}");
}

static double oldest(const struct world *w) {
    return value_of(w, "worker_queue_oldest_seconds{worker=\"0\"}");
}

/* Answer the stream's replay: live, or refused. */
static void answer(struct world *w, bool refused) {
    assert_int_equal(w->last->kind, BUS_REPLAY);
    struct bus_replayed *m = bus_replayed_new(((struct bus_replay *)w->last)->token, 0);
    m->refused = refused;
    m->live = !refused;
    hub_receive(w->hub, &m->base);
    hub_turn(w->hub);
}

static void push_event(struct world *w, uint64_t received_us) {
    struct frame_source source = {
        .topic = "t", .topic_len = 1, .event = {.data = "data", .data_len = 4}};
    struct bus_event *e = bus_event_new(frame_encode(&source, 1), "t", 1, received_us);
    assert_int_equal(queue_push(&w->inbox, &e->base.node, frame_size(e->frame)), RELAY_OK);
}

/* As the worker does. */
static void take_inbox(struct world *w) {
    struct queue_node *next;
    for (struct queue_node *node = queue_take(&w->inbox); node != NULL; node = next) {
        next = node->next;
        hub_receive(w->hub, container_of(node, struct bus_message, node));
    }
}

static void what_waits_is_counted_wherever_it_is(void **state) {
    struct world *w = *state;
    answer(w, false);
    assert_true(queued(w) == 0 && oldest(w) == 0);
    uint64_t now_us = clock_mono_us();
    for (int i = 0; i < EVENTS; i++) /* the first came 9 s ago, the last 3 s ago */
        push_event(w, now_us - 9 * SECOND_US + (uint64_t)i * 100);
    assert_true(queued(w) == (double)EVENTS);
    assert_true(oldest(w) > 0);
    take_inbox(w);
    assert_true(queue_depth(&w->inbox, NULL) == 0);
    assert_true(queued(w) == (double)EVENTS);
    assert_true(oldest(w) >= 9);
    assert_true(hub_turn(w->hub)); /* a turn is bounded: some are left */
    double left = queued(w);
    assert_true(left > 0 && left < (double)EVENTS);
    assert_true(oldest(w) >= 3 + left / 10000);
    push_event(w, now_us); /* behind all that the hub has */
    assert_true(queued(w) == left + 1);
    assert_true(oldest(w) >= 3 + left / 10000);
    while (hub_turn(w->hub)) {
    }
    assert_true(queued(w) == 1);
    take_inbox(w);
    while (hub_turn(w->hub)) {
    }
    assert_true(queued(w) == 0 && oldest(w) == 0);
}

/* A message that does not say when it was received has waited as long as the one before it. */
static void a_message_without_a_time_keeps_the_time_of_the_one_before(void **state) {
    struct world *w = *state;
    answer(w, false);
    hub_receive(w->hub, &bus_gap_new("t", 1, 0)->base);
    assert_true(metric_get(&w->hub_metrics.waiting_since_us) != 0);
    hub_turn(w->hub);
    assert_true(metric_get(&w->hub_metrics.waiting_since_us) == 0);
    assert_true(metric_get(&w->hub_metrics.waiting) == 0);
}

static void streams_that_redis_keeps_waiting_are_counted(void **state) {
    struct world *w = *state;
    assert_true(value_of(w, "subscribers_blocked") == 0);
    answer(w, true);
    assert_true(value_of(w, "subscribers_blocked") == 1);
    hub_receive(w->hub, &bus_gap_new("t", 1, 0)->base); /* it asks again, and still waits */
    hub_turn(w->hub);
    assert_true(value_of(w, "subscribers_blocked") == 1);
    answer(w, true);
    assert_true(value_of(w, "subscribers_blocked") == 1);
    hub_receive(w->hub, &bus_gap_new("t", 1, 0)->base);
    hub_turn(w->hub);
    answer(w, false);
    assert_true(value_of(w, "subscribers_blocked") == 0);
}

static void a_stream_that_leaves_waits_no_more(void **state) {
    struct world *w = *state;
    answer(w, true);
    hub_detach(w->subscriber);
    w->subscriber = NULL;
    assert_true(value_of(w, "subscribers_blocked") == 0);
}

static void the_start_has_its_time(void **state) {
    struct world *w = *state;
    double started = value_of(w, "start_time_seconds");
    assert_true(started > 1700000000.122 && started < 1700000000.124);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_waits_is_counted_wherever_it_is),
        TEST(a_message_without_a_time_keeps_the_time_of_the_one_before),
        TEST(streams_that_redis_keeps_waiting_are_counted),
        TEST(a_stream_that_leaves_waits_no_more),
        TEST(the_start_has_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
