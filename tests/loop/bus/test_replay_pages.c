/* Replays from further back than the rings reach: pages of logs, shared by those who come back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/base/mem.h"
#include "tests/loop/bus/bus_reader.h"
#include "tests/unit/unit.h"

static const struct bus_world_options tiny = {.linger_ms = HOUR_MS,
                                              .ring_topic_bytes = TINY_BYTES,
                                              .ring_node_bytes = 4 * TINY_BYTES,
                                              .history = 100000};

/* Many come back at one moment, with one cursor or nearly one, further back than the ring. */
static void test_pages_are_read_once_for_all(void **state) {
    enum { CLIENTS = 200, EVENTS = 5000, SPREAD = 50 };
    struct bus_world w;
    struct event_id cursors[SPREAD];
    (void)state;
    bus_world_start(&w, &tiny);
    for (unsigned i = 0; i < SPREAD; i++)
        cursors[i] = publish_numbers(&w, "t", i, i + 1);
    publish_numbers(&w, "t", SPREAD, EVENTS);
    until_ready(&w, true);
    worker_subscribe(&w, 0, "t", DATA);
    expect_live(&w, 0, "t");
    worker_replay(&w, 0, "t", &(struct worker_replay){.start = behind(&cursors[0])});
    bus_replayed_free(expect_replayed(&w, 0, 0)); /* the ring is extended as far as it may be */
    long long before = redis_log_reads(&w);
    for (unsigned i = 0; i < CLIENTS; i++)
        worker_replay(&w, 0, "t",
                      &(struct worker_replay){
                          .token = i + 1,
                          .start = behind(&cursors[i < CLIENTS / 2 ? 0 : i * 7919 % SPREAD])});
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct bus_replayed *m = (struct bus_replayed *)worker_next(&w, 0);
        assert_int_equal(m->base.kind, BUS_REPLAYED);
        assert_false(m->live);
        assert_true(m->slice->count >= SPREAD);
        bus_replayed_free(m);
    }
    assert_true(redis_log_reads(&w) <= before + 2); /* it, and the one behind it */
    bus_world_stop(&w);
}

/* Each step is answered from a page that the step before asked for, and no further one is read. */
static void test_the_next_page_is_read_ahead(void **state) {
    struct bus_world w;
    struct bus_replayed *m;
    (void)state;
    bus_world_start(&w, &tiny);
    struct event_id cursor = publish_numbers(&w, "t", 0, 1);
    publish_numbers(&w, "t", 1, 5000);
    until_ready(&w, true);
    worker_subscribe(&w, 0, "t", DATA);
    worker_replay(&w, 0, "t", &(struct worker_replay){.start = behind(&cursor)});
    m = expect_replayed(&w, 0, 0);
    long long first = redis_calls(&w, "xrange");
    for (int step = 1; step < 4; step++) {
        struct worker_replay next = {.start = behind(&m->cursor.at), .limit_bytes = SLICE_BYTES};
        UNTIL(redis_calls(&w, "xrange") >= 1 + step);
        bus_replayed_free(m);
        for (int part = 0; part < 2; part++) { /* of one page */
            worker_replay(&w, 0, "t", &next);
            m = expect_replayed(&w, 0, 0);
            next.start = behind(&m->cursor.at);
            bus_replayed_free(m);
        }
        UNTIL(redis_calls(&w, "xrange") >= 2 + step);
        assert_int_equal(redis_calls(&w, "xrange"), 2 + step);
        next.limit_bytes = 0;
        worker_replay(&w, 0, "t", &next);
        m = expect_replayed(&w, 0, 0);
        assert_int_equal(redis_calls(&w, "xrange"), 2 + step);
    }
    assert_true(first <= 2);
    bus_replayed_free(m);
    bus_world_stop(&w);
}

/* However long a client takes for what it was sent: its next step finds the pages that it goes on
 * with, of many topics and of one, for which the next page was read ahead. */
