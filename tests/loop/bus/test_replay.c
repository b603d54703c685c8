/* Replays from a real Redis: rings, logs, what is gone, and the seam between history and live.
 * What a reader must see is checked by bus_reader.h; what happens when Redis fails in
 * test_replay_failures.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/base/clock.h"
#include "tests/loop/bus/bus_reader.h"
#include "tests/unit/unit.h"

/* ---- where it comes from ---- */

static void test_from_the_ring_without_redis(void **state) {
    struct bus_world w;
    struct bus_reader live, late;
    (void)state;
    bus_world_start(&w, &bus_plain);
    reader_start(&live, &w, 0, "t", NULL, 0);
    reader_until_live(&live);
    struct event_id cursor = publish_numbers(&w, "t", 0, 100);
    publish_numbers(&w, "t", 100, 500);
    reader_until(&live, 0, 500);
    long long before = redis_log_reads(&w), gets = redis_calls(&w, "get");
    for (int i = 0; i < 20; i++) {
        reader_start_behind(&late, &w, 1, "t", &cursor, 100, 0);
        reader_until_live(&late);
        assert_int_equal(late.next[0], 500);
        assert_int_equal(late.events, 400);
        assert_int_equal(reader_resets(&late), 0);
        reader_stop(&late);
    }
    assert_int_equal(redis_log_reads(&w), before);
    assert_int_equal(redis_calls(&w, "get"), gets);
    bus_world_stop(&w);
}

static void test_the_ring_is_extended_once_for_all(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &bus_plain);
    w.durable.history = 5000;
    struct event_id cursor = publish_numbers(&w, "t", 0, 10);
    publish_numbers(&w, "t", 10, 3000);
    reader_start_behind(&r, &w, 0, "t", &cursor, 10, SLICE_BYTES);
    reader_until_live(&r);
    assert_int_equal(r.next[0], 3000);
    assert_true(r.slices > 10);
    long long before = redis_log_reads(&w);
    reader_start_behind(&r, &w, 1, "t", &cursor, 10, SLICE_BYTES);
    reader_until_live(&r);
    assert_int_equal(r.next[0], 3000);
    assert_int_equal(reader_resets(&r), 0);
    assert_int_equal(redis_log_reads(&w), before);
    bus_world_stop(&w);
}

static void test_from_pages_of_the_log(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &bus_tiny_rings);
    w.durable.history = 5000;
    struct event_id cursor = publish_numbers(&w, "t", 0, 1);
    publish_numbers(&w, "t", 1, 4000);
    reader_start_behind(&r, &w, 0, "t", &cursor, 1, SLICE_BYTES);
    reader_until_live(&r);
    assert_int_equal(r.next[0], 4000);
    assert_int_equal(reader_resets(&r), 0);
    publish_numbers(&w, "t", 4000, 4010);
    reader_until(&r, 0, 4010);
    bus_world_stop(&w);
}

/* One event that is larger than a slice goes alone. */
static void test_slices_are_bounded(void **state) {
    static char data[3 * SLICE_BYTES];
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &bus_plain);
    struct event_id cursor = publish_numbers(&w, "t", 0, 1);
    for (unsigned i = 1; i < 40; i++) {
        snprintf(data, sizeof(data), "t %u %0*d", i, i % 5 == 0 ? 2 * SLICE_BYTES : 1000, 0);
        durable_publish(&w.durable, "t", data);
    }
    reader_start_behind(&r, &w, 0, "t", &cursor, 1, SLICE_BYTES);
    reader_until_live(&r);
    assert_int_equal(r.next[0], 40);
    assert_true(r.slices >= 39 / (SLICE_BYTES / 1000));
    bus_world_stop(&w);
}

static void test_every_format(void **state) {
    struct bus_world w;
    (void)state;
    bus_world_start(&w, &bus_plain);
    struct event_id cursor = publish_numbers(&w, "t", 0, 1);
    publish_numbers(&w, "t", 1, 3);
    static const char *const wanted[FRAME_FORMATS] = {"data: t 1\n\n", "event: t\n",
                                                      "{\"topic\":\"t\",\"event\":null,\"id\":\""};
    for (unsigned format = 0; format < FRAME_FORMATS; format++) {
        worker_subscribe(&w, 0, "t", 1u << format);
        worker_replay(&w, 0, "t",
                      &(struct worker_replay){.token = format + 1,
                                              .start = behind(&cursor),
                                              .format = (enum frame_format)format});
        struct bus_replayed *m = expect_replayed(&w, 0, format + 1);
        assert_non_null(m->slice);
        assert_int_equal(m->slice->count, 2);
        struct frame_slice s =
            frame_slice(m->slice->frame, (enum frame_format)format, FRAMING_NONE);
        assert_non_null(memmem(s.bytes, s.len, wanted[format], strlen(wanted[format])));
        bus_replayed_free(m);
    }
    bus_world_stop(&w);
}

