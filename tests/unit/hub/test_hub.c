/* The hub against a stream that keeps what it is sent, and a bus that is this test. */
#include "relay/hub/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/base/mem.h"
#include "tests/unit/unit.h"

enum { LIMIT = 200, HEARTBEAT = 1000 };

struct bus_fake {
    struct bus_request *requests[256];
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
    bus->requests[bus->len++] = r;
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

static struct event_id id_at(uint64_t ms) {
    return (struct event_id){.birth = "b", .epoch = 1, .ms = ms};
}

/* A durable event; its data is its time. */
static struct bus_event *durable(const char *topic, uint64_t ms) {
    char data[24];
    struct buf id = BUF_INIT;
    struct event_id at = id_at(ms);
    id_format(&id, &at);
    snprintf(data, sizeof(data), "%d", (int)ms);
    struct frame_source source = {.topic = topic,
                                  .topic_len = strlen(topic),
                                  .event = {.data = data, .data_len = strlen(data)},
                                  .id = id.data,
                                  .id_len = id.len};
    struct bus_event *e = bus_event_new(frame_encode(&source, 1), topic, strlen(topic), 4000);
    e->durable = true;
    e->id = at;
    buf_fini(&id);
    return e;
}

static void say_durable(struct world *w, const char *topic, uint64_t ms) {
    hub_receive(w->hub, &durable(topic, ms)->base);
    turns(w);
}

static struct bus_request *last_request(struct world *w) {
    assert_true(w->bus.len > 0);
    return w->bus.requests[w->bus.len - 1];
}

static size_t count_requests(const struct world *w, enum bus_request_kind kind) {
    size_t n = 0;
    for (size_t i = 0; i < w->bus.len; i++)
        n += w->bus.requests[i]->kind == kind;
    return n;
}

static struct bus_replay *last_replay(struct world *w) {
    struct bus_request *r = last_request(w);
    assert_int_equal(r->kind, BUS_REPLAY);
    return (struct bus_replay *)r;
}

static void answer(struct world *w, struct bus_replayed *m) {
    m->base.kind = BUS_REPLAYED;
    hub_receive(w->hub, &m->base);
    turns(w);
}

/* Answer a replay: live from @ms on, 0: without a cursor. */
static void answer_live(struct world *w, const struct bus_replay *r, uint64_t ms) {
    struct bus_replayed *m = bus_replayed_new(r->token, 0);
    m->live = true;
    m->has_cursor = ms != 0;
    m->cursor = m->start = id_at(ms);
    answer(w, m);
}

static void client_live(struct world *w, struct client *c, const char *topics, uint64_t ms) {
    client_open(w, c, topics, FRAME_FORM_DATA);
    answer_live(w, last_replay(w), ms);
    buf_reset(&c->seen);
}

static void gap(struct world *w, const char *topic, unsigned reasons) {
    hub_receive(w->hub, &bus_gap_new(topic, strlen(topic), reasons)->base);
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

static void live_comes_with_the_position(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "a,b", FRAME_FORM_DATA);
    expect(&c, "open\n");
    assert_int_equal(w->bus.len, 3);
    struct bus_replay *r = last_replay(w);
    assert_int_equal(r->base.worker, 3);
    assert_int_equal(r->topics_len, 2);
    assert_string_equal(r->names + 2, "b");
    assert_int_equal(r->start.kind, CURSOR_NONE);
    say(w, "a", "early", 1);
    say_durable(w, "a", 5);
    expect(&c, "");
    answer_live(w, r, 7);
    expect(&c, "event: relay.live\nid: b.1.7-0\ndata: {\"topics\":[\"a\",\"b\"]}\n\n");
    say_durable(w, "a", 7); /* at the cursor: it was before the stream was live */
    say_durable(w, "b", 8);
    say(w, "b", "live", 1);
    say(w, "other", "3", 1);
    expect(&c, "id: b.1.8-0\ndata: 8\n\ndata: live\n\n");
    client_drop(&c);
}

static void a_topic_is_asked_for_once_and_given_up_with_its_last(void **state) {
    struct world *w = *state;
    struct client a, b;
    client_live(w, &a, "t", 1);
    client_live(w, &b, "t", 1);
    assert_int_equal(count_requests(w, BUS_SUBSCRIBE), 1);
    client_drop(&a);
    assert_int_equal(count_requests(w, BUS_UNSUBSCRIBE), 0);
    client_drop(&b);
    assert_int_equal(last_request(w)->kind, BUS_UNSUBSCRIBE);
}

static void a_new_form_is_asked_for_before_the_replay(void **state) {
    struct world *w = *state;
    struct client a, b;
    client_live(w, &a, "t", 1);
    client_open(w, &b, "t", FRAME_FORM_JSON);
    const struct bus_subscribe *r = (struct bus_subscribe *)w->bus.requests[w->bus.len - 2];
    assert_int_equal(r->base.kind, BUS_SUBSCRIBE);
    assert_int_equal(r->forms, (1 << FRAME_FORM_DATA) | (1 << FRAME_FORM_JSON));
    assert_int_equal(last_replay(w)->form, FRAME_FORM_JSON);
    say(w, "t", "x", 1 << FRAME_FORM_DATA); /* was on its way before the bus knew */
    expect(&b, "open\n");
    client_drop(&a);
    client_drop(&b);
}

static void an_answer_finds_nobody_once_the_client_has_gone(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORM_DATA);
    struct bus_replay stale = *last_replay(w);
    client_drop(&c);
    client_open(w, &c, "t", FRAME_FORM_DATA);
    answer_live(w, &stale, 1);
    expect(&c, "open\n");
    client_drop(&c);
}

