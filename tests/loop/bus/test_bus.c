/* The bus with its thread and a real redis-server: subscriptions, order, formats, full queues and
 * publishes. What happens when Redis goes away is in test_bus_failures.c. */
#include <stdio.h>
#include <string.h>

#include "relay/base/err.h"
#include "tests/loop/bus/bus_world.h"
#include "tests/unit/unit.h"

/* ---- subscriptions ---- */

static void test_events_follow_the_answer_in_order(void **state) {
    struct bus_world w;
    char number[16];
    (void)state;
    bus_world_start(&w, &bus_plain);
    worker_subscribe(&w, 0, "t", DATA);
    expect_live(&w, 0, "t");
    assert_int_equal(redis_subscribers(&w, "t"), 1);
    for (int i = 0; i < 1000; i++) {
        snprintf(number, sizeof(number), "%d", i);
        redis_publish(&w, "t", number);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(number, sizeof(number), "%d", i);
        expect_event(&w, 0, "t", number);
    }
    assert_int_equal(metric_get(&w.metrics.events_live), 1000);
    bus_world_stop(&w);
}

static void test_a_topic_goes_to_the_workers_that_want_it(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    worker_subscribe(&w, 0, "zero", DATA);
    worker_subscribe(&w, 0, "both", DATA);
    worker_subscribe(&w, 1, "both", DATA);
    expect_live(&w, 0, "zero");
    expect_live(&w, 0, "both");
    expect_live(&w, 1, "both");
    redis_publish(&w, "zero", "a");
    redis_publish(&w, "both", "b");
    expect_event(&w, 0, "zero", "a");
    expect_event(&w, 0, "both", "b");
    expect_event(&w, 1, "both", "b");
    assert_int_equal(redis_subscribers(&w, "both"), 1);
    bus_world_stop(&w);
}

static void test_many_topics_are_live_together(void **state) {
    enum { TOPICS = 1000 }; /* several batches */
    struct bus_world w;
    struct buf topics = BUF_INIT;
    char topic[16];
    (void)state;
    bus_world_start(&w, &bus_plain);
    for (int i = 0; i < TOPICS; i++) {
        snprintf(topic, sizeof(topic), "t%d", i);
        worker_subscribe(&w, 0, topic, DATA);
        buf_printf(&topics, "%s%s", i > 0 ? " " : "", topic);
    }
    expect_live(&w, 0, topics.data);
    for (int i = 0; i < TOPICS; i += 100) {
        snprintf(topic, sizeof(topic), "t%d", i);
        assert_int_equal(redis_subscribers(&w, topic), 1);
    }
    assert_int_equal(metric_get(&w.metrics.topics), TOPICS);
    buf_fini(&topics);
    bus_world_stop(&w);
}

/* Behind an answer every event has the formats that were asked for before, whoever else wants what.
 */
static void test_formats_add_up(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    worker_subscribe(&w, 0, "t", DATA);
    expect_live(&w, 0, "t");
    worker_subscribe(&w, 0, "t", DATA | JSON);
    expect_live(&w, 0, "t");
    worker_subscribe(&w, 1, "t", TOPIC);
    expect_live(&w, 1, "t");
    redis_publish(&w, "t", "x");
    for (unsigned i = 0; i < BUS_WORKERS; i++) {
        struct bus_message *m = worker_next(&w, i);
        assert_int_equal(m->kind, BUS_EVENT);
        for (int format = 0; format < FRAME_FORMATS; format++)
            assert_true(
                frame_has_format(((struct bus_event *)m)->frame, (enum frame_format)format));
        message_free(m);
    }
    bus_world_stop(&w);
}

