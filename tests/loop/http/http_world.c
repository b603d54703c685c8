/* A worker's server with a bus that is the test; see http_world.h. */
#include "tests/loop/http/http_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/wheel.h"
#include "relay/http/chunks.h"
#include "tests/loop/http/awkward.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 30000, SMALL_BUFFER_BYTES = 2048 };

/* ---- the bus ---- */

static void answer_live(struct world *w, struct bus_replay *r) {
    struct bus_replayed *m = bus_replayed_new(r->token, 0);
    m->live = true;
    hub_receive(w->hub, &m->base);
    free(r);
}

void world_go_live(struct world *w) {
    for (size_t i = 0; i < w->replays_len; i++)
        answer_live(w, w->replays[i]);
    w->replays_len = 0;
}

static void take_request(void *ctx, struct bus_request *r) {
    struct world *w = ctx;
    if (r->kind == BUS_PUBLISH) {
        assert_true(w->publishes_len < WORLD_REQUESTS);
        w->publishes[w->publishes_len++] = (struct bus_publish *)r;
    } else if (r->kind == BUS_REPLAY && w->holds_replays) {
        assert_true(w->replays_len < WORLD_REQUESTS);
        w->replays[w->replays_len++] = (struct bus_replay *)r;
    } else if (r->kind == BUS_REPLAY) {
        answer_live(w, (struct bus_replay *)r);
    } else {
        free(r);
    }
}

void world_event_bytes(struct world *w, const char *topic, const void *data, size_t len) {
    struct frame_source source = {
        .topic = topic, .topic_len = strlen(topic), .event = {.data = data, .data_len = len}};
    struct frame *frame = frame_encode(&source, (1u << FRAME_FORMATS) - 1);
    struct bus_event *e = bus_event_new(frame, topic, strlen(topic), clock_mono_us());
    hub_receive(w->hub, &e->base);
}

void world_event(struct world *w, const char *topic, const char *data) {
    world_event_bytes(w, topic, data, strlen(data));
}

void world_answer_publish(struct world *w, int status) {
    assert_true(w->publishes_len > 0);
    struct bus_publish *p = w->publishes[0];
    memmove(w->publishes, w->publishes + 1, --w->publishes_len * sizeof(w->publishes[0]));
    p->status = status;
    p->base.answer.kind = BUS_PUBLISHED;
    if (p->durable && status == RELAY_OK) {
        struct buf ids = BUF_INIT;
        for (size_t i = 0; i < p->topics_len; i++)
            buf_append(&ids, WORLD_ID, sizeof(WORLD_ID));
        p->ids = buf_detach(&ids);
    }
    server_published(w->server, p);
}

/* ---- life ---- */

static void fill_page(void *arg, struct http_page *page) {
    (void)arg;
    buf_puts(&page->body, "page");
}

static void fill_large(void *arg, struct http_page *page) {
    (void)arg;
    memset(buf_reserve(&page->body, WORLD_LARGE_BYTES), 'x', WORLD_LARGE_BYTES);
    page->body.len = WORLD_LARGE_BYTES;
}

static uint64_t or (uint64_t value, uint64_t otherwise) {
    return value != 0 ? value : otherwise;
}

static void open_listener(struct world *w, int send_buffer_bytes) {
    struct buf why = BUF_INIT;
    struct listener_options options = {
        .host = "127.0.0.1", .sockets = 1, .send_buffer_bytes = send_buffer_bytes};
    assert_int_equal(listener_open(&w->listener, &options, &why), RELAY_OK);
    buf_fini(&why);
}

void world_start(struct world *w, const struct world_options *o) {
    static char cors_origin[] = "https://page.example", *cors_origins[] = {cors_origin};
    memset(w, 0, sizeof(*w));
    w->routes[0] = (struct http_route){"/page", fill_page, NULL};
    w->routes[1] = (struct http_route){"/large", fill_large, NULL};
    w->holds_replays = o->holds_replays;
    w->shared.max_connections = (unsigned) or (o->max_connections, 1000);
    struct hub_options hub = {.outbox_limit_bytes = or (o->outbox_limit_bytes, 64 * 1024 * 1024),
                              .heartbeat_ms = or (o->heartbeat_ms, 3600 * 1000),
                              .max_age_ms = o->max_age_ms,
                              .retry_ms = 1000,
                              .now_us = clock_mono_us,
                              .send = take_request,
                              .send_ctx = w};
    struct http_options http = {
        .shared = &w->shared,
        .origins = {.cors_origins = cors_origins, .cors_origins_len = 1},
        .routes = w->routes,
        .trusted_proxies = o->trusted_proxies,
        .max_topics = 16,
        .max_streams = 256,
        .allow_publish = true,
        .header_timeout_ms = WORLD_HEADER_MS,
        .body_timeout_ms = WORLD_BODY_MS,
        .idle_timeout_ms = WORLD_IDLE_MS,
        .write_timeout_ms = WORLD_WRITE_MS,
        .send = take_request,
        .send_ctx = w,
    };
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->hub = hub_new(&hub, &w->hub_metrics, clock_mono_ms());
    w->server = server_new(&w->loop, &http, w->hub, &w->metrics);
    open_listener(w, o->send_buffer_bytes);
    server_listen(w->server, w->listener.fds[0],
                  (struct http_door){.loopback = true, .proxied = o->proxied});
}

static void on_closed(void *arg) {
    struct world *w = arg;
    w->closed++;
}

void world_close_server(struct world *w) {
    server_close(w->server, on_closed, w);
    assert_int_equal(w->closed, 0); /* it is told by the loop, never from within */
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(w->closed, 1);
    assert_int_equal(server_connections(w->server), 0);
    assert_int_equal(atomic_load(&w->shared.connections), 0);
    assert_int_equal(metric_get(&w->hub_metrics.subscribers), 0);
    assert_int_equal(metric_get(&w->hub_metrics.lagging), 0);
    assert_int_equal(metric_get(&w->hub_metrics.topics), 0);
}

