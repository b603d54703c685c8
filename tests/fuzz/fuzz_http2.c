/* An HTTP/2 session against the real server and hub: whatever comes behind the preface, however it
 * is cut, and whatever is published meanwhile, nothing is left of it when the client goes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/http/server.h"
#include "relay/hub/hub.h"
#include "tests/fuzz/fuzz.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void must(bool condition) {
    if (!condition)
        abort();
}

struct world {
    uv_loop_t loop;
    struct http_shared shared;
    struct http_metrics metrics;
    struct hub_metrics hub_metrics;
    struct http_route routes[2];
    struct hub *hub;
    struct server *server;
    struct bus_publish *publishes[64];
    size_t publishes_len;
    bool closed;
};

/* The bus: every replay is live at once; publishes fail, now or when the server is closed. */
static void take_request(void *ctx, struct bus_request *r) {
    struct world *w = ctx;
    if (r->kind == BUS_REPLAY) {
        struct bus_replayed *m = bus_replayed_new(((struct bus_replay *)r)->token, 0);
        m->live = true;
        hub_receive(w->hub, &m->base);
        free(r);
    } else if (r->kind == BUS_PUBLISH && w->publishes_len < 64) {
        w->publishes[w->publishes_len++] = (struct bus_publish *)r;
    } else if (r->kind == BUS_PUBLISH) {
        bus_publish_free((struct bus_publish *)r);
    } else {
        free(r);
    }
}

static void answer_publishes(struct world *w) {
    for (size_t i = 0; i < w->publishes_len; i++) {
        w->publishes[i]->status = RELAY_EAGAIN;
        server_published(w->server, w->publishes[i]);
    }
    w->publishes_len = 0;
}

static void fill_page(void *arg, struct http_page *page) {
    (void)arg;
    memset(buf_reserve(&page->body, 50000), 'p', 50000);
    page->body.len = 50000;
}

static void start(struct world *w) {
    memset(w, 0, sizeof(*w));
    w->shared.max_connections = 10;
    w->routes[0] = (struct http_route){"/", fill_page, NULL};
    struct hub_options hub = {.outbox_limit_bytes = 4096,
                              .heartbeat_ms = 1000,
                              .retry_ms = 1000,
                              .now_us = clock_mono_us,
                              .send = take_request,
                              .send_ctx = w};
    struct http_options http = {.shared = &w->shared,
                                .routes = w->routes,
                                .max_topics = 16,
                                .max_streams = 8,
                                .allow_publish = true,
                                .header_timeout_ms = 1000,
                                .body_timeout_ms = 1000,
                                .idle_timeout_ms = 1000,
                                .write_timeout_ms = 1000,
                                .send = take_request,
                                .send_ctx = w};
    must(uv_loop_init(&w->loop) == 0);
    w->hub = hub_new(&hub, &w->hub_metrics, clock_mono_ms());
    w->server = server_new(&w->loop, &http, w->hub, &w->metrics);
}

static void publish(struct world *w, size_t len) {
    static char data[8192];
    memset(data, 'd', sizeof(data));
    struct frame_source source = {
        .topic = "a", .topic_len = 1, .event = {.data = data, .data_len = len}};
    struct frame *frame = frame_encode(&source, (1u << FRAME_FORMATS) - 1);
    struct bus_event *e = bus_event_new(frame, "a", 1, clock_mono_us());
    hub_receive(w->hub, &e->base);
}

static void pump(struct world *w, int client) {
    char sink[65536];
    uv_run(&w->loop, UV_RUN_NOWAIT);
    while (hub_turn(w->hub))
        ;
    uv_run(&w->loop, UV_RUN_NOWAIT);
    while (recv(client, sink, sizeof(sink), MSG_DONTWAIT) > 0)
        ;
}

static void on_closed(void *arg) {
    ((struct world *)arg)->closed = true;
}

static void stop(struct world *w) {
    server_close(w->server, on_closed, w);
    must(uv_run(&w->loop, UV_RUN_DEFAULT) == 0);
    must(w->closed && metric_get(&w->metrics.connections) == 0);
    must(metric_get(&w->metrics.h2_connections) == 0 && metric_get(&w->metrics.h2_streams) == 0);
    must(metric_get(&w->hub_metrics.subscribers) == 0);
    answer_publishes(w);
    server_free(w->server);
    hub_free(w->hub);
    must(uv_loop_close(&w->loop) == 0);
}

/* The first byte says how the rest is cut, and what happens beside it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world w;
    int ends[2];
    if (size < 1)
        return 0;
    size_t piece = (data[0] & 7) == 0 ? size : (size_t)(data[0] & 7) * 9;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    start(&w);
    server_adopt(w.server, ends[0], (struct http_door){0});
    must(send(ends[1], preface, sizeof(preface) - 1, MSG_NOSIGNAL) == sizeof(preface) - 1);
    for (size_t at = 1; at < size; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        if (send(ends[1], data + at, len, MSG_NOSIGNAL) != (ssize_t)len)
            break;
        if (data[0] & 8)
            publish(&w, 1 + (size_t)data[0] * 20);
        pump(&w, ends[1]);
        if (data[0] & 16)
            answer_publishes(&w);
    }
    if (data[0] & 32)
        server_drain(w.server);
    if (data[0] & 64) /* deadlines */
        for (uint64_t s = 1; s < 4; s++) {
            server_tick(w.server, clock_mono_ms() + s * 2000);
            hub_tick(w.hub, clock_mono_ms() + s * 2000);
            pump(&w, ends[1]);
        }
    if (data[0] & 128)
        close(ends[1]);
    else
        pump(&w, ends[1]);
    uv_run(&w.loop, UV_RUN_NOWAIT);
    stop(&w);
    if ((data[0] & 128) == 0)
        close(ends[1]);
    return 0;
}
