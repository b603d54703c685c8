/* The bus when Redis drops it, stalls, ends and comes back, or refuses; and the end of the bus at
 * any moment. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/loop/bus/bus_world.h"
#include "tests/unit/unit.h"

enum { SHORT_MS = 300 };

static const struct bus_world_options impatient = {.linger_ms = HOUR_MS,
                                                   .redis_timeout_ms = SHORT_MS};

static void subscribe(struct bus_world *w, unsigned worker, const char *topic) {
    worker_subscribe(w, worker, topic, DATA);
    expect_live(w, worker, topic);
}

/* ---- the subscription connection ---- */

static void test_a_lost_connection_leaves_a_gap_where_a_live_event_was(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    subscribe(&w, 0, "busy");
    subscribe(&w, 0, "quiet");
    subscribe(&w, 1, "busy");
    redis_publish(&w, "busy", "x");
    expect_event(&w, 0, "busy", "x");
    expect_event(&w, 1, "busy", "x");
    for (int i = 0; i < 3; i++) {
        redis_do(&w, "CLIENT KILL TYPE pubsub");
        expect_gap(&w, 0, "busy", RESET_LIVE);
        expect_gap(&w, 0, "quiet", 0);
        expect_gap(&w, 1, "busy", RESET_LIVE);
        expect_live(&w, 0, "busy quiet");
        expect_live(&w, 1, "busy");
        redis_publish(&w, "busy", "y");
        expect_event(&w, 0, "busy", "y");
        expect_event(&w, 1, "busy", "y");
    }
    assert_int_equal(metric_get(&w.metrics.subscriber_lost), 3);
    bus_world_stop(&w);
}

static void test_topics_come_and_go_while_there_is_no_redis(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &(struct bus_world_options){.linger_ms = 0});
    subscribe(&w, 0, "stays");
    subscribe(&w, 0, "goes");
    redis_server_kill(&w.redis);
    expect_gap(&w, 0, "stays", 0);
    expect_gap(&w, 0, "goes", 0);
    worker_unsubscribe(&w, 0, "goes");
    worker_subscribe(&w, 0, "new", DATA);
    worker_subscribe(&w, 1, "flaps", DATA);
    worker_unsubscribe(&w, 1, "flaps");
    worker_subscribe(&w, 1, "flaps", JSON);
    UNTIL(metric_get(&w.metrics.topics) == 3);
    redis_server_restart(&w.redis);
    w.skips_gaps = true;
    expect_live(&w, 0, "stays new");
    expect_live(&w, 1, "flaps");
    redis_publish(&w, "new", "x");
    expect_event(&w, 0, "new", "x");
    assert_int_equal(redis_subscribers(&w, "goes"), 0);
    bus_world_stop(&w);
}

/* ---- the probe ---- */

static void test_readiness_follows_redis_down_and_up(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &impatient);
    until_ready(&w, true);
    subscribe(&w, 0, "t");
    redis_server_kill(&w.redis);
    until_ready(&w, false);
    expect_gap(&w, 0, "t", 0);
    worker_publish(&w, 1, "t", "x");
    assert_int_equal(expect_published(&w, 1), RELAY_EAGAIN);
    redis_server_restart(&w.redis);
    w.skips_gaps = true;
    expect_live(&w, 0, "t");
    until_ready(&w, true);
    worker_publish(&w, 1, "t", "x");
    expect_event(&w, 0, "t", "x");
    assert_int_equal(expect_published(&w, 1), RELAY_OK);
    bus_world_stop(&w);
}

static void test_a_stalled_redis_is_left_and_found_again(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &impatient);
    until_ready(&w, true);
    subscribe(&w, 0, "t");
    kill(w.redis.pid, SIGSTOP);
    worker_publish(&w, 1, "t", "x");
    struct bus_message *m = worker_next(&w, 1);
    assert_int_equal(m->kind, BUS_PUBLISHED);
    assert_int_equal(((struct bus_publish *)m)->status, RELAY_ETIMEOUT);
    message_free(m);
    until_ready(&w, false);
    kill(w.redis.pid, SIGCONT);
    until_ready(&w, true);
    UNTIL(redis_subscribers(&w, "t") == 1);
    redis_publish(&w, "t", "y");
    for (m = worker_next(&w, 0); m->kind != BUS_EVENT; m = worker_next(&w, 0))
        message_free(m); /* GAP where the subscription was doubted */
    message_free(m);
    bus_world_stop(&w);
}

/* A probe that Redis does not take says nothing about the subscription: its clients keep it. */
static void test_a_probe_that_is_refused_leaves_the_subscription_alone(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &impatient);
    until_ready(&w, true);
    subscribe(&w, 0, "t");
    redis_do(&w, "ACL SETUSER default -publish");
    until_ready(&w, false); /* that takes more than two timeouts */
    redis_do(&w, "ACL SETUSER default +publish");
    until_ready(&w, true);
    redis_publish(&w, "t", "x");
    expect_event(&w, 0, "t", "x");
    assert_int_equal(metric_get(&w.metrics.subscriber_lost), 0);
    bus_world_stop(&w);
}

