/* The hub: streams that fall behind, that are quiet, and that end. */
#include "tests/unit/hub/hub_steps.h"

/* ---- falling behind ---- */

static void a_full_outbox_goes_back_through_a_replay_and_loses_nothing(void **state) {
    struct world *w = *state;
    struct client slow, fast;
    client_live(w, &slow, "a", 1);
    client_live(w, &fast, "a", 1);
    slow.stuck = true;
    for (uint64_t ms = 2; ms <= 50; ms++)
        say_durable(w, "a", ms);
    assert_true(hub_unsent(slow.subscriber) <= LIMIT);
    assert_int_equal(metric_get(&w->metrics.lagging), 1);
    assert_int_equal(count_requests(w, BUS_REPLAY), 2);
    slow.stuck = false;
    client_flush(&slow.stream);
    struct bus_replay *r = last_replay(w);
    assert_int_equal(count_requests(w, BUS_REPLAY), 3);
    uint64_t reached = r->start.id.ms;
    assert_in_range(reached, 2, 49);
    buf_reset(&slow.seen);
    answer_slice(w, r, reached + 1, 50);
    answer_live(w, last_replay(w), 50);
    assert_null(strstr(slow.seen.data, "relay.")); /* neither a reset nor a second relay.live */
    assert_int_equal(metric_get(&w->metrics.lagging) + metric_get(&w->metrics.replaying), 0);
    client_drop(&slow);
    client_drop(&fast);
}

static void a_live_event_that_is_dropped_is_told(void **state) {
    struct world *w = *state;
    struct client c;
    client_live(w, &c, "a,b", 1);
    c.stuck = true;
    for (int i = 0; i < 50; i++)
        say(w, "a", "0123456789", 1);
    assert_true(metric_get(&w->metrics.dropped) > 30);
    c.stuck = false;
    client_flush(&c.stream);
    buf_reset(&c.seen);
    answer_live(w, last_replay(w), 4);
    expect(&c,
           "event: relay.reset\nid: b.1.4-0\ndata: {\"topics\":[\"a\"],\"reason\":\"live\"}\n\n");
    say(w, "a", "on", 1);
    expect(&c, "data: on\n\n");
    client_drop(&c);
}

static void a_gap_on_one_topic_stops_all_until_the_replay(void **state) {
    struct world *w = *state;
    struct client both, other;
    client_live(w, &both, "a,b", 10);
    client_live(w, &other, "b", 10);
    gap(w, "a", 0);
    struct bus_replay *r = last_replay(w);
    assert_int_equal(r->start.id.ms, 10);
    say_durable(w, "b", 20); /* were it sent, the cursor would pass what a is missing */
    expect(&both, "");
    expect(&other, "id: b.1.k-0\ndata: 20\n\n");
    answer_slice(w, r, 15, 20);
    answer_live(w, last_replay(w), 20);
    say_durable(w, "b", 21);
    assert_non_null(strstr(both.seen.data, "data: 15\n\n"));
    assert_non_null(strstr(both.seen.data, "data: 21\n\n"));
    assert_null(strstr(both.seen.data, "relay."));
    client_drop(&both);
    client_drop(&other);
}

static void a_gap_says_what_it_cost(void **state) {
    struct world *w = *state;
    struct client c;
    client_live(w, &c, "busy,quiet", 10);
    gap(w, "busy", RESET_LIVE);
    gap(w, "quiet", 0);
    expect(&c, "");
    answer_live(w, last_replay(w), 12);
    expect(
        &c,
        "event: relay.reset\nid: b.1.c-0\ndata: {\"topics\":[\"busy\"],\"reason\":\"live\"}\n\n");
    client_drop(&c);
}

static void a_gap_before_it_was_live_costs_nothing(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORMAT_DATA);
    buf_reset(&c.seen);
    gap(w, "t", RESET_LIVE);
    answer_live(w, last_replay(w), 0);
    expect(&c, "event: relay.live\ndata: {\"topics\":[\"t\"]}\n\n");
    client_drop(&c);
}

/* ---- time and the end ---- */

static void advance(struct world *w, uint64_t ms) {
    for (uint64_t end = w->now_ms + ms; w->now_ms < end;) {
        w->now_ms += 100;
        hub_tick(w->hub, w->now_ms);
        turns(w);
    }
}

static bool has_heartbeat(const struct client *c) {
    return strncmp(c->seen.data, ":\n", 2) == 0 || strstr(c->seen.data, "\n:\n") != NULL;
}

