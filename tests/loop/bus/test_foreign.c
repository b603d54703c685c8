/* Durable messages that are not of the domain's clock: of another Redis, another database, or made
 * up. They cost nobody anything, and what is real is never taken for one. */
#include <hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "relay/base/clock.h"
#include "tests/loop/bus/bus_reader.h"
#include "tests/unit/unit.h"

static void put_id(struct buf *out, const struct event_id *id) {
    if (id == NULL)
        buf_puts(out, "0");
    else
        id_format(out, id);
}

/* A message that was never published. @prev NULL: the first of its topic. */
static void forge(struct bus_world *w, const char *topic, const struct event_id *id,
                  const struct event_id *prev) {
    struct buf message = BUF_INIT;
    buf_puts(&message, "sse1 ");
    put_id(&message, id);
    buf_puts(&message, " ");
    put_id(&message, prev);
    buf_printf(&message, " {\"data\":\"%s 999999\"}", topic);
    redis_publish(w, topic, message.data);
    buf_fini(&message);
}

static struct event_id moved(const struct event_id *id, int64_t epochs, uint64_t ms) {
    struct event_id other = *id;
    other.epoch += (uint64_t)epochs;
    other.ms += ms;
    return other;
}

/* Nothing was disturbed. */
static void expect_calm(const struct bus_world *w, const struct bus_reader *r) {
    assert_int_equal(r->gaps, 0);
    assert_int_equal(reader_resets(r), 0);
    assert_int_equal(metric_get(&w->metrics.gaps), 0);
}

static void start(struct bus_world *w, struct bus_reader *r, const char *topics) {
    bus_world_start(w, &bus_plain);
    reader_start(r, w, 0, topics, NULL, 0);
    reader_until_live(r);
    until_ready(w, true); /* the clock is not read any more for any other reason */
}

static void test_another_birth_is_dropped(void **state) {
    struct bus_world w;
    struct bus_reader r;
    const struct event_id other = {.birth = "other", .epoch = 1, .ms = 1};
    (void)state;
    start(&w, &r, "f g");
    publish_numbers(&w, "f g", 0, 1);
    forge(&w, "f", &other, NULL);
    publish_numbers(&w, "f g", 1, 10);
    reader_until(&r, 0, 10);
    reader_until(&r, 1, 10);
    until_metric(&w.metrics.events_foreign, 1);
    publish_numbers(&w, "f g", 10, 20);
    reader_until(&r, 0, 20);
    reader_until(&r, 1, 20);
    expect_calm(&w, &r);
    assert_int_equal(metric_get(&w.metrics.events_durable), 40);
    bus_world_stop(&w);
}

static void test_other_epochs_are_dropped(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    start(&w, &r, "f g");
    struct event_id last = publish_numbers(&w, "f g", 0, 5);
    struct event_id before = moved(&last, -1, HOUR_MS), after = moved(&last, 1, 0);
    forge(&w, "f", &before, NULL); /* not above what is known of f: like a duplicate */
    forge(&w, "f", &after, &last);
    forge(&w, "g", &after, NULL);
    publish_numbers(&w, "f g", 5, 10);
    reader_until(&r, 0, 10);
    reader_until(&r, 1, 10);
    until_metric(&w.metrics.events_foreign, 2);
    assert_int_equal(metric_get(&w.metrics.events_foreign), 2);
    expect_calm(&w, &r);
    bus_world_stop(&w);
}

/* An id from the future would make what is published from now on look like something old. */
static void test_an_id_far_ahead_is_dropped(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    start(&w, &r, "f g");
    for (unsigned n = 0; n < 50; n += 5) {
        struct event_id last = publish_numbers(&w, "g f", n, n + 5);
        struct event_id ahead = moved(&last, 0, HOUR_MS), further = moved(&last, 0, 2 * HOUR_MS);
        forge(&w, "f", &ahead, &last);
        forge(&w, "f", &further, &ahead);
        forge(&w, "g", &further, NULL);
    }
    publish_numbers(&w, "f g", 50, 60);
    reader_until(&r, 0, 60);
    reader_until(&r, 1, 60);
    until_metric(&w.metrics.events_foreign, 30);
    publish_numbers(&w, "f g", 60, 70);
    reader_until(&r, 0, 70);
    reader_until(&r, 1, 70);
    expect_calm(&w, &r);
    bus_world_stop(&w);
}

