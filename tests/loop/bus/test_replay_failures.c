/* Replays when Redis fails, fails over or is born again, when a topic is given up, and when the bus
 * ends: at any moment of a replay. Each cause is a real one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/base/err.h"
#include "tests/loop/bus/bus_reader.h"
#include "tests/unit/unit.h"

enum { MANY = 4000 };

static const struct bus_world_options roomy = {.linger_ms = HOUR_MS, .history = 2 * MANY};
static const struct bus_world_options tiny = {.linger_ms = HOUR_MS,
                                              .ring_topic_bytes = TINY_BYTES,
                                              .ring_node_bytes = 4 * TINY_BYTES,
                                              .history = 2 * MANY};

/* Until another epoch or birth than that of @id is seen, and the reader is live in it. */
static void until_another(struct bus_reader *r, const struct event_id *id) {
    while (!r->live || !r->has_cursor ||
           (r->cursor.epoch == id->epoch && strcmp(r->cursor.birth, id->birth) == 0))
        reader_step(r);
}

/* ---- failover: a server that kept everything, and one that lost a tail ---- */

static void test_a_clean_restart_costs_nobody_a_reset(void **state) {
    struct bus_world w;
    struct bus_reader r, late;
    (void)state;
    bus_world_start(&w, &roomy);
    reader_start(&r, &w, 0, "t", NULL, SLICE_BYTES);
    reader_until_live(&r);
    struct event_id cursor = publish_numbers(&w, "t", 0, 100),
                    last = publish_numbers(&w, "t", 100, 200);
    reader_until(&r, 0, 200);
    redis_do(&w, "SAVE");
    redis_fail_over(&w);
    struct event_id next = publish_numbers(&w, "t", 200, 300);
    assert_int_equal(next.epoch, last.epoch + 1);
    reader_until(&r, 0, 300);
    reader_start_behind(&late, &w, 1, "t", &cursor, 100, SLICE_BYTES);
    reader_until(&late, 0, 300);
    assert_int_equal(r.resets[0] | late.resets[0], 0);
    bus_world_stop(&w);
}

static void test_a_lost_tail_is_told_to_those_who_saw_it(void **state) {
    struct bus_world w;
    struct bus_reader r, late;
    (void)state;
    bus_world_start(&w, &roomy);
    reader_start(&r, &w, 0, "t", NULL, SLICE_BYTES);
    reader_until_live(&r);
    struct event_id kept = publish_numbers(&w, "t", 0, 100);
    redis_do(&w, "SAVE");
    struct event_id lost = publish_numbers(&w, "t", 100, 150);
    reader_until(&r, 0, 150);
    redis_fail_over(&w);
    publish_numbers(&w, "t", 1000, 1010); /* other content, so that what comes is told apart */
    until_another(&r, &lost);
    reader_until(&r, 0, 1010);
    assert_int_equal(r.resets[0], RESET_FAILOVER);
    reader_start_behind(&late, &w, 1, "t", &lost, 150, SLICE_BYTES); /* to any relay, and later */
    reader_until(&late, 0, 1010);
    assert_int_equal(late.resets[0], RESET_FAILOVER);
    assert_int_equal(late.events, 10);
    reader_stop(&late);
    reader_start_behind(&late, &w, 1, "t", &kept, 1000,
                        SLICE_BYTES); /* it saw nothing that is gone */
    reader_until(&late, 0, 1010);
    assert_int_equal(late.resets[0], 0);
    bus_world_stop(&w);
}

