/* Events that were not delivered when they were due, and that events of other topics may have
 * passed: whoever finds them tells streams whose cursors are past them. */
#include <string.h>

#include "relay/base/err.h"
#include "tests/loop/bus/bus_reader.h"
#include "tests/unit/unit.h"

/* The next GAP of @topic that names an event that was missed: streams whose cursors have passed it
 * are told (hub.c). What else comes is left out. */
static struct event_id next_missed(struct bus_world *w, const char *topic) {
    struct event_id missed = {.epoch = 0};
    while (missed.birth[0] == '\0') {
        struct bus_message *m = worker_next(w, 0);
        const struct bus_gap *gap = (const struct bus_gap *)m;
        if (m->kind == BUS_GAP && cursor_is_set(&gap->missed)) {
            assert_int_equal(gap->topic_len, strlen(topic));
            assert_memory_equal(gap->topic, topic, gap->topic_len);
            missed = gap->missed.at;
        }
        message_free(m);
    }
    return missed;
}

static void assert_missed(struct bus_world *w, const char *topic, const struct event_id *id) {
    struct event_id missed = next_missed(w, topic);
    assert_string_equal(missed.birth, id->birth);
    assert_int_equal(id_compare(&missed, id), 0);
}

/* An event that was stored and not announced, and that events of other topics have passed, is found
 * when its topic is read anew, since the connection was lost. */
static void test_what_is_found_in_reading_anew_was_missed(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    worker_subscribe(&w, 0, "t", DATA);
    expect_live(&w, 0, "t");
    durable_announce(&w.durable, false);
    struct event_id first = publish_numbers(&w, "t", 0, 1);
    publish_numbers(&w, "t", 1, 3);
    redis_do(&w, "CLIENT KILL TYPE pubsub");
    assert_missed(&w, "t", &first);
    bus_world_stop(&w);
}

/* The log begins with a page and more of entries of a clock that is no more. */
static void test_what_is_found_behind_an_older_clock_was_missed(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    until_ready(&w, true);
    publish_numbers(&w, "t", 0, 600);
    redis_do(&w, "DEL sse:{0}:clock sse:{0}:last:t");
    publish_numbers(&w, "other", 0, 1);
    w.skips_gaps = true; /* that of the birth, which the topic's last id makes the bus see */
    worker_subscribe(&w, 0, "t", DATA);
    expect_live(&w, 0, "t");
    w.skips_gaps = false;
    durable_announce(&w.durable, false);
    struct event_id first = publish_numbers(&w, "t", 600, 601);
    publish_numbers(&w, "t", 601, 603);
    durable_announce(&w.durable, true);
    publish_numbers(&w, "t", 603, 604);
    assert_missed(&w, "t", &first);
    bus_world_stop(&w);
}

/* The first of them is gone from the log, and with it what would tell where it stood: a cursor may
 * have passed it wherever it is behind the latest event that was delivered. */
static void test_what_is_gone_before_it_is_read_was_missed(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    worker_subscribe(&w, 0, "t", DATA);
    expect_live(&w, 0, "t");
    struct event_id seen = publish_numbers(&w, "t", 0, 1);
    struct bus_message *m = worker_next(&w, 0);
    assert_int_equal(m->kind, BUS_EVENT);
    message_free(m);
    durable_announce(&w.durable, false);
    struct event_id first = publish_numbers(&w, "t", 1, 2);
    publish_numbers(&w, "t", 2, 5);
    redis_do(&w, "XTRIM sse:{0}:log:t MAXLEN 1");
    durable_announce(&w.durable, true);
    publish_numbers(&w, "t", 5, 6);
    struct event_id missed = next_missed(&w, "t");
    assert_true(id_compare(&missed, &seen) > 0);
    assert_true(id_compare(&missed, &first) <= 0);
    bus_world_stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_found_in_reading_anew_was_missed),
        cmocka_unit_test(test_what_is_found_behind_an_older_clock_was_missed),
        cmocka_unit_test(test_what_is_gone_before_it_is_read_was_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
