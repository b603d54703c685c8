/* The hub against a stream that keeps what it is sent, and a bus that is this test. */
#include "relay/hub/hub.h"

#include <stdlib.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/base/mem.h"
#include "tests/unit/unit.h"

enum { LIMIT = 200, HEARTBEAT = 1000 };

struct bus_fake {
    struct bus_subscribe *requests[64];
    size_t len;
};

struct client {
    struct stream stream;
    struct subscriber *subscriber;
    struct buf seen;
    bool stuck;    /* takes nothing */
    bool detaches; /* its socket fails: it is gone at its next flush */
    bool finished;
    enum hub_end why;
};

struct world {
    struct hub *hub;
    struct hub_figures figures;
    struct bus_fake bus;
    uint64_t now_ms;
};

static uint64_t fixed_clock(void) {
    return 5000;
}

static void send_request(void *ctx, struct bus_request *r) {
    struct bus_fake *bus = ctx;
    bus->requests[bus->len++] = (struct bus_subscribe *)r;
}

static void client_flush(struct stream *s) {
    struct client *c = container_of(s, struct client, stream);
    struct iovec iov[64];
    if (c->detaches) {
        hub_detach(c->subscriber);
        c->subscriber = NULL;
        return;
    }
    while (!c->stuck && hub_unsent(c->subscriber) > 0) {
        int n = hub_gather(c->subscriber, iov, 64);
        size_t len = 0;
        for (int i = 0; i < n; i++) {
            buf_append(&c->seen, iov[i].iov_base, iov[i].iov_len);
            len += iov[i].iov_len;
        }
        hub_written(c->subscriber, len);
    }
}

static void client_finish(struct stream *s, enum hub_end why) {
    struct client *c = container_of(s, struct client, stream);
    c->finished = true;
    c->why = why;
}

static const struct stream_ops ops = {client_flush, client_finish};

static void turns(struct world *w) {
    for (int i = 0; hub_turn(w->hub); i++)
        assert_true(i < 1000);
}

static void client_open(struct world *w, struct client *c, const char *topics,
                        enum frame_form form) {
    struct hub_topic_name names[8];
    size_t n = 0;
    char copy[64];
    strcpy(copy, topics);
    for (char *save = NULL, *t = strtok_r(copy, ",", &save); t != NULL;
         t = strtok_r(NULL, ",", &save))
        names[n++] = (struct hub_topic_name){t, strlen(t)};
    struct hub_subscription_spec spec = {
        .topics = names, .topics_len = n, .form = form, .opening = frame_raw("open\n", 5)};
    *c = (struct client){.stream = {&ops}};
    c->subscriber = hub_attach(w->hub, &spec, &c->stream, w->now_ms);
    turns(w);
}

static void client_drop(struct client *c) {
    if (c->subscriber != NULL)
        hub_detach(c->subscriber);
    buf_fini(&c->seen);
}

/* What the client has seen since the last call. */
static void expect(struct client *c, const char *text) {
    assert_string_equal(c->seen.data != NULL ? c->seen.data : "", text);
    buf_reset(&c->seen);
}

static void say(struct world *w, const char *topic, const char *data, unsigned forms) {
    struct frame_source source = {.topic = topic,
                                  .topic_len = strlen(topic),
                                  .event = {.data = data, .data_len = strlen(data)}};
    struct bus_event *e = bus_event_new(frame_encode(&source, forms), topic, strlen(topic), 4000);
    hub_receive(w->hub, &e->base);
    turns(w);
}

static struct bus_subscribe *last_request(struct world *w) {
    assert_true(w->bus.len > 0);
    return w->bus.requests[w->bus.len - 1];
}

/* Answer the latest SUBSCRIBE of @topic. */
static void confirm(struct world *w, const char *topic, bool live_gap) {
    struct bus_topic *m = bus_topic_new(BUS_CONFIRMED, topic, strlen(topic));
    m->live_gap = live_gap;
    for (size_t i = 0; i < w->bus.len; i++) {
        const struct bus_subscribe *r = w->bus.requests[i];
        if (r->base.kind == BUS_SUBSCRIBE && r->topic_len == strlen(topic) &&
            memcmp(r->topic, topic, r->topic_len) == 0) {
            m->serial = r->serial;
            m->forms = r->forms;
        }
    }
    hub_receive(w->hub, &m->base);
    turns(w);
}

static void gap(struct world *w, const char *topic) {
    hub_receive(w->hub, &bus_topic_new(BUS_GAP, topic, strlen(topic))->base);
    turns(w);
}

static void lose_connection(struct world *w) {
    hub_receive(w->hub, bus_lost_new());
    turns(w);
}