/* Between a reader and the present lie many epochs, each with a tail that was lost. */
static void test_many_failovers(void **state) {
    struct bus_world w;
    struct bus_reader r;
    struct event_id first = {.epoch = 0};
    (void)state;
    bus_world_start(&w, &tiny);
    unsigned n = 0;
    for (int i = 0; i < 4; i++) {
        struct event_id kept = publish_numbers(&w, "t", n, n + 100);
        first = i == 0 ? kept : first;
        n += 100;
        redis_do(&w, "SAVE");
        publish_numbers(&w, "t", 100000, 100010);
        redis_fail_over(&w);
    }
    publish_numbers(&w, "t", n, n + 1);
    reader_start_behind(&r, &w, 0, "t", &first, 100, SLICE_BYTES);
    reader_until(&r, 0, n + 1);
    reader_until_live(&r);
    assert_int_equal(r.resets[0], 0);
    assert_int_equal(r.events, n + 1 - 100);
    bus_world_stop(&w);
}

/* ---- births ---- */

static void test_a_domain_that_is_born_again(void **state) {
    struct bus_world w;
    struct bus_reader r, late;
    (void)state;
    bus_world_start(&w, &roomy);
    reader_start(&r, &w, 0, "t", NULL, SLICE_BYTES);
    reader_until_live(&r);
    struct event_id last = publish_numbers(&w, "t", 0, 100);
    reader_until(&r, 0, 100);
    redis_do(&w, "FLUSHALL");
    publish_numbers(&w, "t", 500, 503); /* that the bus learns of the birth by */
    until_another(&r, &last);
    reader_until(&r, 0, 503);
    assert_int_equal(r.resets[0], RESET_BIRTH);
    publish_numbers(&w, "t", 503, 510);
    reader_until(&r, 0, 510);
    assert_int_equal(r.events, 110);
    reader_start_behind(&late, &w, 1, "t", &last, 500,
                        SLICE_BYTES); /* to a node that was not there then, it may be */
    reader_until(&late, 0, 510);
    assert_int_equal(late.resets[0], RESET_BIRTH);
    assert_int_equal(late.events, 10);
    bus_world_stop(&w);
}

/* The logs outlive their clock, with epochs above those of the next one. */
static void test_a_clock_that_vanished_alone(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &roomy);
    publish_numbers(&w, "quiet", 0, 10);
    publish_numbers(&w, "t", 0, 10);
    redis_do(&w, "SAVE");
    redis_fail_over(&w);
    redis_fail_over(&w);
    publish_numbers(&w, "quiet", 10, 600);
    struct event_id last = publish_numbers(&w, "t", 10, 600);
    assert_true(last.epoch > 1);
    struct cursor_request start = behind(&last);
    reader_start(&r, &w, 0, "t quiet", &start, SLICE_BYTES);
    reader_until_live(&r);
    redis_do(&w, "DEL sse:{0}:clock sse:{0}:last:quiet");
    publish_numbers(&w, "t", 1000, 1001);
    until_another(&r, &last);
    assert_int_equal(r.resets[0] & RESET_BIRTH, RESET_BIRTH);
    publish_numbers(&w, "t", 1001, 1100);
    reader_until(&r, 0, 1100);
    publish_numbers(&w, "quiet", 1000, 1001);
    reader_until(&r, 1, 1001);
    assert_int_equal(r.resets[1], RESET_BIRTH);
    bus_world_stop(&w);
}

/* Nobody publishes: who comes for a topic that Redis knows nothing of makes the bus look. */
static void test_a_birth_is_found_without_an_event(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &roomy);
    reader_start(&r, &w, 0, "t", NULL, SLICE_BYTES);
    reader_until_live(&r);
    struct event_id last = publish_numbers(&w, "t", 0, 10);
    reader_until(&r, 0, 10);
    redis_do(&w, "FLUSHALL");
    durable_publish(&w.durable, NULL, NULL);
    worker_subscribe(&w, 0, "new", DATA);
    until_another(&r, &last);
    assert_int_equal(r.resets[0], RESET_BIRTH);
    publish_numbers(&w, "t", 500, 510);
    reader_until(&r, 0, 510);
    assert_int_equal(r.events, 20);
    bus_world_stop(&w);
}

