/* Accepting, the list of connections, and the end of a server; see server.h. */
#include "relay/http/server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/http/conn.h"
#include "relay/http/h1.h"
#include "relay/http/h2.h"
#include "relay/http/limits.h"
#include "relay/http/listener.h"
#include "relay/http/post.h"
#include "relay/http/proxied.h"
#include "relay/http/route.h"

enum {
    ACCEPT_BATCH = 64, /* per listener and loop turn, so that streams go on while many arrive */
    ACCEPT_LOG_EVERY_MS = 10 * 1000,
    PAUSE_MS = 100
};

struct server_listener {
    uv_poll_t poll;
    struct server *server;
    struct server_listener *next;
    int fd;
    struct http_door door;
};

struct server {
    struct conn_group group;
    struct server_listener *listeners;
    uint64_t paused_until_ms; /* accepting; 0: it goes on */
    struct log_limit accept_log;
    size_t handles; /* uv handles that are not closed yet */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void handle_closed(struct server *server) {
    if (--server->handles == 0) /* group.turn is among them, so this is after server_close() */
        server->closed(server->closed_arg);
}

/* ---- accepting ---- */

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void poll_listeners(struct server *server, bool on) {
    for (struct server_listener *l = server->listeners; l != NULL; l = l->next) {
        if (on)
            uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
        else
            uv_poll_stop(&l->poll);
    }
}

static void wait_for_pace(struct server *server) {
    if (server->paused_until_ms == 0)
        poll_listeners(server, false);
    server->paused_until_ms = clock_mono_ms() + PAUSE_MS;
}

static void pause_accepting(struct server *server) {
    if (server->paused_until_ms == 0)
        metric_add(&server->group.service.metrics->accept_paused, 1);
    wait_for_pace(server);
}

bool server_has_room(const struct http_shared *shared) {
    return atomic_load_explicit(&shared->connections, memory_order_relaxed) <
           shared->max_connections + HTTP_SURPLUS_MAX;
}

static void warn_short(struct server *server, int error) {
    uint64_t suppressed;
    if (log_limit_pass(&server->accept_log, clock_mono_ms(), ACCEPT_LOG_EVERY_MS, &suppressed))
        log_warn(
            "cannot accept for now; raise the limit of file descriptors or lower --max-connections",
            "why=%s suppressed=%llu", strerror(error), (unsigned long long)suppressed);
}

static void serve(struct server *server, int fd, struct http_door door) {
    if (conn_new(&server->group, fd, door))
        server->handles++;
}

/* Accept one. Returns false when there is none, or none can be taken now. */
static bool accept_one(struct server_listener *l) {
    int fd = listener_accept(l->fd);
    if (fd >= 0) {
        limits_accepted(l->server->group.service.options.shared->limits);
        serve(l->server, fd, l->door);
        return true;
    }
    switch (errno) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
        return true; /* that one is gone; the next may be well */
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        warn_short(l->server, errno);
        pause_accepting(l->server);
        return false;
    default:
        return false;
    }
}

static void on_acceptable(uv_poll_t *poll, int status, int events) {
    struct server_listener *l = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (!server_has_room(l->server->group.service.options.shared)) {
            pause_accepting(l->server);
            return;
        }
        if (!limits_may_accept(l->server->group.service.options.shared->limits)) {
            wait_for_pace(l->server);
            return;
        }
        if (!accept_one(l))
            return;
    }
}

void server_listen(struct server *server, int listen_fd, struct http_door door) {
    struct server_listener *l = mem_zalloc(sizeof(*l));
    l->server = server;
    l->fd = listen_fd;
    l->door = door;
    l->poll.data = l;
    int rc = uv_poll_init(server->group.loop, &l->poll, listen_fd);
    assert(rc == 0); /* a listening socket of our own making */
    (void)rc;
    server->handles++;
    l->next = server->listeners;
    server->listeners = l;
    uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
}

void server_adopt(struct server *server, int fd, struct http_door door) {
    if (server->closing)
        close(fd);
    else
        serve(server, fd, door);
}

static void on_listener_closed(uv_handle_t *handle) {
    struct server_listener *l = handle->data;
    struct server *server = l->server;
    free(l);
    handle_closed(server);
}

void server_stop_accepting(struct server *server) {
    while (server->listeners != NULL) {
        struct server_listener *l = server->listeners;
        server->listeners = l->next;
        if (!server->closing) {
            listener_quiesce(l->fd);
            while (accept_one(l))
                ;
        }
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
        close(l->fd); /* now, so that who comes from here on is refused and not left waiting */
    }
}

void server_drain(struct server *server) {
    struct conn *next;
    for (struct conn *c = server->group.conns; c != NULL; c = next) {
        next = c->next;
        c->protocol->drain(c);
    }
}

/* ---- life ---- */

static void set_date(struct server *server) {
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(server->group.date, sizeof(server->group.date), "%a, %d %b %Y %H:%M:%S GMT",
             &tm); /* in the C locale */
}

static void on_conn_closed(struct conn_group *group) {
    handle_closed(container_of(group, struct server, group));
}

struct server *server_new(uv_loop_t *loop, const struct http_options *options, struct hub *hub,
                          struct http_metrics *metrics) {
    struct server *server = mem_zalloc(sizeof(*server));
    conn_group_init(&server->group, loop);
    server->group.service.options = *options;
    server->group.service.hub = hub;
    server->group.service.metrics = metrics;
    rng_init(&server->group.service.rng);
    server->group.service.handler = &route_handler;
    server->group.protocol = &h1_protocol;
    server->group.multiplexed = &h2_protocol;
    server->group.proxied = &proxied_protocol;
    server->group.on_closed = on_conn_closed;
    server->group.tls.metrics = metrics;
    set_date(server);
    server->handles = 1;
    return server;
}

void server_tick(struct server *server, uint64_t now_ms) {
    set_date(server);
    conn_group_tick(&server->group, now_ms);
    limits_tick(server->group.service.options.shared->limits);
    if (server->paused_until_ms != 0 && now_ms >= server->paused_until_ms &&
        server_has_room(server->group.service.options.shared)) {
        server->paused_until_ms = 0;
        poll_listeners(server, true);
    }
}

size_t server_connections(const struct server *server) {
    return (size_t)metric_get(&server->group.service.metrics->connections);
}

const struct conn *server_newest_connection(const struct server *server) {
    return server->group.conns;
}

void server_published(struct server *server, struct bus_publish *p) {
    (void)server;
    if (p->waiter != NULL)
        post_answer(p->waiter, p);
    bus_publish_free(p);
}

static void on_turn_closed(uv_handle_t *handle) {
    on_conn_closed(handle->data);
}

void server_close(struct server *server, void (*closed)(void *arg), void *arg) {
    if (server->closing)
        return;
    server->closing = true;
    server->closed = closed;
    server->closed_arg = arg;
    server_stop_accepting(server);
    while (server->group.conns != NULL) {
        struct conn *c = server->group.conns;
        c->protocol->end(c, HUB_END_SHUTDOWN);
    }
    uv_close((uv_handle_t *)&server->group.turn, on_turn_closed);
}

void server_free(struct server *server) {
    assert(server->group.conns == NULL && server->listeners == NULL && server->handles == 0);
    free(server);
}