static void test_pages_wait_for_a_slow_client(void **state) {
    enum { STEPS = 2, EXPIRED_US = 2500 * 1000 };
    static const char *const topics[] = {"t", "t u v w x"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bus_world w;
        bus_world_start(&w, &tiny);
        for (const char *at = "tuvwx"; *at != '\0'; at++) {
            const char topic[] = {*at, '\0'};
            publish_numbers(&w, topic, 0, 2000);
            if (strchr(topics[i], *at) != NULL)
                worker_subscribe(&w, 0, topic, DATA);
        }
        until_ready(&w, true);
        struct worker_replay next = {.start = {.kind = CURSOR_SINCE, .since_ms = 1},
                                     .limit_bytes = SLICE_BYTES / 4}; /* of one page */
        long long before = 0;
        for (int step = 0; step <= STEPS; step++) {
            worker_replay(&w, 0, topics[i], &next);
            struct bus_replayed *m = expect_replayed(&w, 0, 0);
            assert_true(!m->live && m->slice != NULL);
            next.start = behind(&m->cursor.at);
            bus_replayed_free(m);
            if (step == 0) { /* and the page behind it */
                UNTIL(redis_calls(&w, "xrange") >= (i == 0 ? 2 : 5));
                before = redis_log_reads(&w);
            }
            if (step < STEPS)
                usleep(EXPIRED_US);
        }
        assert_int_equal(redis_log_reads(&w), before);
        bus_world_stop(&w);
    }
}

/* Small events say nothing of those behind them: a reply that is too large is asked for once, and
 * the next ones are smaller. */
static void test_large_events_among_small_ones(void **state) {
    enum { SMALL = 4000, LARGE = 150, LARGE_BYTES = 1000 * 1000, PARTS = 2 };
    struct bus_world w;
    size_t events = 0;
    char *large = mem_zalloc(LARGE_BYTES + 1);
    (void)state;
    memset(large, 'x', LARGE_BYTES);
    bus_world_start(&w, &tiny);
    for (unsigned part = 0; part < PARTS; part++) {
        publish_numbers(&w, "t", 0, SMALL);
        for (unsigned i = 0; i < LARGE; i++)
            durable_publish(&w.durable, "t", large);
    }
    publish_numbers(&w, "t", 0, SMALL); /* the latest are small */
    until_ready(&w, true);
    worker_subscribe(&w, 0, "t", DATA);
    struct cursor_request start = {.kind = CURSOR_SINCE, .since_ms = 1};
    for (bool live = false; !live;) {
        worker_replay(&w, 0, "t", &(struct worker_replay){.start = start});
        struct bus_replayed *m = expect_replayed(&w, 0, 0);
        assert_int_equal(m->resets_len, 0);
        events += m->slice != NULL ? m->slice->count : 0;
        live = m->live;
        start = behind(&m->cursor.at);
        bus_replayed_free(m);
    }
    assert_int_equal(events, (PARTS + 1) * SMALL + PARTS * LARGE);
    assert_true(metric_get(&w.metrics.reader_lost) <= 1);
    free(large);
    bus_world_stop(&w);
}

/* An entry that is gone from the middle of the log is told, and what is behind it comes. */
static void test_a_hole_in_the_log_is_told(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &tiny);
    struct event_id cursor = publish_numbers(&w, "t", 0, 1);
    struct event_id hole = publish_numbers(&w, "t", 1, 500);
    publish_numbers(&w, "t", 500, 4000);
    redis_do(&w, "XDEL sse:{0}:log:t %llu-%llu", (unsigned long long)hole.ms,
             (unsigned long long)hole.seq);
    reader_start_behind(&r, &w, 0, "t", &cursor, 1, SLICE_BYTES);
    reader_until_live(&r);
    assert_int_equal(r.next[0], 4000);
    assert_int_equal(r.events, 3998);
    assert_int_equal(r.resets[0], RESET_TRIMMED);
    bus_world_stop(&w);
}

