/* One client connection over HTTP/1: what the files of this room share of it.
 *
 * States: READING a request (or waiting for one) → RESPONDING (an answer is leaving) → READING
 * again, or LINGERING (our side is shut; what the client still sends is thrown away so that our
 * last bytes are not reset away) → closed. WAITING: a publish is on its way to Redis. STREAMING: a
 * subscriber of the hub; FINISHING: its last bytes are leaving. The socket is polled for what the
 * state wants and nothing else, so a client that sends more than is asked for is slowed by TCP. */
#ifndef RELAY_HTTP_CONN_H
#define RELAY_HTTP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "relay/base/buf.h"
#include "relay/base/log.h"
#include "relay/base/rng.h"
#include "relay/base/wheel.h"
#include "relay/http/request.h"
#include "relay/http/server.h"
#include "relay/hub/hub.h"
#include "relay/hub/stream.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS; SIGPIPE is ignored by the process anyway */
#endif

enum conn_state {
    CONN_READING,
    CONN_WAITING,
    CONN_RESPONDING,
    CONN_STREAMING,
    CONN_FINISHING,
    CONN_LINGERING,
    CONN_CLOSED
};

struct conn {
    uv_poll_t poll;
    struct stream stream; /* what the hub sees of a connection that streams */
    struct server *server;
    struct conn *next, *prev; /* all of the server's */
    struct wheel_entry deadline;
    struct request *request; /* being read or answered; NULL between requests and once streaming */
    struct subscriber *subscriber; /* STREAMING, FINISHING */
    struct bus_publish *publish;   /* WAITING */
    struct buf in;                 /* bytes read behind the request that is being answered */
    struct buf out;                /* an answer that is leaving */
    size_t out_sent;
    uint64_t progress_ms; /* when bytes last left, while some wait; 0: none wait */
    uint32_t discarded;   /* bytes thrown away behind a stream's head, or while lingering */
    int fd;
    uint8_t state;    /* enum conn_state */
    uint8_t polled;   /* UV_READABLE | UV_WRITABLE */
    uint8_t end;      /* enum hub_end of a stream that is FINISHING */
    bool loopback;    /* accepted on a loopback listener */
    bool surplus;     /* beyond the connection limit: no stream */
    bool close_after; /* no further request on this connection */
    bool head_seen;   /* the request's head was routed */
};

struct server {
    uv_loop_t *loop;
    struct http_options options;
    struct hub *hub;
    struct http_figures *figures;
    struct conn *conns;
    struct wheel wheel;
    struct rng rng;
    struct log_limit accept_log;
    struct server_listener *listeners;
    uint64_t paused_until_ms; /* accepting; 0: it goes on */
    char date[40];            /* the Date header's value, of the last tick */
    uv_prepare_t life;        /* never started: closed by server_close(), so that the loop tells */
    size_t handles;           /* uv handles that are not closed yet */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
    char scratch[64 * 1024]; /* where reads land */
};

/* server.c */
void server_handle_closed(struct server *server); /* one of `handles` is gone */

/* conn.c */
void conn_new(struct server *server, int fd, bool loopback);
void conn_close(struct conn *c);                        /* at once; may be called twice */
void conn_end_stream(struct conn *c, enum hub_end why); /* at once */
void conn_finish_stream(struct conn *c); /* FINISHING, and all has left: shut our side, linger */
void conn_drain(
    struct conn *c); /* READING, no request begun: answer one that is on its way, then no more */
void conn_fire(struct wheel_entry *e, uint64_t now_ms, void *ctx);
void conn_set_deadline(struct conn *c, uint64_t from_now_ms);
void conn_poll(struct conn *c);          /* for what the state wants */
void conn_process(struct conn *c);       /* requests that are in `in` already */
void conn_start_sending(struct conn *c); /* `out` is filled: state RESPONDING */

/* respond.c: each fills `out` and starts sending; the connection goes on or closes by close_after.
 */
void respond(struct conn *c, int status, const char *content_type, const char *headers,
             const char *body, size_t len);

/* application/problem+json (RFC 9457): @detail is a sentence that says what was wrong and what to
 * do. */
void respond_problem(struct conn *c, int status, const char *headers, const char *detail);
void respond_head(const struct conn *c, struct buf *out, int status); /* status line, Date, CORS */

/* route.c */
void route_head(struct conn *c);    /* the head is complete: answer now, or wait for the body */
void route_request(struct conn *c); /* the whole request is there */

/* sse.c */
extern const struct stream_ops conn_stream_ops;
void sse_get(struct conn *c);
void sse_flush(struct conn *c); /* write what the outbox has; poll for the rest */

/* publish.c */
bool publish_may(struct conn *c); /* else it was answered */
void publish_post(struct conn *c);

#endif
