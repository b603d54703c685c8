/* A worker's thread: commands in their order, connections handed over, the end with everything
 * open, and what comes after the end. The test is the application and the bus. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/base/buf.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/http/listener.h"
#include "relay/worker.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 30000 };

#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* A worker and the bus's queue of requests. */
struct world {
    struct worker worker;
    struct http_shared shared;
    struct http_route routes[2];
    struct queue requests;
    struct queue_node *taken;
};

static void fill_page(void *arg, struct http_page *page) {
    (void)arg;
    buf_puts(&page->body, "page");
}

static void send_to_bus(void *ctx, struct bus_request *r) {
    struct world *w = ctx;
    queue_push_control(&w->requests, &r->node);
}

static void world_init(struct world *w) {
    memset(w, 0, sizeof(*w));
    signal(SIGPIPE, SIG_IGN);
    w->shared.max_connections = 100;
    w->routes[0] = (struct http_route){"/page", fill_page, NULL};
    queue_init(&w->requests, SIZE_MAX, SIZE_MAX, NULL);
    struct hub_options hub = {.outbox_limit_bytes = 65536,
                              .heartbeat_ms = 3600 * 1000,
                              .retry_ms = 1000,
                              .now_us = clock_mono_us,
                              .send = send_to_bus,
                              .send_ctx = w};
    struct http_options http = {.shared = &w->shared,
                                .routes = w->routes,
                                .max_topics = 4,
                                .max_streams = 256,
                                .allow_publish = true,
                                .header_timeout_ms = PATIENCE_MS,
                                .body_timeout_ms = PATIENCE_MS,
                                .idle_timeout_ms = PATIENCE_MS,
                                .write_timeout_ms = PATIENCE_MS,
                                .send = send_to_bus,
                                .send_ctx = w};
    worker_init(&w->worker, &hub, &http);
}

static void world_start(struct world *w) {
    world_init(w);
    worker_start(&w->worker);
}

static void free_request(struct bus_request *r) {
    if (r->kind == BUS_PUBLISH)
        bus_publish_free((struct bus_publish *)r);
    else
        free(r);
}

/* After worker_join(): what a bus that ends after the workers does, and the end of all. */
static void world_fini(struct world *w) {
    worker_fini(&w->worker);
    while (w->taken != NULL || (w->taken = queue_take(&w->requests)) != NULL) {
        struct bus_request *r = container_of(w->taken, struct bus_request, node);
        w->taken = w->taken->next;
        free_request(r);
    }
    queue_fini(&w->requests);
    assert_int_equal(atomic_load(&w->shared.connections), 0);
}

static void world_stop(struct world *w) {
    worker_stop(&w->worker);
    worker_join(&w->worker);
    world_fini(w);
}

/* The next request of that kind; others are answered by nobody. */
static struct bus_request *next_request(struct world *w, enum bus_request_kind kind) {
    uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;
    for (;;) {
        while (w->taken == NULL && (w->taken = queue_take(&w->requests)) == NULL) {
            assert_true(clock_mono_ms() < end_ms);
            usleep(1000);
        }
        struct bus_request *r = container_of(w->taken, struct bus_request, node);
        w->taken = w->taken->next;
        if (r->kind == kind)
            return r;
        free_request(r);
    }
}

static void go_live(struct world *w) {
    struct bus_replay *r = (struct bus_replay *)next_request(w, BUS_REPLAY);
    struct bus_replayed *m = bus_replayed_new(r->token, 0);
    m->live = true;
    queue_push_control(&w->worker.inbox, &m->base.node);
    free(r);
}

static void event(struct world *w, const char *topic, const char *data) {
    struct frame_source source = {.topic = topic,
                                  .topic_len = strlen(topic),
                                  .event = {.data = data, .data_len = strlen(data)}};
    struct frame *f = frame_encode(&source, 1 << FRAME_FORMAT_DATA);
    struct bus_event *e = bus_event_new(f, topic, strlen(topic), clock_mono_us());
    assert_int_equal(queue_push(&w->worker.inbox, &e->base.node, frame_size(f)), RELAY_OK);
}

/* ---- a client: one end of a pair, the other is the worker's ---- */

static void set_patience(int fd) {
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000 / 2};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
}