/* The log begins with a whole page of events of a clock before this one. */
/* Whoever else writes to a log: entries that are no events of this clock are passed over. */
static void replay_among_foreign(const struct bus_world_options *options, unsigned events,
                                 unsigned last) {
    static const char *const forged[] = {"e {\"data\":\"forged\"} p 0 g 99", "x y",
                                         "e {\"data\":\"forged\"} p 0 g x"};
    struct bus_world w;
    struct bus_reader r;
    bus_world_start(&w, options);
    publish_numbers(&w, "t", 0, 1);
    for (unsigned i = 0; i < 3; i++) {
        struct event_id id = publish_numbers(&w, "t", 1 + i * events, 1 + (i + 1) * events);
        redis_do(&w, "XADD sse:{0}:log:t %llu-%llu %s", (unsigned long long)id.ms,
                 (unsigned long long)id.seq + 1, forged[i]);
        usleep(2000); /* the clock passes it */
    }
    publish_numbers(&w, "t", 1 + 3 * events, 2 + 4 * events);
    until_ready(&w, true);
    struct cursor_request start = {.kind = CURSOR_LAST, .last = last};
    reader_start(&r, &w, 0, "t", &start, SLICE_BYTES);
    r.next[0] = 2 + 4 * events - last;
    r.any[0] = false;
    reader_until_live(&r);
    assert_int_equal(r.next[0], 2 + 4 * events);
    assert_int_equal(r.events, last);
    assert_int_equal(r.resets[0], 0);
    reader_stop(&r);
    bus_world_stop(&w);
}

static void test_entries_of_nobody_in_pages(void **state) {
    (void)state;
    replay_among_foreign(&tiny, 700, 4 * 700);
}

static void test_entries_of_nobody_in_rings(void **state) {
    static const struct bus_world_options roomy = {.linger_ms = HOUR_MS, .history = 100000};
    (void)state;
    replay_among_foreign(&roomy, 30, 4 * 30);
}

static void test_events_of_a_clock_before_are_passed(void **state) {
    struct bus_world w;
    struct bus_reader r;
    struct cursor_request start = {.kind = CURSOR_SINCE};
    (void)state;
    bus_world_start(&w, &tiny);
    publish_numbers(&w, "t", 0, 2500);
    redis_do(&w, "DEL sse:{0}:clock sse:{0}:last:t");
    usleep(20000); /* else the new clock would be behind the log */
    publish_numbers(&w, "t", 5000, 6500);
    until_ready(&w, true);
    reader_start(&r, &w, 0, "t", &start, SLICE_BYTES);
    r.next[0] = 5000;
    r.any[0] = false;
    reader_until_live(&r);
    assert_int_equal(r.next[0], 6500);
    bus_world_stop(&w);
}

/* More than one reply of Redis may hold, from wherever it is read. */
static void test_a_log_of_large_events(void **state) {
    enum { EVENTS = 900, BYTES = 90 * 1000 };
    static char data[BYTES];
    struct bus_world w;
    struct bus_reader live, r;
    (void)state;
    bus_world_start(&w, &tiny);
    struct event_id cursor = publish_numbers(&w, "t", 0, 1);
    for (unsigned i = 1; i <= EVENTS; i++) {
        snprintf(data, sizeof(data), "t %u %0*d", i, BYTES - 20, 0);
        durable_publish(&w.durable, "t", data);
    }
    until_ready(&w, true);
    reader_start_behind(&r, &w, 0, "t", &cursor, 1, SLICE_BYTES);
    reader_until_live(&r);
    assert_int_equal(r.next[0], EVENTS + 1);
    assert_int_equal(r.resets[0], 0);
    assert_int_equal(metric_get(&w.metrics.reader_lost), 0);
    reader_stop(&r);
    struct cursor_request last = {.kind = CURSOR_LAST, .last = EVENTS};
    reader_start(&live, &w, 1, "t", &last, 0);
    reader_until_live(&live);
    assert_int_equal(live.events, EVENTS);
    assert_int_equal(metric_get(&w.metrics.reader_lost), 0);
    bus_world_stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_are_read_once_for_all),
        cmocka_unit_test(test_the_next_page_is_read_ahead),
        cmocka_unit_test(test_pages_wait_for_a_slow_client),
        cmocka_unit_test(test_large_events_among_small_ones),
        cmocka_unit_test(test_a_hole_in_the_log_is_told),
        cmocka_unit_test(test_a_log_of_large_events),
        cmocka_unit_test(test_entries_of_nobody_in_pages),
        cmocka_unit_test(test_entries_of_nobody_in_rings),
        cmocka_unit_test(test_events_of_a_clock_before_are_passed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