/* ---- replays ---- */

static struct bus_event *slice(uint64_t from, uint64_t to) {
    struct buf bodies = BUF_INIT;
    for (uint64_t ms = from; ms <= to; ms++)
        buf_printf(&bodies, "data: %d\n\n", (int)ms);
    struct bus_event *e =
        bus_event_new(frame_of_bodies(bodies.data, bodies.len, FRAME_FORM_DATA), NULL, 0, 0);
    e->durable = true;
    e->count = (uint32_t)(to - from + 1);
    e->id = id_at(to);
    buf_fini(&bodies);
    return e;
}

static void answer_slice(struct world *w, const struct bus_replay *r, uint64_t from, uint64_t to) {
    struct bus_replayed *m = bus_replayed_new(r->token, 0);
    m->slice = slice(from, to);
    m->has_cursor = true;
    m->cursor = id_at(to);
    answer(w, m);
}

static void the_next_slice_waits_until_the_outbox_has_drained(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORM_DATA);
    buf_reset(&c.seen);
    c.stuck = true;
    answer_slice(w, last_replay(w), 1, 20);
    assert_int_equal(count_requests(w, BUS_REPLAY), 1); /* more than half of the outbox is taken */
    say_durable(w, "t", 30);
    c.stuck = false;
    client_flush(&c.stream);
    assert_int_equal(count_requests(w, BUS_REPLAY), 2);
    struct bus_replay *r = last_replay(w);
    assert_int_equal(r->start.kind, CURSOR_ID);
    assert_int_equal(r->start.id.ms, 20);
    assert_int_equal(r->replayed, 20);
    answer_slice(w, r, 21, 22);
    answer_live(w, last_replay(w), 30);
    say_durable(w, "t", 31);
    assert_non_null(strstr(c.seen.data,
                           "data: 20\n\ndata: 21\n\ndata: 22\n\nevent: relay.live\nid: b.1.u-0\n"));
    assert_non_null(strstr(c.seen.data, "data: 31\n\n"));
    assert_null(
        strstr(c.seen.data, "data: 30\n\n")); /* the bus says that 30 was part of what it sent */
    assert_int_equal(figure_get(&w->figures.deliveries), 23);
    client_drop(&c);
}

