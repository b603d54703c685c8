/* A Redis user that may not subscribe to every channel of the prefix: whoever asks for a forbidden
 * topic waits, and nobody else notices. The rights are real ones (ACL). */
#include "relay/base/err.h"
#include "tests/loop/bus/bus_reader.h"
#include "tests/unit/unit.h"

enum { MANY = 300 };

/* Only channels that begin with sse:open, and the probe's. */
static void restrict_rights(struct bus_world *w) {
    redis_do(w, "ACL SETUSER default resetchannels &sse:open* &sse:relay.*");
}

static void expect_refused(struct bus_world *w, unsigned worker, const char *topics) {
    worker_replay(w, worker, topics, &(struct worker_replay){.token = 99});
    struct bus_replayed *m = expect_replayed(w, worker, 99);
    assert_true(m->refused);
    assert_false(m->live);
    bus_replayed_free(m);
}

static void test_a_forbidden_topic_costs_nobody_else_anything(void **state) {
    struct bus_world w;
    struct buf names = BUF_INIT;
    char name[16];
    (void)state;
    bus_world_start(&w, &bus_plain);
    until_ready(&w, true);
    restrict_rights(&w);
    worker_subscribe(&w, 0, "open", DATA);
    expect_live(&w, 0, "open");
    for (int i = 0; i < MANY; i++) { /* in one batch with the forbidden one, and others */
        if (i == 100)
            worker_subscribe(&w, 1, "secret", DATA);
        snprintf(name, sizeof(name), "open%d", i);
        worker_subscribe(&w, 1, name, DATA);
        buf_printf(&names, "%s%s", i > 0 ? " " : "", name);
    }
    expect_refused(&w, 1, "open1 secret");
    expect_live(&w, 1, names.data);
    redis_publish(&w, "open", "x");
    expect_event(&w, 0, "open", "x");
    redis_publish(&w, "open299", "y");
    expect_event(&w, 1, "open299", "y");
    assert_int_equal(metric_get(&w.metrics.topics_refused), 1);
    assert_int_equal(metric_get(&w.metrics.subscriber_lost), 0);
    buf_fini(&names);
    bus_world_stop(&w);
}

/* On a new connection it is asked for by itself, so that the others need one command. */
static void test_a_forbidden_topic_is_asked_for_alone(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    until_ready(&w, true);
    restrict_rights(&w);
    worker_subscribe(&w, 0, "open1", DATA);
    worker_subscribe(&w, 0, "secret", DATA);
    worker_subscribe(&w, 0, "open2", DATA);
    expect_refused(&w, 0, "open1 secret");
    expect_live(&w, 0, "open1 open2");
    w.skips_gaps = true;
    for (int i = 1; i <= 3; i++) {
        redis_do(&w, "CLIENT KILL TYPE pubsub");
        until_metric(&w.metrics.subscriber_lost, (uint64_t)i);
        expect_live(&w, 0, "open1 open2");
        expect_refused(&w, 0, "secret");
        assert_int_equal(metric_get(&w.metrics.topics_refused), 1);
    }
    assert_int_equal(metric_get(&w.metrics.subscriber_lost), 3);
    bus_world_stop(&w);
}

/* Rights that come later are found, and whoever waits is told to ask again. */
static void test_a_topic_that_is_allowed_later(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    until_ready(&w, true);
    restrict_rights(&w);
    worker_subscribe(&w, 0, "secret", DATA);
    expect_refused(&w, 0, "secret");
    redis_do(&w, "ACL SETUSER default allchannels");
    redis_do(&w, "CLIENT KILL TYPE pubsub"); /* rather than wait for ten seconds */
    expect_gap(&w, 0, "secret", 0);
    expect_live(&w, 0, "secret");
    assert_int_equal(metric_get(&w.metrics.topics_refused), 0);
    redis_publish(&w, "secret", "x");
    expect_event(&w, 0, "secret", "x");
    bus_world_stop(&w);
}

/* Rights that are taken away: Redis throws the connection out, and all but that topic come back. */
static void test_a_topic_that_is_forbidden_later(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    until_ready(&w, true);
    worker_subscribe(&w, 0, "open", DATA);
    worker_subscribe(&w, 0, "secret", DATA);
    expect_live(&w, 0, "open secret");
    restrict_rights(&w);
    expect_gap(&w, 0, "open", 0);
    expect_gap(&w, 0, "secret", 0);
    expect_refused(&w, 0, "secret");
    expect_live(&w, 0, "open");
    redis_publish(&w, "open", "x");
    expect_event(&w, 0, "open", "x");
    bus_world_stop(&w);
}

/* It goes with its last subscriber, and comes again. */
static void test_a_forbidden_topic_comes_and_goes(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &(struct bus_world_options){.linger_ms = 0});
    until_ready(&w, true);
    restrict_rights(&w);
    for (int i = 0; i < 3; i++) {
        worker_subscribe(&w, 0, "secret", DATA);
        worker_subscribe(&w, 1, "secret", DATA);
        expect_refused(&w, 0, "secret");
        expect_refused(&w, 1, "secret");
        worker_unsubscribe(&w, 0, "secret");
        expect_refused(&w, 1, "secret");
        worker_unsubscribe(&w, 1, "secret");
        UNTIL(metric_get(&w.metrics.topics) == 0);
        assert_int_equal(metric_get(&w.metrics.topics_refused), 0);
    }
    assert_int_equal(metric_get(&w.metrics.subscriber_lost), 0);
    bus_world_stop(&w);
}

/* Nor is PING needed: however many barriers were under way when it was refused, each is sent again
 * by other means, and nothing is read twice. */
static void test_a_user_that_may_not_ping(void **state) {
    struct bus_world w;
    struct buf names = BUF_INIT;
    char name[16];
    (void)state;
    bus_world_start(&w, &bus_plain);
    until_ready(&w, true);
    redis_do(&w, "ACL SETUSER default -ping");
    for (int round = 0; round < 2; round++) {
        long long before = redis_calls(&w, "get");
        buf_reset(&names);
        for (int i = 0; i < MANY; i++) {
            snprintf(name, sizeof(name), "t%d.%d", round, i);
            worker_subscribe(&w, 0, name, DATA);
            buf_printf(&names, "%s%s", i > 0 ? " " : "", name);
        }
        expect_live(&w, 0, names.data);
        assert_int_equal(redis_calls(&w, "get") - before, MANY);
        durable_publish(&w.durable, name, "x");
        struct bus_event *e = (struct bus_event *)worker_next(&w, 0);
        assert_int_equal(e->base.kind, BUS_EVENT);
        bus_event_unref(e);
    }
    assert_int_equal(metric_get(&w.metrics.subscriber_lost), 0);
    buf_fini(&names);
    bus_world_stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_forbidden_topic_costs_nobody_else_anything),
        cmocka_unit_test(test_a_forbidden_topic_is_asked_for_alone),
        cmocka_unit_test(test_a_topic_that_is_allowed_later),
        cmocka_unit_test(test_a_topic_that_is_forbidden_later),
        cmocka_unit_test(test_a_forbidden_topic_comes_and_goes),
        cmocka_unit_test(test_a_user_that_may_not_ping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
