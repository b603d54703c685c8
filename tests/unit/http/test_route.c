/* Requests as another protocol than HTTP/1 brings them: no connection, fields by name and value,
 * many exchanges that share one window. Whoever serves must not notice. */
#include "relay/http/route.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/http/authority.h"
#include "relay/http/post.h"
#include "tests/unit/unit.h"

enum { FIELDS = 8, REQUESTS = 8 };

/* What all exchanges of a test share. */
struct world {
    struct http_service service;
    struct http_shared shared;
    struct http_metrics metrics;
    struct hub_metrics hub_metrics;
    struct http_route routes[2];
    bool loopback;
    size_t window; /* bytes that all streams together may send */
    struct bus_publish *publish;
};

/* One request and what came back. */
struct asked {
    struct exchange exchange;
    struct stream stream;
    struct world *world;
    struct request request;
    struct buf bytes;
    struct request_field fields[FIELDS];
    unsigned answers;
    int status;
    bool streamed, waits, finishing, ended;
    struct buf head; /* "name: value\n" for each field */
    struct buf body;
};

/* ---- the bus ---- */

static void take_request(void *ctx, struct bus_request *r) {
    struct world *w = ctx;
    if (r->kind == BUS_PUBLISH) {
        assert_null(w->publish);
        w->publish = (struct bus_publish *)r;
        return;
    }
    if (r->kind == BUS_REPLAY) {
        struct bus_replayed *m = bus_replayed_new(((struct bus_replay *)r)->token, 0);
        m->live = true;
        hub_receive(w->service.hub, &m->base);
    }
    free(r);
}

static void send_event(struct world *w, const char *topic, const char *data) {
    struct frame_source source = {.topic = topic,
                                  .topic_len = strlen(topic),
                                  .event = {.data = data, .data_len = strlen(data)}};
    struct frame *frame = frame_encode(&source, (1u << FRAME_FORMATS) - 1);
    struct bus_event *e = bus_event_new(frame, topic, strlen(topic), clock_mono_us());
    hub_receive(w->service.hub, &e->base);
}

static void turn(struct world *w) {
    while (hub_turn(w->service.hub))
        ;
}

/* ---- the provider ---- */

static struct asked *asked_of(struct exchange *x) {
    return container_of(x, struct asked, exchange);
}

/* A field by name and value has no line in it, and says nothing of the connection. */
static void record_head(struct asked *a, const struct answer *answer) {
    static const char *const of_http1[] = {"Content-Length", "Transfer-Encoding", "Connection",
                                           "Date", "Keep-Alive"};
    assert_int_equal(a->answers++, 0);
    a->status = answer->status;
    a->streamed = answer->streamed;
    for (size_t i = 0; i < answer->fields.len; i++) {
        const struct field *f = &answer->fields.list[i];
        assert_null(strpbrk(f->name, ": \r\n"));
        for (size_t n = 0; n < sizeof(of_http1) / sizeof(of_http1[0]); n++)
            assert_int_not_equal(strcasecmp(f->name, of_http1[n]), 0);
        assert_null(memchr(f->value.data, '\n', f->value.len));
        assert_null(memchr(f->value.data, '\r', f->value.len));
        buf_printf(&a->head, "%s: %.*s\n", f->name, (int)f->value.len, f->value.data);
    }
}

static void on_answer(struct exchange *x, const struct answer *answer) {
    struct asked *a = asked_of(x);
    record_head(a, answer);
    if (x->request == NULL || x->request->method != HTTP_METHOD_HEAD)
        buf_append(&a->body, answer->body.data, answer->body.len);
    a->ended = true;
}

/* Within the window that all share, and not a byte more. */
static void write_stream(struct asked *a) {
    struct subscriber *s = a->exchange.subscriber;
    while (s != NULL && hub_unsent(s) > 0 && a->world->window > 0) {
        struct iovec iov;
        assert_int_equal(hub_gather(s, &iov, 1), 1);
        size_t n = iov.iov_len < a->world->window ? iov.iov_len : a->world->window;
        buf_append(&a->body, iov.iov_base, n);
        a->world->window -= n;
        hub_written(s, n);
    }
    if (s != NULL && a->finishing && hub_unsent(s) == 0) {
        exchange_end_stream(&a->exchange, HUB_END_MAX_AGE);
        a->ended = true;
    }
}

static void on_flush(struct stream *s) {
    write_stream(container_of(s, struct asked, stream));
}

static void on_finish(struct stream *s, enum hub_end why) {
    struct asked *a = container_of(s, struct asked, stream);
    assert_int_equal(why, HUB_END_MAX_AGE);
    a->finishing = true;
}

