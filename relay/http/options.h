/* What a server is told at its start, and what all servers of the process share.
 *
 * Below everything else of the room that serves: whoever answers a request reads it here. */
#ifndef RELAY_HTTP_OPTIONS_H
#define RELAY_HTTP_OPTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/auth/auth.h"
#include "relay/auth/bars.h"
#include "relay/base/buf.h"
#include "relay/base/ip_address.h"
#include "relay/http/fields.h"
#include "relay/http/forwarded.h"
#include "relay/http/origin.h"
#include "relay/hub/hub.h"

/* A page of somebody else's: health, metrics, the console. */
struct http_page {
    int status;                 /* 200 unless changed */
    const char *content_type;   /* static */
    const struct field *fields; /* further ones, up to one without a name; static; NULL: none */
    struct buf body;            /* filled by the page, freed by the server */
};

struct http_route {
    const char *path;
    void (*fill)(void *arg, struct http_page *page); /* on the worker's thread; must not block */
    void *arg;
};

/* Connections beyond the limit that are still taken, to tell them so and to serve health checks.
 * Above that they wait in the kernel's queue. */
enum { HTTP_SURPLUS_MAX = 64 };

struct tls;
struct limits;

/* Why a connection gets no stream. */
enum http_surplus {
    HTTP_SURPLUS_NONE,   /* it gets one */
    HTTP_SURPLUS_NODE,   /* the node is full */
    HTTP_SURPLUS_ADDRESS /* its client's address has enough */
};

/* What the connections of one listener have in common. */
struct http_door {
    bool loopback;   /* bound to a loopback address: the Host is checked */
    bool proxied;    /* each connection begins with a header of the PROXY protocol */
    struct tls *tls; /* NULL: plain; it outlives the connections */
};

/* What all servers of the process share. */
struct http_shared {
    atomic_uint connections;  /* open now, all workers */
    unsigned max_connections; /* above this a connection is answered that the node is full */
    atomic_bool draining;     /* streams are rejected */
    struct limits *limits;    /* of clients and of newcomers; NULL: none */
};

struct http_options {
    struct http_shared *shared;
    struct origin_policy origins;
    const struct ip_networks *trusted_proxies; /* believed in who they say asks; NULL: none */
    enum forwarded_header client_header;       /* where they say it */
    const struct http_route *routes;           /* ends with a NULL path */
    size_t max_topics;
    uint32_t max_streams;     /* of an HTTP/2 connection */
    bool allow_publish;       /* to everybody */
    struct bars *bars;        /* of all servers; NULL: nobody is barred */
    struct auth *auth;        /* of all servers; NULL: no keys, so everybody may read */
    const char *token_cookie; /* NULL: cookies are not looked at */
    uint64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
    unsigned worker;                                      /* the number in bus requests */
    void (*send)(void *ctx, struct bus_request *request); /* takes it over; NULL: no publishing */
    void *send_ctx;
};

#endif
