/* One worker's HTTP server: listeners, connections, deadlines, routes.
 *
 * Runs on one loop; every connection stays on the worker that accepted it. A server without a hub
 * (the admin listener's) serves pages only. Nothing here knows Redis: subscribing goes through the
 * hub, publishing leaves as a bus_request through `send`. The worker's thread, except where a
 * function says otherwise. */
#ifndef RELAY_HTTP_SERVER_H
#define RELAY_HTTP_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "relay/base/buf.h"
#include "relay/http/figures.h"
#include "relay/http/origin.h"
#include "relay/hub/hub.h"

/* A page of somebody else's: health, metrics, the console. */
struct http_page {
    int status;               /* 200 unless changed */
    const char *content_type; /* static */
    const char *headers;      /* further header lines, each with its CRLF; static; NULL: none */
    struct buf body;          /* filled by the page, freed by the server */
};

struct http_route {
    const char *path;
    void (*fill)(void *arg, struct http_page *page); /* on the worker's thread; must not block */
    void *arg;
};

/* Connections beyond the limit that are still taken, to tell them so and to serve health checks.
 * Above that they wait in the kernel's queue. */
enum { HTTP_SURPLUS_MAX = 64 };

/* What all servers of the process share. */
struct http_shared {
    atomic_uint connections;  /* open now, all workers */
    unsigned max_connections; /* above this a connection is answered that the node is full */
    atomic_bool draining;     /* streams are turned away */
};

struct http_options {
    struct http_shared *shared;
    struct origin_policy origins;
    const struct http_route *routes; /* ends with a NULL path */
    size_t max_topics;
    bool allow_publish;
    uint64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
    unsigned worker;                                      /* the number in bus requests */
    void (*send)(void *ctx, struct bus_request *request); /* takes it over; NULL: no publishing */
    void *send_ctx;
};

struct server;

/* Never NULL. @hub may be NULL. The pointers in @options, @hub and @figures must outlive the
 * server. */
struct server *server_new(uv_loop_t *loop, const struct http_options *options, struct hub *hub,
                          struct http_figures *figures);

/* Accept on @listen_fd, which is taken over: server_stop_accepting() closes it. @loopback: check
 * the Host. */
void server_listen(struct server *server, int listen_fd, bool loopback);

/* Whether a further connection can be taken: for whoever accepts on behalf of servers. Any thread.
 */
bool server_has_room(const struct http_shared *shared);

/* Serve a connection that somebody else accepted; the fd is taken over, and closed after
 * server_close(). */
void server_adopt(struct server *server, int fd, bool loopback);

/* Take what the kernel has accepted already, then accept no more. */
void server_stop_accepting(struct server *server);

/* The node goes down: end what only waits for a further request. */
void server_drain(struct server *server);

/* A publish came back from the bus: answer who waits. Takes @p over. */
void server_published(struct server *server, struct bus_publish *p);

/* Deadlines; call every WHEEL_TICK_MS or so. */
void server_tick(struct server *server, uint64_t now_ms);

/* Connections open now. */
size_t server_connections(const struct server *server);

/* Close all connections and listeners at once. @closed is called, from the loop, when the last
 * handle is closed; then, not before, server_free(). A second call does nothing. */
void server_close(struct server *server, void (*closed)(void *arg), void *arg);
void server_free(struct server *server);

#endif