static void test_the_first_birth(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &(struct bus_world_options){.linger_ms = HOUR_MS, .unborn = true});
    reader_start(&r, &w, 0, "t", NULL, SLICE_BYTES);
    reader_until_live(&r); /* before or behind the birth that the bus brings about */
    until_ready(&w, true);
    durable_open(&w.durable, w.redis.socket);
    publish_numbers(&w, "t", 0, 10);
    reader_until(&r, 0, 10);
    assert_int_equal(r.resets[0], 0);
    bus_world_stop(&w);
}

/* ---- in the middle of reads ---- */

static void test_a_birth_in_the_middle_of_reads(void **state) {
    (void)state;
    for (useconds_t pause_us = 0; pause_us < 6000; pause_us += 400) {
        struct bus_world w;
        struct bus_reader r;
        bus_world_start(&w, &tiny);
        struct event_id cursor = publish_numbers(&w, "t", 0, 1);
        publish_numbers(&w, "t", 1, MANY);
        until_ready(&w, true);
        reader_start_behind(&r, &w, 0, "t", &cursor, 1, SLICE_BYTES);
        usleep(pause_us);
        redis_do(&w, "FLUSHALL");
        publish_numbers(&w, "t", MANY, MANY + 1);
        while (r.next[0] < MANY + 1 && !(r.resets[0] & RESET_BIRTH))
            reader_step(&r);
        reader_until_live(&r);
        assert_true((r.resets[0] & RESET_BIRTH) != 0);
        publish_numbers(&w, "t", MANY + 1, MANY + 2);
        reader_until(&r, 0, MANY + 2);
        bus_world_stop(&w);
    }
}

static void test_redis_ends_in_the_middle_of_reads(void **state) {
    (void)state;
    for (useconds_t pause_us = 0; pause_us < 8000; pause_us += 1000) {
        struct bus_world w;
        struct bus_reader r;
        bus_world_start(&w, &tiny);
        struct event_id cursor = publish_numbers(&w, "t", 0, 1);
        publish_numbers(&w, "t", 1, MANY);
        redis_do(&w, "SAVE");
        until_ready(&w, true);
        reader_start_behind(&r, &w, 0, "t", &cursor, 1, SLICE_BYTES);
        usleep(pause_us);
        redis_fail_over(&w);
        publish_numbers(&w, "t", MANY, MANY + 10);
        reader_until(&r, 0, MANY + 10);
        assert_int_equal(r.resets[0], 0);
        bus_world_stop(&w);
    }
}

static void test_connections_die_in_the_middle_of_reads(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &tiny);
    struct event_id cursor = publish_numbers(&w, "t", 0, 1);
    publish_numbers(&w, "t", 1, MANY);
    until_ready(&w, true);
    durable_close(&w.durable); /* they are to die without it */
    for (int i = 0; i < 6; i++) {
        reader_start_behind(&r, &w, (unsigned)i % 2, "t", &cursor, 1, SLICE_BYTES);
        usleep((useconds_t)i * 600);
        redis_do(&w, i % 3 == 0 ? "CLIENT KILL TYPE pubsub" : "CLIENT KILL TYPE normal SKIPME yes");
        reader_until(&r, 0, MANY);
        reader_until_live(&r);
        assert_int_equal(r.resets[0], 0);
        reader_stop(&r);
    }
    bus_world_stop(&w);
}

/* Nobody is answered who gave a topic up; who comes back is. */
static void test_a_topic_that_is_given_up_in_the_middle_of_reads(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &(struct bus_world_options){
                            .linger_ms = 0, .ring_topic_bytes = TINY_BYTES, .history = 2 * MANY});
    struct event_id cursor = publish_numbers(&w, "t", 0, 1);
    publish_numbers(&w, "t", 1, MANY);
    until_ready(&w, true);
    for (useconds_t pause_us = 0; pause_us < 5000; pause_us += 250) {
        reader_start_behind(&r, &w, 0, "t", &cursor, 1, SLICE_BYTES);
        usleep(pause_us);
        reader_stop(&r);
        if (pause_us % 500 == 0)
            UNTIL(metric_get(&w.metrics.topics) == 0);
    }
    reader_start_behind(&r, &w, 0, "t", &cursor, 1, SLICE_BYTES);
    reader_until(&r, 0, MANY);
    assert_int_equal(r.resets[0], 0);
    bus_world_stop(&w);
}