/* A lie about what comes before it would have the log read up to where nothing is. */
static void test_a_prev_that_is_not_before_its_id_is_malformed(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    start(&w, &r, "f");
    struct event_id last = publish_numbers(&w, "f", 0, 5);
    struct event_id next = moved(&last, 0, 1), ahead = moved(&last, 0, HOUR_MS);
    struct event_id epoch = moved(&last, 1, 0);
    forge(&w, "f", &next, &next);
    forge(&w, "f", &next, &ahead);
    forge(&w, "f", &next, &epoch);
    until_metric(&w.metrics.events_malformed, 3);
    publish_numbers(&w, "f", 5, 10);
    reader_until(&r, 0, 10);
    expect_calm(&w, &r);
    bus_world_stop(&w);
}

/* The clock is ahead of this node's own, further than the node knew: what it put aside is found,
 * in order with the events of other topics, and afterwards it knows. */
static void test_a_clock_that_is_ahead_is_learned(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    start(&w, &r, "f g");
    publish_numbers(&w, "f g", 0, 5);
    for (int hours = 1; hours <= 3; hours++) {
        unsigned n = (unsigned)hours * 1000;
        redis_do(&w, "HSET sse:{0}:clock ms %" PRIu64, clock_wall_ms() + (uint64_t)hours * HOUR_MS);
        publish_numbers(&w, "f g", n - 1000 + (hours == 1 ? 5 : 0), n);
        reader_until(&r, 0, n);
        reader_until(&r, 1, n);
        reader_until_live(&r);
    }
    uint64_t gaps = r.gaps;
    assert_in_range(gaps, 1, 6); /* one or two for each hour */
    publish_numbers(&w, "f g", 3000, 3500);
    reader_until(&r, 0, 3500);
    reader_until(&r, 1, 3500);
    assert_int_equal(r.gaps, gaps);
    assert_int_equal(reader_resets(&r), 0);
    assert_int_equal(metric_get(&w.metrics.events_foreign), 0);
    assert_int_equal(metric_get(&w.metrics.events_durable), 7000);
    bus_world_stop(&w);
}

/* The same while ids are made up that are ahead further still. */
static void test_what_is_real_is_found_among_forged_ids(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    start(&w, &r, "f g");
    struct event_id last = publish_numbers(&w, "f g", 0, 1);
    redis_do(&w, "HSET sse:{0}:clock ms %" PRIu64, clock_wall_ms() + HOUR_MS);
    for (unsigned n = 1; n < 500; n++) {
        struct event_id ahead = moved(&last, 0, 9 * (uint64_t)HOUR_MS + n);
        forge(&w, n % 2 == 0 ? "f" : "g", &ahead, &last);
        publish_numbers(&w, "f g", n, n + 1);
    }
    reader_until(&r, 0, 500);
    reader_until(&r, 1, 500);
    assert_int_equal(reader_resets(&r), 0);
    until_ready(&w, true);
    bus_world_stop(&w);
}