static void a_quiet_stream_gets_heartbeats_and_a_busy_one_none(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORMAT_DATA);
    answer_live(w, last_replay(w), 1);
    advance(w, 2 * HEARTBEAT);
    buf_reset(&c.seen);
    advance(w, 5 * HEARTBEAT);
    assert_true(c.seen.len >= 4 * 2 && c.seen.len <= 6 * 2);
    buf_reset(&c.seen);
    for (int i = 0; i < 50; i++) {
        say(w, "t", "x", 1);
        advance(w, 100);
    }
    assert_false(has_heartbeat(&c));
    client_drop(&c);
}

static void no_silence_is_longer_than_the_heartbeat(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORMAT_DATA);
    answer_live(w, last_replay(w), 1);
    for (int i = 0; i < 10; i++) {
        say(w, "t", "x", 1);
        buf_reset(&c.seen);
        advance(w, HEARTBEAT + 300); /* two looks, each up to a tick late */
        assert_true(has_heartbeat(&c));
    }
    client_drop(&c);
}

static void pings_do_not_depend_on_events(void **state) {
    struct world *w = *state;
    struct client c;
    struct hub_topic_name name = {"t", 1};
    struct hub_subscription_spec spec = {
        .topics = &name, .topics_len = 1, .ping = true, .opening = frame_raw("open\n", 5)};
    int pings = 0;
    c = (struct client){.stream = {&ops}};
    c.subscriber = hub_attach(w->hub, &spec, &c.stream, w->now_ms);
    answer_live(w, last_replay(w), 1);
    for (int i = 0; i < 100; i++) {
        say(w, "t", "x", 1);
        advance(w, HEARTBEAT / 10);
        pings += strstr(c.seen.data, "event: relay.ping\ndata: {}\n\n") != NULL;
        assert_false(has_heartbeat(&c));
        buf_reset(&c.seen);
    }
    assert_in_range(pings, 9, 10);
    client_drop(&c);
}

static void drain_ends_every_stream_within_the_window(void **state) {
    struct world *w = *state;
    struct client c[20];
    int early = 0;
    for (int i = 0; i < 20; i++) {
        client_open(w, &c[i], i % 2 ? "a,b" : "b", FRAME_FORMAT_DATA);
        buf_reset(&c[i].seen);
    }
    hub_drain(w->hub, w->now_ms, 10000);
    advance(w, 5000);
    for (int i = 0; i < 20; i++)
        early += c[i].finished;
    assert_in_range(early, 1, 19); /* spread: 1 in 2^19 to fail by chance */
    advance(w, 5300);
    for (int i = 0; i < 20; i++) {
        assert_true(c[i].finished);
        assert_int_equal(c[i].why, HUB_END_DRAIN);
        assert_non_null(strstr(c[i].seen.data, "event: relay.close\nretry: "));
        client_drop(&c[i]);
    }
}

static void a_client_may_vanish_while_it_is_flushed(void **state) {
    struct world *w = *state;
    struct client c[3];
    for (int i = 0; i < 3; i++)
        client_live(w, &c[i], "t", 1);
    c[1].detaches = true;
    say(w, "t", "x", 1);
    assert_null(c[1].subscriber);
    expect(&c[0], "data: x\n\n");
    expect(&c[2], "data: x\n\n");
    for (int i = 0; i < 3; i++)
        client_drop(&c[i]);
}

static void detaching_one_that_waits_for_its_flush_leaves_the_others(void **state) {
    struct world *w = *state;
    struct client c[3];
    for (int i = 0; i < 3; i++) {
        struct hub_topic_name name = {"t", 1};
        struct hub_subscription_spec spec = {
            .topics = &name, .topics_len = 1, .opening = frame_raw("open\n", 5)};
        c[i] = (struct client){.stream = {&ops}};
        c[i].subscriber = hub_attach(w->hub, &spec, &c[i].stream, w->now_ms);
    }
    client_drop(&c[2]); /* the last of the list, then the first, then a new last */
    client_drop(&c[0]);
    client_open(w, &c[0], "t", FRAME_FORMAT_DATA);
    expect(&c[1], "open\n");
    expect(&c[0], "open\n");
    client_drop(&c[0]);
    client_drop(&c[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_full_outbox_goes_back_through_a_replay_and_loses_nothing),
        TEST(a_live_event_that_is_dropped_is_told),
        TEST(a_gap_on_one_topic_stops_all_until_the_replay),
        TEST(a_gap_says_what_it_cost),
        TEST(a_gap_before_it_was_live_costs_nothing),
        TEST(a_quiet_stream_gets_heartbeats_and_a_busy_one_none),
        TEST(no_silence_is_longer_than_the_heartbeat),
        TEST(pings_do_not_depend_on_events),
        TEST(drain_ends_every_stream_within_the_window),
        TEST(a_client_may_vanish_while_it_is_flushed),
        TEST(detaching_one_that_waits_for_its_flush_leaves_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