static void test_a_topic_lingers_behind_its_last_subscriber(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    worker_subscribe(&w, 0, "t", DATA);
    expect_live(&w, 0, "t");
    worker_unsubscribe(&w, 0, "t");
    worker_subscribe(&w, 0, "t", DATA); /* a page that was loaded again */
    expect_live(&w, 0, "t");
    worker_unsubscribe(&w, 0, "t");
    worker_subscribe(&w, 1, "u", DATA);
    expect_live(&w, 1, "u"); /* so the bus has handled the rest */
    redis_publish(&w, "t", "nobody wants it");
    assert_int_equal(redis_subscribers(&w, "t"), 1);
    worker_subscribe(&w, 1, "t", DATA);
    expect_live(&w, 1, "t");
    redis_publish(&w, "t", "x");
    expect_event(&w, 1, "t", "x");
    assert_int_equal(queue_depth(&w.inboxes[0], NULL), 0);
    bus_world_stop(&w);
}

static void test_a_topic_goes_after_the_linger_and_comes_back(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &(struct bus_world_options){.linger_ms = 0});
    for (int i = 0; i < 3; i++) {
        worker_subscribe(&w, 0, "t", i == 0 ? JSON : DATA);
        expect_live(&w, 0, "t");
        redis_publish(&w, "t", "x");
        expect_event(&w, 0, "t", "x");
        worker_unsubscribe(&w, 0, "t");
        UNTIL(redis_subscribers(&w, "t") == 0 && metric_get(&w.metrics.topics) == 0);
    }
    bus_world_stop(&w);
}

/* ---- messages ---- */

static void test_what_is_malformed_is_dropped_and_counted(void **state) {
    static const char *const bad[] = {
        "\xff\xfe",
        "sse1 - - {",
        "sse1 - - {\"data\":1}",
        "sse1 - - []",
        "sse1 nonsense 0 {\"data\":\"x\"}",
        "sse1 - - {\"data\":\"x\",\"event\":\"error\"}",
    };
    enum { BAD = sizeof(bad) / sizeof(bad[0]) };
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    worker_subscribe(&w, 0, "t", DATA);
    expect_live(&w, 0, "t");
    for (size_t i = 0; i < BAD; i++)
        redis_publish(&w, "t", bad[i]);
    redis_publish(&w, "t", "good");
    expect_event(&w, 0, "t", "good");
    assert_int_equal(metric_get(&w.metrics.events_malformed), BAD);
    assert_int_equal(metric_get(&w.metrics.subscriber_lost), 0);
    bus_world_stop(&w);
}

/* ---- full queues ---- */

enum { LIMIT = 3 };
static const struct bus_world_options narrow = {.linger_ms = HOUR_MS, .inbox_limit = LIMIT};

/* Publish one more than the inbox takes; the last is dropped. */
static void overflow(struct bus_world *w, const char *topic) {
    uint64_t dropped = metric_get(&w->metrics.events_dropped);
    for (int i = 0; i < LIMIT; i++)
        redis_publish(w, topic, "taken");
    redis_publish(w, topic, "dropped");
    until_metric(&w->metrics.events_dropped, dropped + 1);
}

static void test_a_full_inbox_is_marked_in_order(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &narrow);
    worker_subscribe(&w, 0, "t", DATA);
    worker_subscribe(&w, 1, "t", DATA);
    expect_live(&w, 0, "t");
    expect_live(&w, 1, "t");
    overflow(&w, "t");
    redis_publish(&w, "t", "dropped too");
    until_metric(&w.metrics.events_dropped, 2);
    worker_subscribe(&w, 0, "late", DATA);
    for (int i = 0; i < LIMIT; i++)
        expect_event(&w, 1, "t", "taken");
    expect_event(&w, 1, "t", "dropped"); /* for the other worker alone */
    expect_event(&w, 1, "t", "dropped too");
    until_metric(&w.metrics.topics, 2);
    worker_replay(&w, 0, "late", &(struct worker_replay){.token = 1});
    UNTIL(queue_depth(&w.inboxes[0], NULL) == LIMIT + 2);
    for (int i = 0; i < LIMIT; i++)
        expect_event(&w, 0, "t", "taken");
    expect_gap(&w, 0, "t", RESET_LIVE); /* one mark for both */
    bus_replayed_free(expect_replayed(&w, 0, 1));
    redis_publish(&w, "t", "after");
    expect_event(&w, 0, "t", "after");
    bus_world_stop(&w);
}