/* ---- many topics ---- */

/* The reader checks that ids rise over all topics, whatever comes from where. */
static void replay_many(const struct bus_world_options *options, bool quiet) {
    enum { TOPICS = 20, ROUNDS = 2500 };
    struct bus_world w;
    struct bus_reader r;
    unsigned next[TOPICS] = {0};
    struct buf names = BUF_INIT;
    char name[16];
    bus_world_start(&w, options);
    w.durable.history = 5000;
    struct event_id cursor = publish_numbers(&w, "other", 0, 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned t = i * 7919 % 101 % TOPICS;
        if (quiet && t < TOPICS / 2)
            t = TOPICS - 1;
        snprintf(name, sizeof(name), "t%u", t);
        publish_numbers(&w, name, next[t], next[t] + 1);
        next[t]++;
    }
    for (unsigned t = 0; t < TOPICS; t++)
        buf_printf(&names, "%st%u", t > 0 ? " " : "", t);
    struct cursor_request start = behind(&cursor);
    reader_start(&r, &w, 0, names.data, &start, SLICE_BYTES);
    memset(r.any, 0, sizeof(r.any));
    reader_until_live(&r);
    for (unsigned t = 0; t < TOPICS; t++)
        assert_int_equal(r.next[t], next[t]);
    assert_int_equal(r.events, ROUNDS);
    assert_int_equal(reader_resets(&r), 0);
    buf_fini(&names);
    bus_world_stop(&w);
}

static void test_many_topics_are_merged_in_the_order_of_ids(void **state) {
    (void)state;
    replay_many(&bus_plain, false);
    replay_many(&bus_plain, true);
}

static void test_many_topics_are_merged_from_pages(void **state) {
    (void)state;
    replay_many(&bus_tiny_rings, false);
    replay_many(&bus_tiny_rings, true);
}

/* ---- where it begins ---- */

static void test_the_last_events_of_all_topics_together(void **state) {
    struct bus_world w;
    struct bus_reader r;
    static const struct {
        uint64_t last;
        unsigned a, b; /* how many of each */
    } cases[] = {{0, 0, 0},   {1, 0, 1},   {5, 0, 5},    {7, 2, 5},
                 {15, 10, 5}, {16, 10, 5}, {1000, 10, 5}};
    (void)state;
    bus_world_start(&w, &bus_plain);
    publish_numbers(&w, "a", 0, 10);
    publish_numbers(&w, "b", 0, 5);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cursor_request start = {.kind = CURSOR_LAST, .last = cases[i].last};
        reader_start(&r, &w, 0, "a b", &start, 0);
        reader_until_live(&r);
        assert_int_equal(r.events, cases[i].a + cases[i].b);
        assert_int_equal(r.next[0], cases[i].a > 0 ? 10 : 0);
        assert_int_equal(r.next[1], cases[i].b > 0 ? 5 : 0);
        assert_int_equal(reader_resets(&r), 0);
        reader_stop(&r);
    }
    bus_world_stop(&w);
}

/* A clock that this node has not heard of yet has an entry in the log: it is no event of ours. */
static void test_an_unheard_clock_is_none_of_the_last_events(void **state) {
    struct bus_world w;
    struct bus_reader live, last;
    (void)state;
    bus_world_start(&w, &bus_plain);
    publish_numbers(&w, "t", 0, 10);
    reader_start(&live, &w, 0, "t", NULL, 0);
    reader_until_live(&live);
    durable_announce(&w.durable, false);
    redis_do(&w, "DEL sse:{0}:clock");
    publish_numbers(&w, "t", 10, 11);
    struct cursor_request start = {.kind = CURSOR_LAST, .last = 3};
    reader_start(&last, &w, 1, "t", &start, 0);
    reader_until_live(&last);
    assert_int_equal(last.events, 3);
    assert_int_equal(last.next[0], 10);
    bus_world_stop(&w);
}