static const struct stream_ops stream_ops = {on_flush, on_finish};

static void on_stream(struct exchange *x, const struct answer *head,
                      struct hub_subscription_spec *spec) {
    struct asked *a = asked_of(x);
    record_head(a, head);
    spec->framing = FRAMING_NONE;
    a->stream.ops = &stream_ops;
    x->request = NULL;
    x->subscriber = hub_attach(x->service->hub, spec, &a->stream, clock_mono_ms());
}

static void on_wait(struct exchange *x) {
    asked_of(x)->waits = true;
}

static void on_abort(struct exchange *x, enum hub_end why) {
    (void)why;
    exchange_fini(x);
}

static struct ip_address on_peer(const struct exchange *x) {
    (void)x;
    return (struct ip_address){0};
}

static const void *connection_of(const struct exchange *x) {
    return container_of(x, const struct asked, exchange)->world;
}

static const struct exchange_ops ops = {on_answer, on_stream, on_wait,
                                        on_abort,  on_peer,   connection_of};

/* ---- requests ---- */

static struct place put(struct asked *a, struct span s) {
    struct place p = {(uint16_t)a->bytes.len, (uint16_t)s.len};
    buf_append(&a->bytes, s.data, s.len);
    return p;
}

/* @fields: name, value, name, value, NULL. @target: a path, and perhaps a query. */
static void ask(struct asked *a, struct world *w, enum http_method method, const char *target,
                const char *const *fields, const char *body) {
    const char *mark = strchr(target, '?');
    memset(a, 0, sizeof(*a));
    a->world = w;
    exchange_init(&a->exchange, &ops, &w->service);
    a->exchange.loopback = w->loopback;
    a->request.method = method;
    a->request.path =
        (struct span){target, mark != NULL ? (size_t)(mark - target) : strlen(target)};
    a->request.query = mark != NULL ? span_of(mark + 1) : (struct span){NULL, 0};
    for (size_t i = 0; fields[i] != NULL; i += 2) {
        struct request_field *f = &a->fields[a->request.fields_len++];
        f->name = put(a, span_of(fields[i]));
        f->value = put(a, span_of(fields[i + 1]));
    }
    a->request.bytes = a->bytes.data;
    a->request.fields = a->fields;
    a->exchange.request = &a->request;
    route_handler.on_head(&a->exchange);
    if (a->answers > 0 || body == NULL)
        return;
    a->request.body = span_of(body);
    route_handler.on_request(&a->exchange);
}

static void forget(struct asked *a) {
    exchange_fini(&a->exchange);
    buf_fini(&a->bytes);
    buf_fini(&a->head);
    buf_fini(&a->body);
}

static void assert_head(const struct asked *a, int status, const char *fields) {
    assert_int_equal(a->answers, 1);
    assert_int_equal(a->status, status);
    assert_string_equal(a->head.data, fields);
}

static void assert_has(const struct buf *b, const char *text) {
    if (b->len == 0 || strstr(b->data, text) == NULL)
        fail_msg("no \"%s\" in: %s", text, b->len > 0 ? b->data : "nothing");
}

static const char *const local[] = {"host", "localhost", NULL};
static const char *const source[] = {"host", "localhost", "accept", "text/event-stream", NULL};

/* ---- the world ---- */

static void fill_page(void *arg, struct http_page *page) {
    static const struct field no_store[] = {FIELD("Cache-Control", "no-store"), {NULL, {NULL, 0}}};
    (void)arg;
    page->fields = no_store;
    buf_puts(&page->body, "page");
}

static char listed[] = "https://page.example", *cors_origins[] = {listed};

static void start(struct world *w) {
    memset(w, 0, sizeof(*w));
    w->shared.max_connections = 100;
    w->routes[0] = (struct http_route){"/page", fill_page, NULL};
    w->window = SIZE_MAX / 2;
    w->service.handler = &route_handler;
    w->service.metrics = &w->metrics;
    w->service.options =
        (struct http_options){.shared = &w->shared,
                              .origins = {.cors_origins = cors_origins, .cors_origins_len = 1},
                              .routes = w->routes,
                              .max_topics = 16,
                              .allow_publish = true,
                              .send = take_request,
                              .send_ctx = w};
    rng_init(&w->service.rng);
    struct hub_options hub = {.outbox_limit_bytes = 1024 * 1024,
                              .heartbeat_ms = 3600 * 1000,
                              .max_age_ms = 1000,
                              .retry_ms = 1000,
                              .now_us = clock_mono_us,
                              .send = take_request,
                              .send_ctx = w};
    w->service.hub = hub_new(&hub, &w->hub_metrics, clock_mono_ms());
}

