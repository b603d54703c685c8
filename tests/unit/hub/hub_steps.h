/* A hub, streams that keep what they are sent, and a bus that is the test. */
#ifndef TESTS_UNIT_HUB_STEPS_H
#define TESTS_UNIT_HUB_STEPS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/base/mem.h"
#include "relay/hub/hub.h"
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
    struct hub_metrics metrics;
    struct bus_fake bus;
    uint64_t now_ms;
};

static inline uint64_t fixed_clock(void) {
    return 5000;
}

static inline void send_request(void *ctx, struct bus_request *r) {
    struct bus_fake *bus = ctx;
    bus->requests[bus->len++] = r;
}

static inline void client_flush(struct stream *s) {
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

static inline void client_finish(struct stream *s, enum hub_end why) {
    struct client *c = container_of(s, struct client, stream);
    c->finished = true;
    c->why = why;
}

static const struct stream_ops ops = {client_flush, client_finish};

static inline void turns(struct world *w) {
    for (int i = 0; hub_turn(w->hub); i++)
        assert_true(i < 1000);
}

static inline void client_open(struct world *w, struct client *c, const char *topics,
                               enum frame_format format) {
    struct hub_topic_name names[8];
    size_t n = 0;
    char copy[64];
    strcpy(copy, topics);
    for (char *save = NULL, *t = strtok_r(copy, ",", &save); t != NULL;
         t = strtok_r(NULL, ",", &save))
        names[n++] = (struct hub_topic_name){t, strlen(t)};
    struct hub_subscription_spec spec = {
        .topics = names, .topics_len = n, .format = format, .opening = frame_raw("open\n", 5)};
    *c = (struct client){.stream = {&ops}};
    c->subscriber = hub_attach(w->hub, &spec, &c->stream, w->now_ms);
    turns(w);
}

static inline void client_drop(struct client *c) {
    if (c->subscriber != NULL)
        hub_detach(c->subscriber);
    buf_fini(&c->seen);
}

/* What the client has seen since the last call. */
static inline void expect(struct client *c, const char *text) {
    assert_string_equal(c->seen.data != NULL ? c->seen.data : "", text);
    buf_reset(&c->seen);
}

static inline void say(struct world *w, const char *topic, const char *data, unsigned formats) {
    struct frame_source source = {.topic = topic,
                                  .topic_len = strlen(topic),
                                  .event = {.data = data, .data_len = strlen(data)}};
    struct bus_event *e = bus_event_new(frame_encode(&source, formats), topic, strlen(topic), 4000);
    hub_receive(w->hub, &e->base);
    turns(w);
}

static inline struct event_id id_at(uint64_t ms) {
    return (struct event_id){.birth = "b", .epoch = 1, .ms = ms};
}

/* A durable event; its data is its time. */
static inline struct bus_event *durable(const char *topic, uint64_t ms) {
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

static inline void say_durable(struct world *w, const char *topic, uint64_t ms) {
    hub_receive(w->hub, &durable(topic, ms)->base);
    turns(w);
}

static inline struct bus_request *last_request(struct world *w) {
    assert_true(w->bus.len > 0);
    return w->bus.requests[w->bus.len - 1];
}

static inline size_t count_requests(const struct world *w, enum bus_request_kind kind) {
    size_t n = 0;
    for (size_t i = 0; i < w->bus.len; i++)
        n += w->bus.requests[i]->kind == kind;
    return n;
}

static inline struct bus_replay *last_replay(struct world *w) {
    struct bus_request *r = last_request(w);
    assert_int_equal(r->kind, BUS_REPLAY);
    return (struct bus_replay *)r;
}

static inline void answer(struct world *w, struct bus_replayed *m) {
    m->base.kind = BUS_REPLAYED;
    hub_receive(w->hub, &m->base);
    turns(w);
}

/* Answer a replay: live from @ms on, 0: without a cursor. */
static inline void answer_live(struct world *w, const struct bus_replay *r, uint64_t ms) {
    struct bus_replayed *m = bus_replayed_new(r->token, 0);
    m->live = true;
    if (ms != 0)
        m->cursor.at = m->start.at = id_at(ms);
    answer(w, m);
}

static inline void client_live(struct world *w, struct client *c, const char *topics, uint64_t ms) {
    client_open(w, c, topics, FRAME_FORMAT_DATA);
    answer_live(w, last_replay(w), ms);
    buf_reset(&c->seen);
}

static inline void gap(struct world *w, const char *topic, unsigned reasons) {
    hub_receive(w->hub, &bus_gap_new(topic, strlen(topic), reasons)->base);
    turns(w);
}

static inline struct bus_event *slice(uint64_t from, uint64_t to) {
    struct buf bodies = BUF_INIT;
    for (uint64_t ms = from; ms <= to; ms++)
        buf_printf(&bodies, "data: %d\n\n", (int)ms);
    struct bus_event *e =
        bus_event_new(frame_of_bodies(bodies.data, bodies.len, FRAME_FORMAT_DATA), NULL, 0, 0);
    e->durable = true;
    e->count = (uint32_t)(to - from + 1);
    e->id = id_at(to);
    buf_fini(&bodies);
    return e;
}

static inline void answer_slice(struct world *w, const struct bus_replay *r, uint64_t from,
                                uint64_t to) {
    struct bus_replayed *m = bus_replayed_new(r->token, 0);
    m->slice = slice(from, to);
    m->cursor.at = id_at(to);
    answer(w, m);
}

static inline int setup(void **state) {
    struct world *w = mem_zalloc(sizeof(*w));
    struct hub_options options = {.outbox_limit_bytes = LIMIT,
                                  .heartbeat_ms = HEARTBEAT,
                                  .retry_ms = 100,
                                  .worker = 3,
                                  .now_us = fixed_clock,
                                  .send = send_request,
                                  .send_ctx = &w->bus};
    w->now_ms = 100000;
    w->hub = hub_new(&options, &w->metrics, w->now_ms);
    *state = w;
    return 0;
}

static inline int teardown(void **state) {
    struct world *w = *state;
    assert_int_equal(metric_get(&w->metrics.subscribers), 0);
    assert_int_equal(metric_get(&w->metrics.lagging), 0);
    assert_int_equal(metric_get(&w->metrics.topics), 0);
    hub_free(w->hub);
    for (size_t i = 0; i < w->bus.len; i++)
        free(w->bus.requests[i]);
    free(w);
    return 0;
}

/* A test of this hub; nothing may be left at its end. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