static int setup(void **state) {
    struct world *w = mem_zalloc(sizeof(*w));
    struct hub_options options = {.outbox_limit_bytes = LIMIT,
                                  .heartbeat_ms = HEARTBEAT,
                                  .retry_ms = 100,
                                  .worker = 3,
                                  .now_us = fixed_clock,
                                  .send = send_request,
                                  .send_ctx = &w->bus};
    w->now_ms = 100000;
    w->hub = hub_new(&options, &w->figures, w->now_ms);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    assert_int_equal(figure_get(&w->figures.subscribers), 0);
    assert_int_equal(figure_get(&w->figures.lagging), 0);
    assert_int_equal(figure_get(&w->figures.topics), 0);
    hub_free(w->hub);
    for (size_t i = 0; i < w->bus.len; i++)
        free(w->bus.requests[i]);
    free(w);
    return 0;
}

/* ---- attaching ---- */

static void live_waits_for_every_topic(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "a,b", FRAME_FORM_DATA);
    expect(&c, "open\n");
    assert_int_equal(w->bus.len, 2);
    assert_int_equal(last_request(w)->base.worker, 3);
    confirm(w, "a", false);
    say(w, "a", "early", 1);
    expect(&c, "");
    confirm(w, "b", false);
    expect(&c, "event: relay.live\ndata: {\"topics\":[\"a\",\"b\"]}\n\n");
    say(w, "a", "1", 1);
    say(w, "b", "2", 1);
    say(w, "other", "3", 1);
    expect(&c, "data: 1\n\ndata: 2\n\n");
    client_drop(&c);
}

static void a_topic_is_asked_for_once_and_given_up_with_its_last(void **state) {
    struct world *w = *state;
    struct client a, b;
    client_open(w, &a, "t", FRAME_FORM_DATA);
    confirm(w, "t", false);
    client_open(w, &b, "t", FRAME_FORM_DATA);
    expect(&b, "open\nevent: relay.live\ndata: {\"topics\":[\"t\"]}\n\n");
    assert_int_equal(w->bus.len, 1);
    client_drop(&a);
    assert_int_equal(w->bus.len, 1);
    client_drop(&b);
    assert_int_equal(w->bus.len, 2);
    assert_int_equal(last_request(w)->base.kind, BUS_UNSUBSCRIBE);
}

static void a_new_form_is_asked_for_and_waited_for(void **state) {
    struct world *w = *state;
    struct client a, b;
    client_open(w, &a, "t", FRAME_FORM_DATA);
    confirm(w, "t", false);
    client_open(w, &b, "t", FRAME_FORM_JSON);
    assert_int_equal(last_request(w)->forms, (1 << FRAME_FORM_DATA) | (1 << FRAME_FORM_JSON));
    expect(&b, "open\n");
    say(w, "t", "x", 1 << FRAME_FORM_DATA); /* was on its way before the bus knew */
    expect(&b, "");
    confirm(w, "t", false);
    expect(&b, "event: relay.live\ndata: {\"topics\":[\"t\"]}\n\n");
    client_drop(&a);
    client_drop(&b);
}

static void an_answer_to_an_earlier_topic_of_that_name_confirms_nothing(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORM_DATA);
    struct bus_topic *stale = bus_topic_new(BUS_CONFIRMED, "t", 1);
    stale->serial = last_request(w)->serial;
    stale->forms = 1;
    client_drop(&c);
    client_open(w, &c, "t", FRAME_FORM_DATA);
    hub_receive(w->hub, &stale->base);
    turns(w);
    expect(&c, "open\n");
    client_drop(&c);
}

/* ---- falling behind ---- */

static void a_full_outbox_drops_and_one_reset_tells(void **state) {
    struct world *w = *state;
    struct client slow, fast;
    client_open(w, &slow, "a,b", FRAME_FORM_DATA);
    client_open(w, &fast, "a", FRAME_FORM_DATA);
    confirm(w, "a", false);
    confirm(w, "b", false);
    buf_reset(&slow.seen);
    buf_reset(&fast.seen);
    slow.stuck = true;
    for (int i = 0; i < 50; i++)
        say(w, "a", "0123456789", 1);
    assert_true(hub_unsent(slow.subscriber) <= LIMIT);
    assert_int_equal(figure_get(&w->figures.lagging), 1);
    assert_int_equal(fast.seen.len, 50 * strlen("data: 0123456789\n\n"));
    assert_int_equal(figure_get(&w->figures.deliveries), 50);
    slow.stuck = false;
    client_flush(&slow.stream);
    turns(w);
    assert_non_null(strstr(
        slow.seen.data, "event: relay.reset\ndata: {\"topics\":[\"a\"],\"reason\":\"live\"}\n\n"));
    assert_int_equal(figure_get(&w->figures.resets_live), 1);
    assert_int_equal(figure_get(&w->figures.lagging), 0);
    buf_reset(&slow.seen);
    say(w, "b", "on", 1);
    expect(&slow, "data: on\n\n");
    client_drop(&slow);
    client_drop(&fast);
}

static void a_gap_is_told_behind_what_is_queued(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "a,b", FRAME_FORM_DATA);
    confirm(w, "a", false);
    confirm(w, "b", false);
    buf_reset(&c.seen);
    c.stuck = true;
    say(w, "a", "before", 1);
    gap(w, "a");
    say(w, "a", "after", 1);
    c.stuck = false;
    client_flush(&c.stream);
    expect(&c, "data: before\n\nevent: relay.reset\ndata: "
               "{\"topics\":[\"a\"],\"reason\":\"live\"}\n\ndata: after\n\n");
    client_drop(&c);
}