void world_stop(struct world *w) {
    world_close_server(w);
    while (w->publishes_len > 0)
        world_answer_publish(w, RELAY_ECANCELED);
    server_free(w->server);
    hub_free(w->hub);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    listener_fini(&w->listener);
    for (size_t i = 0; i < w->replays_len; i++)
        free(w->replays[i]);
}

/* ---- transports ---- */

static bool awkward;

int world_be_awkward(void **state) {
    (void)state;
    awkward = true;
    return 0;
}

int world_be_plain(void **state) {
    (void)state;
    awkward = false;
    return 0;
}

/* A connection that was accepted in this turn of the loop has read nothing yet. */
static void change_transports(struct world *w) {
    const struct conn *c = server_newest_connection(w->server);
    for (; awkward && c != NULL; c = c->next)
        awkward_take_over((struct transport *)(uintptr_t)&c->transport);
}

/* ---- turns ---- */

void world_pump(struct world *w) {
    uint64_t now_ms = clock_mono_ms() + w->skew_ms;
    uv_run(&w->loop, UV_RUN_NOWAIT);
    change_transports(w);
    server_tick(w->server, now_ms);
    hub_tick(w->hub, now_ms);
    while (hub_turn(w->hub))
        ;
}

const struct h1 *world_newest(const struct world *w) {
    const struct conn *c = server_newest_connection(w->server);
    return c != NULL ? container_of(c, const struct h1, conn) : NULL;
}

void world_until(struct world *w, bool (*ready)(void *arg), void *arg) {
    uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;
    for (world_pump(w); !ready(arg); world_pump(w)) {
        assert_true(clock_mono_ms() < end_ms);
        usleep(300);
    }
}

bool world_has_publish(void *arg) {
    const struct world *w = arg;
    return w->publishes_len > 0;
}

bool world_is_empty(void *arg) {
    const struct world *w = arg;
    return server_connections(w->server) == 0;
}

void world_skip(struct world *w, uint64_t ms) {
    w->skew_ms += ms + 2 * (uint64_t)WHEEL_TICK_MS;
    world_pump(w);
}

/* ---- a client ---- */

void client_open(struct client *c, struct world *w, int receive_buffer_bytes) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    *c = (struct client){.world = w, .fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (receive_buffer_bytes > 0)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(int));
    assert_int_equal(getsockname(w->listener.fds[0], (struct sockaddr *)&address, &len), 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

/* The server reads while we write: what it leaves in the kernel must not block the test. */
void client_send_bytes(struct client *c, const void *bytes, size_t len) {
    uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            c->reset = true;
            return;
        }
        assert_true(n > 0 || errno == EAGAIN);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
        assert_true(clock_mono_ms() < end_ms);
        world_pump(c->world);
    }
}

void client_send(struct client *c, const char *text) {
    client_send_bytes(c, text, strlen(text));
}

void client_read(struct client *c) {
    while (!c->ended) {
        ssize_t n = recv(c->fd, buf_reserve(&c->seen, 65536), 65536, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        c->ended = n <= 0;
        c->reset = c->reset || n < 0;
        c->seen.len += n > 0 ? (size_t)n : 0;
        c->seen.data[c->seen.len] = '\0';
    }
}

bool client_has(const struct client *c, const char *text) {
    return c->seen.len > 0 && memmem(c->seen.data, c->seen.len, text, strlen(text)) != NULL;
}

struct expectation {
    struct client *client;
    const char *text; /* NULL: the end */
};

static bool is_met(void *arg) {
    struct expectation *e = arg;
    client_read(e->client);
    return e->client->ended || (e->text != NULL && client_has(e->client, e->text));
}

void client_expect(struct client *c, const char *text) {
    world_until(c->world, is_met, &(struct expectation){c, text});
    if (!client_has(c, text))
        fail_msg("ended without \"%s\" after: %s", text, c->seen.data);
}

void client_expect_end(struct client *c) {
    world_until(c->world, is_met, &(struct expectation){c, NULL});
}

void client_forget(struct client *c) {
    buf_fini(&c->seen);
}

void client_close(struct client *c) {
    buf_fini(&c->seen);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void client_abort(struct client *c) {
    struct linger at_once = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    client_close(c);
}

void client_body(const struct client *c, struct buf *body) {
    assert_true(c->seen.len > 0);
    const char *end = memmem(c->seen.data, c->seen.len, "\r\n\r\n", 4);
    assert_non_null(end);
    const char *start = end + 4;
    size_t len = c->seen.len - (size_t)(start - c->seen.data);
    const char *coding = memmem(c->seen.data, (size_t)(start - c->seen.data), "chunked\r\n", 9);
    if (coding == NULL) {
        buf_append(body, start, len);
        return;
    }
    struct chunks chunks = {0};
    size_t taken = chunks_feed(&chunks, start, len, body);
    assert_null(chunks.fault);
    assert_int_equal(taken, len);
    assert_int_equal(chunks.complete, c->ended);
}

void client_stream(struct client *c, const char *topics) {
    struct buf request = BUF_INIT;
    buf_printf(&request, "GET /sse?topics=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", topics);
    client_send(c, request.data);
    buf_fini(&request);
    client_expect(c, "\n:\n\r\n");
}

void world_start_stream(struct world *w, const struct world_options *options, struct client *c,
                        const char *topics) {
    world_start(w, options);
    client_open(c, w, options->send_buffer_bytes > 0 ? SMALL_BUFFER_BYTES : 0);
    client_stream(c, topics);
}