static void stop(struct world *w) {
    assert_int_equal(metric_get(&w->hub_metrics.subscribers), 0);
    turn(w);
    hub_free(w->service.hub);
}

/* ---- the tests ---- */

static void pages_and_errors_are_names_and_values(void **state) {
    struct world w;
    struct asked a;
    (void)state;
    start(&w);
    ask(&a, &w, HTTP_METHOD_GET, "/page", local, NULL);
    assert_head(&a, 200,
                "Vary: Origin\nContent-Type: text/plain; charset=utf-8\n"
                "X-Content-Type-Options: nosniff\nCache-Control: no-store\n");
    assert_string_equal(a.body.data, "page");
    assert_false(a.streamed);
    forget(&a);
    ask(&a, &w, HTTP_METHOD_OTHER, "/page", local, NULL);
    assert_int_equal(a.status, 405);
    assert_has(&a.head, "Allow: GET, HEAD, OPTIONS\n");
    forget(&a);
    ask(&a, &w, HTTP_METHOD_GET, "/nowhere", local, NULL);
    assert_int_equal(a.status, 404);
    assert_has(&a.body, "\"title\":\"Not Found\",\"status\":404");
    forget(&a);
    stop(&w);
}

static void a_preflight_is_answered(void **state) {
    static const char *const fields[] = {"host",
                                         "localhost",
                                         "origin",
                                         "https://page.example",
                                         "access-control-request-headers",
                                         "last-event-id",
                                         NULL};
    struct world w;
    struct asked a;
    (void)state;
    start(&w);
    ask(&a, &w, HTTP_METHOD_OPTIONS, "/sse", fields, NULL);
    assert_int_equal(a.status, 204);
    assert_has(&a.head, "Access-Control-Allow-Origin: https://page.example\n");
    assert_has(&a.head, "Access-Control-Allow-Headers: last-event-id\n");
    assert_int_equal(a.body.len, 0);
    forget(&a);
    stop(&w);
}

static void the_host_is_looked_at_on_a_loopback_listener(void **state) {
    static const char *const foreign[] = {"host", "evil.example", NULL};
    struct world w;
    struct asked a;
    (void)state;
    start(&w);
    ask(&a, &w, HTTP_METHOD_GET, "/page", foreign, NULL);
    assert_int_equal(a.status, 200);
    forget(&a);
    w.loopback = true;
    ask(&a, &w, HTTP_METHOD_GET, "/page", foreign, NULL);
    assert_int_equal(a.status, 421);
    forget(&a);
    stop(&w);
}

static void a_stream_is_the_hubs_frames_and_nothing_else(void **state) {
    struct world w;
    struct asked a;
    (void)state;
    start(&w);
    ask(&a, &w, HTTP_METHOD_GET, "/sse?topics=a,b", local, NULL);
    assert_head(&a, 200,
                "Vary: Origin\nContent-Type: text/event-stream; charset=utf-8\n"
                "Cache-Control: no-cache, no-store, no-transform\nX-Accel-Buffering: no\n"
                "X-Content-Type-Options: nosniff\n");
    assert_true(a.streamed);
    assert_null(a.exchange.request);
    turn(&w);
    send_event(&w, "b", "hello");
    turn(&w);
    assert_memory_equal(a.body.data, "retry: ", 7);
    assert_has(&a.body, "event: relay.live\n");
    assert_int_equal(memcmp(a.body.data + a.body.len - 13, "data: hello\n\n", 13), 0);
    assert_null(strchr(a.body.data, '\r'));           /* no chunks */
    hub_tick(w.service.hub, clock_mono_ms() + 10000); /* past its maximum age */
    turn(&w);
    assert_true(a.ended);
    assert_has(&a.body, "event: relay.close\n");
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_MAX_AGE]), 1);
    forget(&a);
    stop(&w);
}

static void the_head_of_a_stream_can_be_asked_for(void **state) {
    struct world w;
    struct asked a;
    (void)state;
    start(&w);
    ask(&a, &w, HTTP_METHOD_HEAD, "/sse?topic=a", local, NULL);
    assert_int_equal(a.status, 200);
    assert_true(a.streamed);
    assert_has(&a.head, "Content-Type: text/event-stream; charset=utf-8\n");
    assert_null(a.exchange.subscriber);
    forget(&a);
    stop(&w);
}

/* As the streams of an HTTP/2 connection share its window: what is shut for all waits in each
 * outbox, and each goes on by itself when it opens. */