static int client_connect(int listen_fd) {
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&address, &len), 0);
    int fd = socket(address.ss_family, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    set_patience(fd);
    return fd;
}

static int client_new(struct world *w) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    set_patience(pair[0]);

    assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    worker_adopt(&w->worker, pair[1], (struct http_door){0});
    return pair[0];
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* recv(2) on a socket with a timeout may return EINTR without a signal, where the loop of the
 * worker has an io_uring: libuv 1.50 on Linux. */
static ssize_t receive(int fd, char *bytes, size_t len) {
    ssize_t n;
    do
        n = recv(fd, bytes, len, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Read until @text came; NULL: until the end, which must come. */
static void hear(int fd, const char *text) {
    struct buf seen = BUF_INIT;
    for (;;) {
        ssize_t n = receive(fd, buf_reserve(&seen, 4096), 4096);
        if (n <= 0) {
            assert_null(text);
            assert_int_equal(n, 0);
            break;
        }
        seen.len += (size_t)n;
        seen.data[seen.len] = '\0';
        if (text != NULL && strstr(seen.data, text) != NULL)
            break;
    }
    buf_fini(&seen);
}

/* ---- tests ---- */

static void test_a_connection_that_was_handed_over_is_served(void **state) {
    struct world w;
    (void)state;
    world_start(&w);
    int fd = client_new(&w);
    say(fd, GET("/page"));
    hear(fd, "\r\n\r\npage");
    say(fd, GET("/sse?topic=t"));
    go_live(&w);
    hear(fd, "relay.live");
    event(&w, "t", "x");
    hear(fd, "data: x\n\n");
    close(fd);
    struct bus_request *r = next_request(&w, BUS_UNSUBSCRIBE); /* its last subscriber is gone */
    free_request(r);
    world_stop(&w);
}

static void test_messages_arrive_in_order_however_many(void **state) {
    enum { EVENTS = 20000 };
    struct world w;
    (void)state;
    world_start(&w);
    int fd = client_new(&w);
    say(fd, GET("/sse?topic=t"));
    go_live(&w);
    hear(fd, "relay.live");
    struct buf seen = BUF_INIT;
    int heard = 0;
    for (int i = 0; i < EVENTS; i++) {
        char text[32];
        snprintf(text, sizeof(text), "<%d>", i);
        event(&w, "t", text);
        if (i % 100 != 99)
            continue;
        while (heard <= i) { /* so that nothing is dropped for want of room */
            snprintf(text, sizeof(text), "data: <%d>\n\n", heard);
            char *at = seen.len > 0 ? strstr(seen.data, text) : NULL;
            if (at != NULL) {
                heard++;
                buf_consume(&seen, (size_t)(at - seen.data) + strlen(text));
                continue;
            }
            ssize_t n = receive(fd, buf_reserve(&seen, 4096), 4096);
            assert_true(n > 0);
            seen.len += (size_t)n;
            seen.data[seen.len] = '\0';
        }
    }
    assert_false(seen.len > 0 && strstr(seen.data, "data: ") != NULL);
    buf_fini(&seen);
    close(fd);
    world_stop(&w);
}

static void test_a_publish_goes_there_and_back(void **state) {
    struct world w;
    (void)state;
    world_start(&w);
    int fd = client_new(&w);
    say(fd, "POST /sse?topic=t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    struct bus_publish *p = (struct bus_publish *)next_request(&w, BUS_PUBLISH);
    p->base.answer.kind = BUS_PUBLISHED;
    queue_push_control(&w.worker.inbox, &p->base.answer.node);
    hear(fd, "{\"ids\":{\"t\":null}}");
    close(fd);
    world_stop(&w);
}

/* The order of the end: accepted before it stops accepting, drained before it stops. */
static void test_commands_are_carried_out_in_order(void **state) {
    struct world w;
    (void)state;
    world_init(&w);
    struct listener listener;
    struct buf why = BUF_INIT;
    struct listener_options options = {.host = "127.0.0.1", .sockets = 1};
    assert_int_equal(listener_open(&listener, &options, &why), RELAY_OK);
    worker_listen(&w.worker, listener.fds[0], (struct http_door){.loopback = true});
    int connected = client_connect(listener.fds[0]); /* waits in the kernel */
    int adopted = client_new(&w);                    /* commands may come before the thread runs */
    worker_stop_accepting(&w.worker);
    worker_drain(&w.worker, 0);
    int late = client_new(&w);
    assert_false(worker_is_draining(&w.worker)); /* told to, but it has not begun */
    worker_start(&w.worker);
    hear(adopted, NULL); /* the drain found these two, idle, and ended them */
    hear(connected, NULL);
    assert_true(worker_is_draining(&w.worker));
    say(late, GET("/page")); /* and nothing told this one to end */
    hear(late, "\r\n\r\npage");
    close(connected);
    close(adopted);
    close(late);
    world_stop(&w);
    listener_fini(&listener);
    buf_fini(&why);
}

static void test_it_stops_with_everything_open(void **state) {
    static const char *const requests[] = {
        "",
        "GET /pa",
        "POST /sse?topic=t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx",
        "POST /sse?topic=t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
        GET("/sse?topic=t"),
        GET("/sse?topics=t,u") GET("/page")};
    enum { CLIENTS = sizeof(requests) / sizeof(requests[0]) };
    (void)state;
    for (useconds_t pause_us = 0; pause_us < 20000; pause_us = pause_us * 3 + 200) {
        struct world w;
        int fds[CLIENTS];
        world_start(&w);
        for (size_t i = 0; i < CLIENTS; i++) {
            fds[i] = client_new(&w);
            say(fds[i], requests[i]);
        }
        event(&w, "t", "x");
        usleep(pause_us);
        worker_stop(&w.worker);
        for (size_t i = 0; i < CLIENTS; i++) {
            struct pollfd p = {.fd = fds[i], .events = POLLIN};
            while (p.fd >=
                   0) { /* an end of some kind: bytes that it did not read make it a reset */
                char bytes[4096];
                assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
                if (receive(p.fd, bytes, sizeof(bytes)) <= 0)
                    p.fd = -1;
            }
            close(fds[i]);
        }
        worker_join(&w.worker);
        world_fini(&w);
    }
}

/* The bus ends after the workers, and still sends: all of it is freed (a leak fails under ASan). */
static void test_what_comes_after_the_stop_is_freed(void **state) {
    struct world w;
    (void)state;
    world_start(&w);
    int fd = client_new(&w);
    say(fd, "POST /sse?topic=t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    struct bus_publish *p = (struct bus_publish *)next_request(&w, BUS_PUBLISH);
    worker_stop(&w.worker);
    hear(fd, NULL);
    worker_join(&w.worker);
    assert_null(p->waiter); /* nobody waits any more */
    p->base.answer.kind = BUS_PUBLISHED;
    p->status = RELAY_ECANCELED;
    queue_push_control(&w.worker.inbox, &p->base.answer.node);
    event(&w, "t", "late");
    struct bus_replayed *m = bus_replayed_new(1, 1);
    m->slice = bus_event_new(frame_heartbeat(), NULL, 0, 0);
    queue_push_control(&w.worker.inbox, &m->base.node);
    queue_push_control(&w.worker.inbox, &bus_gap_new("t", 1, RESET_LIVE)->base.node);
    int late = client_new(&w);
    worker_drain(&w.worker, 1000);
    world_fini(&w);
    hear(late, NULL); /* closed, not forgotten */
    close(fd);
    close(late);
}

static void test_a_connection_handed_over_behind_the_stop_is_closed(void **state) {
    struct world w;
    (void)state;
    world_init(&w);
    worker_stop(&w.worker);
    int late = client_new(&w); /* both are taken at once */
    worker_stop(&w.worker);
    worker_start(&w.worker);
    hear(late, NULL);
    worker_join(&w.worker);
    world_fini(&w);
    close(late);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_that_was_handed_over_is_served),
        cmocka_unit_test(test_messages_arrive_in_order_however_many),
        cmocka_unit_test(test_a_publish_goes_there_and_back),
        cmocka_unit_test(test_commands_are_carried_out_in_order),
        cmocka_unit_test(test_it_stops_with_everything_open),
        cmocka_unit_test(test_what_comes_after_the_stop_is_freed),
        cmocka_unit_test(test_a_connection_handed_over_behind_the_stop_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