static void test_events_since_a_time(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &bus_tiny_rings);
    struct event_id first = publish_numbers(&w, "t", 0, 1000);
    for (struct event_id now = first; now.ms <= first.ms + 1;) {
        now = publish_numbers(&w, "quiet", 0, 1);
        usleep(2000);
    }
    struct event_id second = publish_numbers(&w, "t", 1000, 1001);
    publish_numbers(&w, "t", 1001, 2000);
    struct cursor_request start = {.kind = CURSOR_SINCE, .since_ms = second.ms};
    reader_start(&r, &w, 0, "t", &start, 0);
    reader_until_live(&r);
    assert_int_equal(r.events, 1000);
    start.since_ms = 0;
    reader_start(&r, &w, 1, "t", &start, 0);
    reader_until_live(&r);
    assert_int_equal(r.next[0], 2000);
    assert_int_equal(reader_resets(&r), 0); /* though the log does not hold all */
    start.since_ms = second.ms + HOUR_MS;
    reader_stop(&r);
    reader_start(&r, &w, 1, "t", &start, 0);
    reader_until_live(&r);
    assert_int_equal(r.events, 0);
    bus_world_stop(&w);
}

/* A server to which the role fell lacks what this node has seen last, and has what was before it.
 */
static void test_the_log_lacks_what_the_ring_begins_with(void **state) {
    struct bus_world w;
    struct bus_reader live, since;
    (void)state;
    bus_world_start(&w, &bus_plain);
    struct event_id latest = publish_numbers(&w, "t", 0, 10);
    reader_start(&live, &w, 0, "t", NULL, 0);
    reader_until_live(&live);
    redis_do(&w, "XDEL sse:{0}:log:t %llu-%llu", (unsigned long long)latest.ms,
             (unsigned long long)latest.seq);
    struct cursor_request start = {.kind = CURSOR_SINCE};
    reader_start(&since, &w, 1, "t", &start, 0);
    reader_until_live(&since);
    assert_int_equal(since.next[0], 9);
    bus_world_stop(&w);
}

static void test_a_cursor_that_is_none_is_told(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &bus_plain);
    struct event_id id = publish_numbers(&w, "t", 0, 10);
    struct cursor_request start = {.kind = CURSOR_BAD};
    reader_start(&r, &w, 0, "t", &start, 0);
    reader_until_live(&r);
    assert_int_equal(r.resets[0], RESET_BIRTH);
    assert_int_equal(r.events, 0);
    reader_stop(&r);
    start = behind(&id);
    strcpy(start.id.birth, "another");
    reader_start(&r, &w, 0, "t", &start, 0);
    reader_until_live(&r);
    assert_int_equal(r.resets[0], RESET_BIRTH);
    reader_stop(&r);
    start = behind(&id);
    start.id.epoch = 1000000; /* of the future */
    reader_start(&r, &w, 0, "t", &start, 0);
    reader_until_live(&r);
    assert_int_equal(r.resets[0], RESET_FAILOVER);
    publish_numbers(&w, "t", 10, 11);
    reader_until(&r, 0, 11);
    bus_world_stop(&w);
}

/* ---- what cannot be had ---- */

static void test_the_limit_is_told(void **state) {
    enum { LIMIT = 100 };
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &(struct bus_world_options){.linger_ms = HOUR_MS, .replay_limit = LIMIT});
    struct event_id cursor = publish_numbers(&w, "t", 0, 1);
    publish_numbers(&w, "t", 1, LIMIT + 1);
    reader_start_behind(&r, &w, 0, "t", &cursor, 1, 1000);
    reader_until_live(&r);
    assert_int_equal(r.next[0], LIMIT + 1); /* just so many */
    assert_int_equal(reader_resets(&r) & ~(unsigned)RESET_LIMIT, 0);
    reader_stop(&r);
    publish_numbers(&w, "t", LIMIT + 1, 500);
    reader_start_behind(&r, &w, 0, "t", &cursor, 1, 1000);
    reader_until_live(&r);
    assert_int_equal(r.events, LIMIT);
    assert_int_equal(r.resets[0], RESET_LIMIT);
    publish_numbers(&w, "t", 500, 510);
    reader_until(&r, 0, 510);
    assert_int_equal(r.events, LIMIT + 10);
    bus_world_stop(&w);
}