/* ---- the end of the bus ---- */

static void test_the_bus_stops_in_the_middle_of_reads(void **state) {
    static const enum cursor_kind kinds[] = {CURSOR_ID, CURSOR_LAST, CURSOR_SINCE};
    (void)state;
    for (int i = 0; i < 24; i++) {
        struct bus_world w;
        struct bus_reader readers[BUS_WORKERS];
        bus_world_start(&w, i % 2 ? &tiny : &roomy);
        struct cursor_request start = {.last = 500};
        start.id = publish_numbers(&w, "t", 0, 1);
        start.kind = kinds[i % 3];
        publish_numbers(&w, "t", 1, 1500);
        if (i % 4 > 0)
            until_ready(&w, true);
        for (unsigned k = 0; k < BUS_WORKERS; k++)
            reader_start(&readers[k], &w, k, "t quiet", &start, SLICE_BYTES);
        for (int k = 0; i % 5 == 0 && k < 3; k++)
            reader_step(&readers[0]);
        usleep((useconds_t)i * 250);
        bus_world_stop(&w);
    }
}

/* What cannot be answered in time is deferred, and answered when it can be. */
static void test_a_replay_is_deferred_while_redis_is_gone(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &roomy);
    until_ready(&w, true);
    redis_server_kill(&w.redis);
    until_metric(&w.metrics.subscriber_lost, 1);
    worker_subscribe(&w, 0, "t", DATA);
    for (uint64_t token = 1; token <= 3; token++) {
        worker_replay(&w, 0, "t", &(struct worker_replay){.token = token, .patience_ms = 100});
        struct bus_replayed *m = expect_replayed(&w, 0, token);
        assert_true(m->deferred);
        assert_false(m->live);
        bus_replayed_free(m);
    }
    redis_server_restart(&w.redis);
    w.skips_gaps = true;
    expect_live(&w, 0, "t");
    bus_world_stop(&w);
}

static void test_the_bus_stops_while_redis_is_gone(void **state) {
    (void)state;
    for (useconds_t pause_us = 0; pause_us < 40000; pause_us += 10000) {
        struct bus_world w;
        struct bus_reader r;
        bus_world_start(&w, &tiny);
        struct event_id cursor = publish_numbers(&w, "t", 0, 1);
        publish_numbers(&w, "t", 1, 1000);
        reader_start_behind(&r, &w, 0, "t", &cursor, 1, SLICE_BYTES);
        reader_step(&r);
        redis_server_kill(&w.redis);
        usleep(pause_us);
        bus_stop(w.bus);
        w.bus = NULL;
        redis_server_restart(&w.redis);
        bus_world_stop(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_clean_restart_costs_nobody_a_reset),
        cmocka_unit_test(test_a_lost_tail_is_told_to_those_who_saw_it),
        cmocka_unit_test(test_many_failovers),
        cmocka_unit_test(test_a_domain_that_is_born_again),
        cmocka_unit_test(test_a_clock_that_vanished_alone),
        cmocka_unit_test(test_a_birth_is_found_without_an_event),
        cmocka_unit_test(test_the_first_birth),
        cmocka_unit_test(test_a_birth_in_the_middle_of_reads),
        cmocka_unit_test(test_redis_ends_in_the_middle_of_reads),
        cmocka_unit_test(test_connections_die_in_the_middle_of_reads),
        cmocka_unit_test(test_a_topic_that_is_given_up_in_the_middle_of_reads),
        cmocka_unit_test(test_the_bus_stops_in_the_middle_of_reads),
        cmocka_unit_test(test_a_replay_is_deferred_while_redis_is_gone),
        cmocka_unit_test(test_the_bus_stops_while_redis_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