/* Connections are killed while the clock is asked: it is asked again. */
static void test_the_answer_is_lost(void **state) {
    struct bus_world w;
    struct bus_reader r;
    const struct event_id other = {.birth = "other", .epoch = 1, .ms = 1};
    (void)state;
    start(&w, &r, "f g");
    publish_numbers(&w, "f g", 0, 1);
    for (unsigned n = 1; n <= 20; n++) {
        forge(&w, "f", &other, NULL);
        durable_close(&w.durable);
        redis_do(&w, n % 2 == 0 ? "CLIENT KILL TYPE normal" : "CLIENT KILL TYPE pubsub");
        durable_open(&w.durable, w.redis.socket);
        publish_numbers(&w, "f g", n, n + 1);
        reader_until(&r, 0, n + 1);
        reader_until(&r, 1, n + 1);
    }
    reader_until_live(&r);
    uint64_t foreign = metric_get(&w.metrics.events_foreign);
    UNTIL(metric_get(&w.metrics.subscriber_connected) != 0);
    UNTIL(metric_get(&w.metrics.reader_connected) != 0);
    while (metric_get(&w.metrics.events_foreign) == foreign)
        forge(&w, "f", &other, NULL);
    assert_int_equal(reader_resets(&r), 0);
    bus_world_stop(&w);
}

/* ---- a flood ---- */

enum { FLOOD = 20000, BATCH = 500 };

/* BATCH forged messages to one of 16 topics in turn, in one go. */
static void flood(struct bus_world *w, const struct event_id *id, const struct event_id *prev) {
    struct buf message = BUF_INIT;
    for (int i = 0; i < BATCH; i++) {
        struct event_id other = moved(id, 0, (uint64_t)i);
        message.len = 0;
        buf_puts(&message, "sse1 ");
        put_id(&message, &other);
        buf_puts(&message, " ");
        put_id(&message, prev);
        buf_puts(&message, " {\"data\":\"f0 999999\"}");
        redisAppendCommand(w->cli, "PUBLISH sse:f%d %s", i % 16, message.data);
    }
    for (int i = 0; i < BATCH; i++) {
        void *reply;
        assert_int_equal(redisGetReply(w->cli, &reply), REDIS_OK);
        freeReplyObject(reply);
    }
    buf_fini(&message);
}

static void flood_of(bool ahead) {
    static const char topics[] = "f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12 f13 f14 f15 quiet";
    struct bus_world w;
    struct bus_reader flooded, other;
    struct event_id id = {.birth = "other", .epoch = 1, .ms = 1};
    start(&w, &flooded, topics);
    reader_start(&other, &w, 1, "busy", NULL, 0);
    reader_until_live(&other);
    struct event_id first = publish_numbers(&w, "f0 busy", 0, 1);
    if (ahead)
        id = moved(&first, 0, HOUR_MS);
    long long reads = redis_calls(&w, "hgetall");
    uint64_t began_ms = clock_mono_ms();
    for (unsigned n = 0; n < FLOOD / BATCH; n++) {
        flood(&w, &id, ahead ? &first : NULL);
        publish_numbers(&w, "f0 busy", n + 1, n + 2);
        reader_until(&flooded, 0, n + 2);
        reader_until(&other, 0, n + 2);
    }
    until_metric(&w.metrics.events_foreign, FLOOD);
    long long most = (long long)(clock_mono_ms() - began_ms) / 100 + 2;
    assert_in_range(redis_calls(&w, "hgetall") - reads, 1, most);
    assert_int_equal(metric_get(&w.metrics.events_foreign), FLOOD);
    expect_calm(&w, &flooded);
    expect_calm(&w, &other);
    bus_world_stop(&w);
}

static void test_a_flood_of_another_birth_costs_little(void **state) {
    (void)state;
    flood_of(false);
}

static void test_a_flood_from_the_future_costs_little(void **state) {
    (void)state;
    flood_of(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_birth_is_dropped),
        cmocka_unit_test(test_other_epochs_are_dropped),
        cmocka_unit_test(test_an_id_far_ahead_is_dropped),
        cmocka_unit_test(test_a_prev_that_is_not_before_its_id_is_malformed),
        cmocka_unit_test(test_a_clock_that_is_ahead_is_learned),
        cmocka_unit_test(test_what_is_real_is_found_among_forged_ids),
        cmocka_unit_test(test_the_answer_is_lost),
        cmocka_unit_test(test_a_flood_of_another_birth_costs_little),
        cmocka_unit_test(test_a_flood_from_the_future_costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
