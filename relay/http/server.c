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
#include "relay/http/listener.h"

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
    bool loopback;
};

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

static void pause_accepting(struct server *server) {
    if (server->paused_until_ms == 0) {
        figure_add(&server->figures->accept_paused, 1);
        poll_listeners(server, false);
    }
    server->paused_until_ms = clock_mono_ms() + PAUSE_MS;
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

/* Accept one. Returns false when there is none, or none can be taken now. */
static bool accept_one(struct server_listener *l) {
    int fd = listener_accept(l->fd);
    if (fd >= 0) {
        conn_new(l->server, fd, l->loopback);
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
        if (!server_has_room(l->server->options.shared)) {
            pause_accepting(l->server);
            return;
        }
        if (!accept_one(l))
            return;
    }
}

void server_listen(struct server *server, int listen_fd, bool loopback) {
    struct server_listener *l = mem_zalloc(sizeof(*l));
    l->server = server;
    l->fd = listen_fd;
    l->loopback = loopback;
    l->poll.data = l;
    int rc = uv_poll_init(server->loop, &l->poll, listen_fd);
    assert(rc == 0); /* a listening socket of our own making */
    (void)rc;
    server->handles++;
    l->next = server->listeners;
    server->listeners = l;
    uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
}

void server_adopt(struct server *server, int fd, bool loopback) {
    if (server->closing)
        close(fd);
    else
        conn_new(server, fd, loopback);
}

void server_handle_closed(struct server *server) {
    if (--server->handles == 0) /* server->life is among them, so this is after server_close() */
        server->closed(server->closed_arg);
}

static void on_listener_closed(uv_handle_t *handle) {
    struct server_listener *l = handle->data;
    struct server *server = l->server;
    free(l);
    server_handle_closed(server);
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
    for (struct conn *c = server->conns; c != NULL; c = next) {
        next = c->next;
        if (c->state == CONN_READING && c->request == NULL)
            conn_drain(c);
    }
}

/* ---- life ---- */

static void set_date(struct server *server) {
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(server->date, sizeof(server->date), "%a, %d %b %Y %H:%M:%S GMT",
             &tm); /* in the C locale */
}

struct server *server_new(uv_loop_t *loop, const struct http_options *options, struct hub *hub,
                          struct http_figures *figures) {
    struct server *server = mem_zalloc(sizeof(*server));
    server->loop = loop;
    server->options = *options;
    server->hub = hub;
    server->figures = figures;
    wheel_init(&server->wheel, clock_mono_ms());
    rng_init(&server->rng);
    set_date(server);
    uv_prepare_init(loop, &server->life);
    server->life.data = server;
    server->handles = 1;
    return server;
}

void server_tick(struct server *server, uint64_t now_ms) {
    set_date(server);
    wheel_advance(&server->wheel, now_ms, conn_fire, NULL);
    if (server->paused_until_ms != 0 && now_ms >= server->paused_until_ms &&
        server_has_room(server->options.shared)) {
        server->paused_until_ms = 0;
        poll_listeners(server, true);
    }
}

size_t server_connections(const struct server *server) {
    return (size_t)figure_get(&server->figures->connections);
}

static void on_life_closed(uv_handle_t *handle) {
    server_handle_closed(handle->data);
}

void server_close(struct server *server, void (*closed)(void *arg), void *arg) {
    if (server->closing)
        return;
    server->closing = true;
    server->closed = closed;
    server->closed_arg = arg;
    server_stop_accepting(server);
    while (server->conns != NULL) {
        struct conn *c = server->conns;
        if (c->subscriber != NULL)
            conn_end_stream(c, HUB_END_SHUTDOWN);
        else
            conn_close(c);
    }
    uv_close((uv_handle_t *)&server->life, on_life_closed);
}

void server_free(struct server *server) {
    assert(server->conns == NULL && server->listeners == NULL && server->handles == 0);
    free(server);
}