/* The worker has taken a mark, and told its subscribers: what is dropped then is a loss of its own.
 */
static void test_a_loss_after_the_mark_was_taken_is_marked_again(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &narrow);
    worker_subscribe(&w, 0, "t", DATA);
    worker_subscribe(&w, 0, "u", DATA);
    expect_live(&w, 0, "t");
    expect_live(&w, 0, "u");
    overflow(&w, "t");
    for (int i = 0; i < LIMIT; i++)
        expect_event(&w, 0, "t", "taken");
    expect_gap(&w, 0, "t", RESET_LIVE);
    for (int i = 0; i < LIMIT; i++)
        redis_publish(&w, "u", "taken");
    redis_publish(&w, "t", "dropped");
    until_metric(&w.metrics.events_dropped, 2);
    for (int i = 0; i < LIMIT; i++)
        expect_event(&w, 0, "u", "taken");
    expect_gap(&w, 0, "t", RESET_LIVE);
    bus_world_stop(&w);
}

/* An answer lets subscribers go on, so what is dropped behind it is marked behind it. */
static void test_a_loss_behind_an_answer_is_marked_behind_it(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &narrow);
    worker_subscribe(&w, 0, "t", DATA);
    expect_live(&w, 0, "t");
    overflow(&w, "t");
    worker_replay(&w, 0, "t", &(struct worker_replay){.token = 1});
    UNTIL(queue_depth(&w.inboxes[0], NULL) == LIMIT + 2);
    redis_publish(&w, "t", "dropped");
    until_metric(&w.metrics.events_dropped, 2);
    for (int i = 0; i < LIMIT; i++)
        expect_event(&w, 0, "t", "taken");
    expect_gap(&w, 0, "t", RESET_LIVE);
    bus_replayed_free(expect_replayed(&w, 0, 1));
    expect_gap(&w, 0, "t", RESET_LIVE);
    bus_world_stop(&w);
}

/* ---- publishes ---- */

static void test_a_publish_is_delivered_and_answered(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    worker_subscribe(&w, 0, "a", DATA);
    worker_subscribe(&w, 0, "b", DATA);
    expect_live(&w, 0, "a");
    expect_live(&w, 0, "b");
    until_metric(&w.metrics.publisher_connected, 1);
    worker_publish(&w, 1, "a b nobody", "hello");
    expect_event(&w, 0, "a", "hello");
    expect_event(&w, 0, "b", "hello");
    assert_int_equal(expect_published(&w, 1), RELAY_OK);
    assert_int_equal(metric_get(&w.metrics.published), 1);
    assert_int_equal(bus_world_stop(&w), 0); /* no second answer */
}

static void test_a_publish_that_redis_refuses(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    until_metric(&w.metrics.publisher_connected, 1);
    redis_do(&w, "ACL SETUSER default resetchannels &sse:allowed &sse:relay.*");
    worker_publish(&w, 0, "allowed forbidden allowed", "x");
    assert_int_equal(expect_published(&w, 0), RELAY_EREMOTE);
    worker_publish(&w, 0, "allowed", "x");
    assert_int_equal(expect_published(&w, 0), RELAY_OK);
    assert_int_equal(bus_world_stop(&w), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_follow_the_answer_in_order),
        cmocka_unit_test(test_a_topic_goes_to_the_workers_that_want_it),
        cmocka_unit_test(test_many_topics_are_live_together),
        cmocka_unit_test(test_formats_add_up),
        cmocka_unit_test(test_a_topic_lingers_behind_its_last_subscriber),
        cmocka_unit_test(test_a_topic_goes_after_the_linger_and_comes_back),
        cmocka_unit_test(test_what_is_malformed_is_dropped_and_counted),
        cmocka_unit_test(test_a_full_inbox_is_marked_in_order),
        cmocka_unit_test(test_a_loss_after_the_mark_was_taken_is_marked_again),
        cmocka_unit_test(test_a_loss_behind_an_answer_is_marked_behind_it),
        cmocka_unit_test(test_a_publish_is_delivered_and_answered),
        cmocka_unit_test(test_a_publish_that_redis_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