/* Told once, with what is left behind it; from the ring and from pages. */
static void trimmed(const struct bus_world_options *options) {
    struct bus_world w;
    struct bus_reader r;
    bus_world_start(&w, options);
    struct event_id cursor = publish_numbers(&w, "t", 0, 10),
                    all = publish_numbers(&w, "t", 10, 2000);
    redis_do(&w, "XTRIM sse:{0}:log:t MAXLEN 500");
    reader_start_behind(&r, &w, 0, "t", &cursor, 10, SLICE_BYTES);
    reader_until_live(&r);
    assert_int_equal(r.next[0], 2000);
    assert_int_equal(r.events, 500);
    assert_int_equal(r.resets[0], RESET_TRIMMED);
    reader_stop(&r);
    redis_do(&w, "DEL sse:{0}:log:t");
    redis_do(&w, "CLIENT KILL TYPE pubsub"); /* what it has in memory is gone as well */
    reader_start_behind(&r, &w, 0, "t", &all, 2000, SLICE_BYTES);
    reader_until_live(&r);
    assert_int_equal(reader_resets(&r), 0); /* it has all there was */
    publish_numbers(&w, "t", 2000, 2001);
    reader_until(&r, 0, 2001);
    bus_world_stop(&w);
}

static void test_what_was_trimmed_is_told(void **state) {
    (void)state;
    trimmed(&bus_plain);
    trimmed(&bus_tiny_rings);
}

/* The log expired as a whole; its last id says that there was something. */
static void test_a_log_that_vanished_is_told(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &bus_plain);
    struct event_id cursor = publish_numbers(&w, "t", 0, 10);
    publish_numbers(&w, "t", 10, 20);
    redis_do(&w, "DEL sse:{0}:log:t");
    reader_start_behind(&r, &w, 0, "t", &cursor, 10, 0);
    reader_until_live(&r);
    assert_int_equal(r.events, 0);
    assert_int_equal(r.resets[0], RESET_TRIMMED);
    publish_numbers(&w, "t", 20, 21);
    reader_until(&r, 0, 21);
    bus_world_stop(&w);
}

/* What a quiet domain forgot, nobody missed. */
static void test_a_quiet_topic_is_no_gap(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &bus_plain);
    struct event_id cursor = publish_numbers(&w, "busy", 0, 10);
    reader_start_behind(&r, &w, 0, "busy never quiet", &cursor, 10, 0);
    reader_until_live(&r);
    assert_int_equal(reader_resets(&r), 0);
    publish_numbers(&w, "quiet", 0, 1);
    reader_until(&r, 2, 1);
    bus_world_stop(&w);
}

/* ---- the seam ---- */

static const char *const seam_topics[] = {"a", "b", "c"};
enum { SEAM_TOPICS = 3, SEAM_EVENTS = 4000 };

static void publish_all(void *arg) {
    struct durable d;
    char data[32];
    durable_open(&d, arg);
    d.history = SEAM_TOPICS * SEAM_EVENTS;
    for (unsigned i = 0; i < SEAM_EVENTS; i++)
        for (int t = 0; t < SEAM_TOPICS; t++) {
            snprintf(data, sizeof(data), "%s %u", seam_topics[t], i);
            durable_publish(&d, seam_topics[t], data);
        }
    durable_close(&d);
}

static bool has_all(const struct bus_reader *r) {
    for (int t = 0; t < SEAM_TOPICS; t++)
        if (r->next[t] < SEAM_EVENTS)
            return false;
    return true;
}

/* While a publisher writes at full speed, a reader goes and comes back again and again, to either
 * worker; Redis drops connections meanwhile where @command says so. */
static void seam(const struct bus_world_options *options, const char *command) {
    struct bus_world w;
    struct bus_reader r;
    uv_thread_t publisher;
    unsigned returns = 0;
    bus_world_start(&w, options);
    struct event_id cursor = publish_numbers(&w, "other", 0, 1);
    struct cursor_request start = behind(&cursor);
    assert_int_equal(uv_thread_create(&publisher, publish_all, w.redis.socket), 0);
    reader_start(&r, &w, 0, "a b c", &start, SLICE_BYTES);
    memset(r.any, 0, sizeof(r.any));
    while (!has_all(&r)) {
        unsigned steps = returns * 37 % 120;
        for (unsigned i = 0; i < steps && !has_all(&r); i++)
            reader_step(&r);
        if (has_all(&r))
            break;
        reader_stop(&r);
        if (command != NULL && returns % 8 == 0)
            redis_do(&w, "%s", command);
        reader_return(&r, ++returns % BUS_WORKERS);
    }
    uv_thread_join(&publisher);
    assert_int_equal(r.events, SEAM_TOPICS * SEAM_EVENTS);
    assert_int_equal(reader_resets(&r), 0);
    bus_world_stop(&w);
}

