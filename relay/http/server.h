/* One worker's HTTP server: listeners, connections, deadlines, routes.
 *
 * Runs on one loop; every connection stays on the worker that accepted it. A server without a hub
 * (the admin listener's) serves pages only. Nothing here knows Redis: subscribing goes through the
 * hub, publishing leaves as a bus_request through `send`. The worker's thread, except where a
 * function says otherwise. */
#ifndef RELAY_HTTP_SERVER_H
#define RELAY_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "relay/http/http_metrics.h"
#include "relay/http/options.h"
#include "relay/hub/hub.h"

struct server;
struct conn;

/* Never NULL. @hub may be NULL. The pointers in @options, @hub and @metrics must outlive the
 * server. */
struct server *server_new(uv_loop_t *loop, const struct http_options *options, struct hub *hub,
                          struct http_metrics *metrics);

/* Accept on @listen_fd, which is taken over: server_stop_accepting() closes it. */
void server_listen(struct server *server, int listen_fd, struct http_door door);

/* Whether a further connection can be taken: for whoever accepts on behalf of servers. Any thread.
 */
bool server_has_room(const struct http_shared *shared);

/* Serve a connection that somebody else accepted; the fd is taken over, and closed after
 * server_close(). */
void server_adopt(struct server *server, int fd, struct http_door door);

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

/* The newest of them, which knows the others; NULL: none. For tests. */
const struct conn *server_newest_connection(const struct server *server);

/* Close all connections and listeners at once. @closed is called, from the loop, when the last
 * handle is closed; then, not before, server_free(). A second call does nothing. */
void server_close(struct server *server, void (*closed)(void *arg), void *arg);
void server_free(struct server *server);

#endif