static void a_lost_connection_resets_topics_that_carried_live_events(void **state) {
    struct world *w = *state;
    struct client both, quiet;
    client_open(w, &both, "busy,quiet", FRAME_FORM_DATA);
    client_open(w, &quiet, "quiet", FRAME_FORM_DATA);
    confirm(w, "busy", false);
    confirm(w, "quiet", false);
    buf_reset(&both.seen);
    buf_reset(&quiet.seen);
    lose_connection(w);
    confirm(w, "busy", true);
    expect(&both, ""); /* not before all its topics are back */
    confirm(w, "quiet", false);
    expect(&both, "event: relay.reset\ndata: {\"topics\":[\"busy\"],\"reason\":\"live\"}\n\n");
    expect(&quiet, "");
    say(w, "quiet", "x", 1);
    expect(&both, "data: x\n\n");
    expect(&quiet, "data: x\n\n");
    client_drop(&both);
    client_drop(&quiet);
}

static void attaching_while_the_connection_is_lost_goes_live_later(void **state) {
    struct world *w = *state;
    struct client a, b;
    client_open(w, &a, "t", FRAME_FORM_DATA);
    confirm(w, "t", false);
    lose_connection(w);
    client_open(w, &b, "t", FRAME_FORM_DATA);
    expect(&b, "open\n");
    confirm(w, "t", true);
    expect(
        &b,
        "event: relay.live\ndata: {\"topics\":[\"t\"]}\n\n"); /* and no reset: it missed nothing */
    client_drop(&a);
    client_drop(&b);
}

/* ---- time and the end ---- */

static void advance(struct world *w, uint64_t ms) {
    for (uint64_t end = w->now_ms + ms; w->now_ms < end;) {
        w->now_ms += 100;
        hub_tick(w->hub, w->now_ms);
        turns(w);
    }
}

static void a_quiet_stream_gets_heartbeats_and_a_busy_one_none(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORM_DATA);
    confirm(w, "t", false);
    advance(w, 2 * HEARTBEAT);
    buf_reset(&c.seen);
    advance(w, 5 * HEARTBEAT);
    assert_true(c.seen.len >= 4 * 3 && c.seen.len <= 6 * 3);
    buf_reset(&c.seen);
    for (int i = 0; i < 50; i++) {
        say(w, "t", "x", 1);
        advance(w, 100);
    }
    assert_null(strstr(c.seen.data, ":\n\n"));
    client_drop(&c);
}

static void no_silence_is_longer_than_the_heartbeat(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORM_DATA);
    confirm(w, "t", false);
    for (int i = 0; i < 10; i++) {
        say(w, "t", "x", 1);
        buf_reset(&c.seen);
        advance(w, HEARTBEAT + 300); /* two looks, each up to a tick late */
        assert_non_null(strstr(c.seen.data, ":\n\n"));
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
    confirm(w, "t", false);
    for (int i = 0; i < 100; i++) {
        say(w, "t", "x", 1);
        advance(w, HEARTBEAT / 10);
        pings += strstr(c.seen.data, "event: relay.ping\ndata: {}\n\n") != NULL;
        assert_null(strstr(c.seen.data, ":\n\n"));
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
        client_open(w, &c[i], i % 2 ? "a,b" : "b", FRAME_FORM_DATA);
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
        assert_non_null(strstr(c[i].seen.data, "retry: "));
        client_drop(&c[i]);
    }
}

static void a_client_may_vanish_while_it_is_flushed(void **state) {
    struct world *w = *state;
    struct client c[3];
    for (int i = 0; i < 3; i++)
        client_open(w, &c[i], "t", FRAME_FORM_DATA);
    confirm(w, "t", false);
    for (int i = 0; i < 3; i++)
        buf_reset(&c[i].seen);
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
    client_open(w, &c[0], "t", FRAME_FORM_DATA);
    expect(&c[1], "open\n");
    expect(&c[0], "open\n");
    client_drop(&c[0]);
    client_drop(&c[1]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(live_waits_for_every_topic),
        TEST(a_topic_is_asked_for_once_and_given_up_with_its_last),
        TEST(a_new_form_is_asked_for_and_waited_for),
        TEST(an_answer_to_an_earlier_topic_of_that_name_confirms_nothing),
        TEST(a_full_outbox_drops_and_one_reset_tells),
        TEST(a_gap_is_told_behind_what_is_queued),
        TEST(a_lost_connection_resets_topics_that_carried_live_events),
        TEST(attaching_while_the_connection_is_lost_goes_live_later),
        TEST(a_quiet_stream_gets_heartbeats_and_a_busy_one_none),
        TEST(no_silence_is_longer_than_the_heartbeat),
        TEST(pings_do_not_depend_on_events),
        TEST(drain_ends_every_stream_within_the_window),
        TEST(a_client_may_vanish_while_it_is_flushed),
        TEST(detaching_one_that_waits_for_its_flush_leaves_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