static void test_nothing_is_lost_or_doubled_at_the_seam(void **state) {
    (void)state;
    seam(&bus_plain, NULL);
    seam(&bus_tiny_rings, NULL);
    seam(&(struct bus_world_options){.linger_ms = 0}, NULL);
}

static void test_nothing_is_lost_or_doubled_while_connections_die(void **state) {
    (void)state;
    seam(&bus_plain, "CLIENT KILL TYPE pubsub");
    seam(&bus_tiny_rings, "CLIENT KILL TYPE pubsub");
}

/* A worker that does not keep up is told of a gap, and fills it. */
static void test_a_full_inbox_is_made_up_for(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &(struct bus_world_options){.linger_ms = HOUR_MS, .inbox_limit = 10});
    reader_start(&r, &w, 0, "t", NULL, SLICE_BYTES);
    reader_until_live(&r);
    for (unsigned i = 0; i < 5; i++) {
        publish_numbers(&w, "t", i * 300, (i + 1) * 300);
        until_metric(&w.metrics.events_dropped, (i + 1) * 250);
        reader_until(&r, 0, (i + 1) * 300);
        reader_until_live(&r);
    }
    assert_true(r.gaps >= 5);
    assert_int_equal(reader_resets(&r), 0);
    bus_world_stop(&w);
}

/* Events that were stored and not announced are found with the next one. */
static void test_a_hole_in_the_channel_is_filled_from_the_log(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &bus_plain);
    reader_start(&r, &w, 0, "t", NULL, 0);
    reader_until_live(&r);
    publish_numbers(&w, "t", 0, 5);
    reader_until(&r, 0, 5);
    durable_announce(&w.durable, false);
    publish_numbers(&w, "t", 5, 700);
    durable_announce(&w.durable, true);
    publish_numbers(&w, "t", 700, 701);
    reader_until(&r, 0, 701);
    assert_int_equal(metric_get(&w.metrics.gaps), 1);
    assert_int_equal(reader_resets(&r), 0);
    bus_world_stop(&w);
}

/* What was stored and not announced is gone before anybody asks: the gap is passed, and told. */
static void test_a_hole_that_cannot_be_filled_is_told(void **state) {
    struct bus_world w;
    struct bus_reader r;
    (void)state;
    bus_world_start(&w, &bus_plain);
    reader_start(&r, &w, 0, "t", NULL, 0);
    reader_until_live(&r);
    publish_numbers(&w, "t", 0, 5);
    reader_until(&r, 0, 5);
    durable_announce(&w.durable, false);
    publish_numbers(&w, "t", 5, 8);
    durable_announce(&w.durable, true);
    redis_do(&w, "DEL sse:{0}:log:t");
    redis_do(&w, "CLIENT KILL TYPE pubsub");
    while (r.live)
        reader_step(&r);
    reader_until_live(&r);
    assert_int_equal(r.resets[0], RESET_TRIMMED);
    publish_numbers(&w, "t", 8, 9);
    reader_until(&r, 0, 9);
    bus_world_stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_the_ring_without_redis),
        cmocka_unit_test(test_the_ring_is_extended_once_for_all),
        cmocka_unit_test(test_from_pages_of_the_log),
        cmocka_unit_test(test_slices_are_bounded),
        cmocka_unit_test(test_every_format),
        cmocka_unit_test(test_many_topics_are_merged_in_the_order_of_ids),
        cmocka_unit_test(test_many_topics_are_merged_from_pages),
        cmocka_unit_test(test_the_last_events_of_all_topics_together),
        cmocka_unit_test(test_an_unheard_clock_is_none_of_the_last_events),
        cmocka_unit_test(test_events_since_a_time),
        cmocka_unit_test(test_the_log_lacks_what_the_ring_begins_with),
        cmocka_unit_test(test_a_cursor_that_is_none_is_told),
        cmocka_unit_test(test_the_limit_is_told),
        cmocka_unit_test(test_what_was_trimmed_is_told),
        cmocka_unit_test(test_a_log_that_vanished_is_told),
        cmocka_unit_test(test_a_quiet_topic_is_no_gap),
        cmocka_unit_test(test_nothing_is_lost_or_doubled_at_the_seam),
        cmocka_unit_test(test_nothing_is_lost_or_doubled_while_connections_die),
        cmocka_unit_test(test_a_full_inbox_is_made_up_for),
        cmocka_unit_test(test_a_hole_in_the_channel_is_filled_from_the_log),
        cmocka_unit_test(test_a_hole_that_cannot_be_filled_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