static void streams_that_share_a_window_wait_each_for_themselves(void **state) {
    struct world w;
    struct asked a, b;
    (void)state;
    start(&w);
    ask(&a, &w, HTTP_METHOD_GET, "/sse?topic=t", local, NULL);
    ask(&b, &w, HTTP_METHOD_GET, "/sse?topic=t", local, NULL);
    turn(&w);
    size_t before = a.body.len;
    w.window = 5;
    send_event(&w, "t", "first");
    send_event(&w, "t", "second");
    turn(&w);
    assert_int_equal(a.body.len, before + 5);
    assert_true(hub_unsent(a.exchange.subscriber) > 0 && hub_unsent(b.exchange.subscriber) > 0);
    w.window = 1000;
    write_stream(&b);
    assert_has(&b.body, "data: first\n\ndata: second\n\n");
    exchange_end_stream(&b.exchange, HUB_END_CLIENT); /* its client resets it */
    forget(&b);
    write_stream(&a);
    assert_has(&a.body, "data: first\n\ndata: second\n\n");
    exchange_end_stream(&a.exchange, HUB_END_CLIENT);
    forget(&a);
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_CLIENT]), 2);
    stop(&w);
}

static void who_is_turned_away_gets_a_stream_that_ends(void **state) {
    struct world w;
    struct asked a;
    (void)state;
    start(&w);
    atomic_store(&w.shared.draining, true);
    ask(&a, &w, HTTP_METHOD_GET, "/sse?topic=t", source, NULL);
    assert_int_equal(a.status, 200);
    assert_true(a.streamed);
    assert_null(a.exchange.subscriber);
    assert_has(&a.body, "event: relay.close\n");
    assert_int_equal(memcmp(a.body.data + a.body.len - 2, "\n\n", 2), 0);
    forget(&a);
    ask(&a, &w, HTTP_METHOD_GET, "/sse?topic=t", local, NULL);
    assert_int_equal(a.status, 503);
    assert_has(&a.head, "Retry-After: ");
    assert_false(a.streamed);
    forget(&a);
    stop(&w);
}

static void a_publish_waits_and_is_answered(void **state) {
    struct world w;
    struct asked a;
    (void)state;
    start(&w);
    ask(&a, &w, HTTP_METHOD_POST, "/sse?topic=t&live", local, "hello");
    assert_true(a.waits);
    assert_int_equal(a.answers, 0);
    assert_non_null(a.exchange.request); /* its Origin is needed yet */
    assert_ptr_equal(w.publish->waiter, &a.exchange);
    w.publish->status = RELAY_OK;
    post_answer(&a.exchange, w.publish);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body.data, "{\"ids\":{\"t\":null}}\n");
    assert_null(a.exchange.publish);
    bus_publish_free(w.publish);
    forget(&a);
    stop(&w);
}

static void a_publisher_may_go_before_its_answer(void **state) {
    struct world w;
    struct asked a;
    (void)state;
    start(&w);
    ask(&a, &w, HTTP_METHOD_POST, "/sse?topic=t&live", local, "hello");
    exchange_abort(&a.exchange, HUB_END_CLIENT);
    assert_null(w.publish->waiter);
    bus_publish_free(w.publish);
    forget(&a);
    stop(&w);
}

static void what_could_not_be_read_is_answered(void **state) {
    struct world w;
    struct asked a;
    (void)state;
    start(&w);
    memset(&a, 0, sizeof(a));
    exchange_init(&a.exchange, &ops, &w.service); /* without any request */
    route_handler.on_fault(&a.exchange, 431, "It is too large.");
    assert_head(&a, 431,
                "Vary: Origin\nContent-Type: application/problem+json\n"
                "X-Content-Type-Options: nosniff\nCache-Control: no-store\n");
    assert_has(&a.body, "\"detail\":\"It is too large.\"");
    forget(&a);
    stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_and_errors_are_names_and_values),
        cmocka_unit_test(a_preflight_is_answered),
        cmocka_unit_test(the_host_is_looked_at_on_a_loopback_listener),
        cmocka_unit_test(a_stream_is_the_hubs_frames_and_nothing_else),
        cmocka_unit_test(the_head_of_a_stream_can_be_asked_for),
        cmocka_unit_test(streams_that_share_a_window_wait_each_for_themselves),
        cmocka_unit_test(who_is_turned_away_gets_a_stream_that_ends),
        cmocka_unit_test(a_publish_waits_and_is_answered),
        cmocka_unit_test(a_publisher_may_go_before_its_answer),
        cmocka_unit_test(what_could_not_be_read_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