static void a_reset_comes_before_what_follows_it(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "a,b", FRAME_FORM_DATA);
    buf_reset(&c.seen);
    struct bus_replayed *m = bus_replayed_new(last_replay(w)->token, 2);
    m->resets[1] = RESET_TRIMMED;
    m->slice = slice(9, 9);
    m->live = m->has_cursor = true;
    m->start = id_at(5);
    m->cursor = id_at(9);
    answer(w, m);
    expect(&c,
           "event: relay.reset\nid: b.1.5-0\ndata: {\"topics\":[\"b\"],\"reason\":\"trimmed\"}\n\n"
           "data: 9\n\n"
           "event: relay.live\nid: b.1.9-0\ndata: {\"topics\":[\"a\",\"b\"]}\n\n");
    assert_int_equal(figure_get(&w->figures.resets[0]), 1);
    client_drop(&c);
}

static void replays_under_way_are_bounded_and_the_rest_wait(void **state) {
    struct world *w = *state;
    enum { MANY = 70 };
    struct client *c = mem_zalloc(MANY * sizeof(*c));
    for (int i = 0; i < MANY; i++)
        client_open(w, &c[i], "t", FRAME_FORM_DATA);
    assert_int_equal(count_requests(w, BUS_REPLAY), 64);
    client_drop(&c[69]); /* from the line */
    client_drop(&c[0]);  /* one that was sent makes room */
    assert_int_equal(count_requests(w, BUS_REPLAY), 65);
    answer_live(w, last_replay(w), 1);
    assert_int_equal(count_requests(w, BUS_REPLAY), 66);
    for (int i = 1; i < 69; i++)
        client_drop(&c[i]);
    free(c);
}

/* Whatever cannot be answered in time goes on elsewhere, and the line moves. */
static void a_replay_that_is_put_off_takes_nobodys_place(void **state) {
    struct world *w = *state;
    enum { UNDER_WAY = 64, MANY = 2 * UNDER_WAY };
    struct client *c = mem_zalloc(MANY * sizeof(*c));
    for (int i = 0; i < MANY; i++)
        client_open(w, &c[i], "t", FRAME_FORM_DATA);
    size_t put_off = 0, patient = 0;
    for (size_t i = 0; i < w->bus.len && put_off < UNDER_WAY; i++) {
        if (w->bus.requests[i]->kind != BUS_REPLAY)
            continue;
        struct bus_replay *r = (struct bus_replay *)w->bus.requests[i];
        struct bus_replayed *m = bus_replayed_new(r->token, 0);
        m->put_off = true;
        put_off++;
        answer(w, m);
    }
    assert_int_equal(put_off, UNDER_WAY);
    for (size_t i = 0; i < w->bus.len; i++)
        if (w->bus.requests[i]->kind == BUS_REPLAY)
            patient += ((struct bus_replay *)w->bus.requests[i])->patience_ms > 1000;
    assert_int_equal(patient, UNDER_WAY);
    assert_int_equal(count_requests(w, BUS_REPLAY), MANY + patient); /* all had their turn */
    for (int i = 0; i < MANY; i++)
        client_drop(&c[i]);
    free(c);
}

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
    assert_int_equal(figure_get(&w->figures.lagging), 1);
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
    assert_int_equal(figure_get(&w->figures.lagging) + figure_get(&w->figures.replaying), 0);
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
    assert_true(figure_get(&w->figures.dropped) > 30);
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
    client_open(w, &c, "t", FRAME_FORM_DATA);
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

static void a_quiet_stream_gets_heartbeats_and_a_busy_one_none(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORM_DATA);
    answer_live(w, last_replay(w), 1);
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
    answer_live(w, last_replay(w), 1);
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
    answer_live(w, last_replay(w), 1);
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
    client_open(w, &c[0], "t", FRAME_FORM_DATA);
    expect(&c[1], "open\n");
    expect(&c[0], "open\n");
    client_drop(&c[0]);
    client_drop(&c[1]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(live_comes_with_the_position),
        TEST(a_topic_is_asked_for_once_and_given_up_with_its_last),
        TEST(a_new_form_is_asked_for_before_the_replay),
        TEST(an_answer_finds_nobody_once_the_client_has_gone),
        TEST(the_next_slice_waits_until_the_outbox_has_drained),
        TEST(a_reset_comes_before_what_follows_it),
        TEST(replays_under_way_are_bounded_and_the_rest_wait),
        TEST(a_replay_that_is_put_off_takes_nobodys_place),
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
