/* A worker's HTTP server and hub on a loop of the test, with real loopback sockets and a bus that
 * is the test.
 *
 * Nothing runs by itself: world_pump() is one turn of everything, and whoever waits for something
 * pumps until it is there. The clock can be put forward, so that no deadline is waited for.
 * start/stop: the test's thread. */
#ifndef TESTS_LOOP_HTTP_WORLD_H
#define TESTS_LOOP_HTTP_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "relay/base/buf.h"
#include "relay/http/h1.h"
#include "relay/http/listener.h"
#include "relay/http/server.h"
#include "relay/hub/hub.h"

enum { WORLD_REQUESTS = 512, WORLD_LARGE_BYTES = 8 * 1024 * 1024 };

/* Group setup and teardown: in between, all connections of all worlds are on an awkward transport
 * (awkward.h) from their first byte on. */
int world_be_awkward(void **state);
int world_be_plain(void **state);

/* What differs from test to test; 0 stands for a value that is in nobody's way. */
struct world_options {
    size_t outbox_limit_bytes;
    int send_buffer_bytes;
    unsigned max_connections;
    uint64_t max_age_ms;
    uint64_t heartbeat_ms;
    bool holds_replays; /* they are answered by world_go_live() alone */
    bool proxied;       /* the listener wants the PROXY protocol */
    const struct ip_networks *trusted_proxies;
};

struct world {
    uv_loop_t loop;
    struct listener listener;
    struct http_shared shared;
    struct http_metrics metrics;
    struct hub_metrics hub_metrics;
    struct hub *hub;
    struct server *server;
    struct http_route routes[3];
    uint64_t skew_ms; /* how far the clock was put forward */
    bool holds_replays;
    struct bus_replay *replays[WORLD_REQUESTS]; /* not answered yet, oldest first */
    size_t replays_len;
    struct bus_publish *publishes[WORLD_REQUESTS]; /* not answered yet, oldest first */
    size_t publishes_len;
    int closed; /* how often server_close() reported */
};

/* Serves /page ("page"), /large (WORLD_LARGE_BYTES of 'x') and /sse. Deadlines are the DEADLINE_MS
 * below. */
enum {
    WORLD_HEADER_MS = 10000,
    WORLD_BODY_MS = 20000,
    WORLD_IDLE_MS = 40000,
    WORLD_WRITE_MS = 30000
};
void world_start(struct world *w, const struct world_options *options);

/* Close the server, run the loop to its end, and check that nothing is left. Publishes that are not
 * answered come back after that, as a bus that ends late would send them. */
void world_stop(struct world *w);

/* As the first half of world_stop(): the server is closed, its hub is free of subscribers. */
void world_close_server(struct world *w);

void world_pump(struct world *w);

/* The newest connection as HTTP/1 sees it; NULL: there is none. */
const struct h1 *world_newest(const struct world *w);

/* Pump until @ready(arg); fails the test when that takes too long. */
void world_until(struct world *w, bool (*ready)(void *arg), void *arg);

/* For it: a publish waits to be answered; no connection is left. @arg: the world. */
bool world_has_publish(void *arg);
bool world_is_empty(void *arg);

/* Put the clock forward and pump until deadlines of that age have fired. */
void world_skip(struct world *w, uint64_t ms);

/* ---- the bus ---- */

/* Answer all replays that were held: nothing was missed, and from here on events follow. */
void world_go_live(struct world *w);
void world_event(struct world *w, const char *topic, const char *data);
void world_event_bytes(struct world *w, const char *topic, const void *data, size_t len);

/* Answer the oldest publish; a durable event has WORLD_ID in each topic then. */
#define WORLD_ID "birth.1.a-0"
void world_answer_publish(struct world *w, int status);

/* ---- a client ---- */

struct client {
    struct world *world;
    int fd;
    struct buf seen; /* all that came */
    bool ended;      /* the server's FIN or reset came */
    bool reset;
};

/* A blocking connect, answered by the kernel. @receive_buffer_bytes 0: the system's. */
void client_open(struct client *c, struct world *w, int receive_buffer_bytes);
void client_send(struct client *c, const char *text);
void client_send_bytes(struct client *c, const void *bytes, size_t len);
void client_read(struct client *c); /* what is there */
/* Pump and read until @text was seen, or the end. */
void client_expect(struct client *c, const char *text);
void client_expect_end(struct client *c);
bool client_has(const struct client *c, const char *text);
/* Forget what was seen. */
void client_forget(struct client *c);
void client_close(struct client *c);
void client_abort(struct client *c); /* with a reset */
/* What came behind the first head, chunks undone; the coding must be strict, and ended where the
 * connection is. */
void client_body(const struct client *c, struct buf *body);

/* The heads of requests, to which lines can be added, and whole ones. */
#define REQUEST(method, target) method " " target " HTTP/1.1\r\nHost: localhost\r\n"
#define GET(target) REQUEST("GET", target) "\r\n"

/* Send a GET of /sse with these topics and expect the stream's greeting. */
void client_stream(struct client *c, const char *topics);

/* world_start(), and one client with a stream of these topics; the client's buffer is small where
 * the server's is. */
void world_start_stream(struct world *w, const struct world_options *options, struct client *c,
                        const char *topics);

#endif