static void test_a_publisher_that_is_killed_leaves_the_subscription_alone(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &impatient);
    until_ready(&w, true);
    subscribe(&w, 0, "t");
    for (uint64_t i = 1; i <= 5; i++) {
        redis_do(&w, "CLIENT KILL TYPE normal SKIPME yes");
        until_metric(&w.metrics.publisher_lost, i);
        until_metric(&w.metrics.publisher_connected, 1);
        worker_publish(&w, 1, "t", "x");
        expect_event(&w, 0, "t", "x");
        assert_int_equal(expect_published(&w, 1), RELAY_OK);
    }
    assert_int_equal(metric_get(&w.metrics.subscriber_lost), 0);
    bus_world_stop(&w);
}

/* ---- publishes ---- */

static void test_publishes_into_a_dying_redis_have_one_answer_each(void **state) {
    enum { PUBLISHES = 200 };
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    until_metric(&w.metrics.publisher_connected, 1);
    kill(w.redis.pid, SIGSTOP); /* so that they are outstanding */
    for (unsigned i = 0; i < PUBLISHES; i++)
        worker_publish(&w, i % BUS_WORKERS, "a b c", "x");
    usleep(20 * 1000);
    redis_server_kill(&w.redis);
    for (unsigned i = 0; i < PUBLISHES; i++) {
        struct bus_message *m = worker_next(&w, i % BUS_WORKERS);
        assert_int_equal(m->kind, BUS_PUBLISHED);
        int status = ((struct bus_publish *)m)->status;
        assert_true(status == RELAY_ECONN || status == RELAY_EAGAIN);
        message_free(m);
    }
    assert_int_equal(bus_world_stop(&w), 0);
}

/* ---- the end ---- */

static void stop_with_publishes(bool stalled, useconds_t pause_us, int publishes) {
    struct bus_world w;
    bus_world_start(&w, &bus_plain);
    if (stalled) {
        until_metric(&w.metrics.publisher_connected, 1);
        kill(w.redis.pid, SIGSTOP);
    }
    for (int i = 0; i < publishes; i++)
        worker_publish(&w, 0, "a b c", "x");
    worker_subscribe(&w, 0, "t", DATA);
    usleep(pause_us);
    bus_stop(w.bus);
    w.bus = NULL;
    int answers = 0;
    for (struct queue_node *node = queue_take(&w.inboxes[0]), *next; node != NULL; node = next) {
        struct bus_message *m = container_of(node, struct bus_message, node);
        next = node->next;
        if (m->kind == BUS_PUBLISHED) {
            answers++;
            int status = ((struct bus_publish *)m)->status;
            assert_true(status == RELAY_OK || status == RELAY_EAGAIN || status == RELAY_ECONN ||
                        status == RELAY_ECANCELED);
            if (stalled)
                assert_int_equal(status, RELAY_ECANCELED);
        }
        message_free(m);
    }
    assert_int_equal(answers, publishes);
    bus_world_stop(&w);
}

static void test_the_bus_stops_at_any_moment(void **state) {
    (void)state;
    for (useconds_t pause_us = 0; pause_us < 8000; pause_us = pause_us * 2 + 100)
        stop_with_publishes(false, pause_us, 20);
}

static void test_outstanding_publishes_are_cancelled_once(void **state) {
    (void)state;
    stop_with_publishes(true, 0, 20);
    stop_with_publishes(true, 20000, 20);
}

static void test_the_bus_stops_without_redis(void **state) {
    (void)state;
    for (useconds_t pause_us = 0; pause_us <= 300000; pause_us += 100000) {
        struct bus_world w;
        bus_world_start(&w, &bus_plain);
        redis_server_kill(&w.redis);
        worker_subscribe(&w, 0, "t", DATA);
        usleep(pause_us);
        bus_stop(w.bus);
        w.bus = NULL;
        redis_server_restart(&w.redis);
        bus_world_stop(&w);
    }
}

static void test_the_bus_stops_in_the_middle_of_everything(void **state) {
    (void)state;
    for (int k = 0; k < 6; k++) {
        struct bus_world w;
        char topic[16];
        bus_world_start(&w, &(struct bus_world_options){.linger_ms = 0});
        if (k & 1)
            until_metric(&w.metrics.subscriber_connected, 1);
        for (int i = 0; i < 1000; i++) {
            snprintf(topic, sizeof(topic), "t%d", i % 500);
            if (i < 500)
                worker_subscribe(&w, (unsigned)i % 2, topic, DATA);
            else
                worker_unsubscribe(&w, (unsigned)i % 2, topic);
        }
        if (k & 2)
            redis_do(&w, "CLIENT KILL TYPE pubsub");
        usleep((useconds_t)k * 300);
        bus_world_stop(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lost_connection_leaves_a_gap_where_a_live_event_was),
        cmocka_unit_test(test_topics_come_and_go_while_there_is_no_redis),
        cmocka_unit_test(test_readiness_follows_redis_down_and_up),
        cmocka_unit_test(test_a_stalled_redis_is_left_and_found_again),
        cmocka_unit_test(test_a_probe_that_is_refused_leaves_the_subscription_alone),
        cmocka_unit_test(test_a_publisher_that_is_killed_leaves_the_subscription_alone),
        cmocka_unit_test(test_publishes_into_a_dying_redis_have_one_answer_each),
        cmocka_unit_test(test_the_bus_stops_at_any_moment),
        cmocka_unit_test(test_outstanding_publishes_are_cancelled_once),
        cmocka_unit_test(test_the_bus_stops_without_redis),
        cmocka_unit_test(test_the_bus_stops_in_the_middle_of_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
