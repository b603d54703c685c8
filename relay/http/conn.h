/* One client's connection, whatever is spoken on it: a transport, what it is polled for, deadlines,
 * its place in the list and in the counts.
 *
 * It knows no requests. A protocol (h1.h) embeds it as its first member and is called through a
 * conn_protocol. What belongs to the connection is here, and what belongs to one request or stream
 * is the exchange's: bytes that wait to leave are the connection's, a stream's end is its own. */
#ifndef RELAY_HTTP_CONN_H
#define RELAY_HTTP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "relay/base/clock.h"
#include "relay/base/ip_address.h"
#include "relay/base/log.h"
#include "relay/base/wheel.h"
#include "relay/http/exchange.h"
#include "relay/http/tls_transport.h"
#include "relay/http/transport.h"

struct conn;

/* What is spoken on a connection. */
struct conn_protocol {
    size_t
        size; /* of its struct, whose first member is the struct conn; the rest begins as zeros */
    void (*start)(struct conn *c);
    /* The first bytes, read before it was known what is spoken; NULL: it is never switched to. */
    void (*input)(struct conn *c, const void *bytes, size_t len);
    void (*ready)(struct conn *c, unsigned can); /* these of what it wants may go on */
    void (*deadline)(struct conn *c);            /* conn_set_deadline()'s came; none is set now */
    void (*drain)(struct conn *c);               /* the node goes down: end soon what waits idle */
    /* At once: end all exchanges, their streams by @why, free what it holds, conn_close(). */
    void (*end)(struct conn *c, enum hub_end why);
};

struct conn {
    uv_poll_t poll;
    struct transport transport;
    const struct conn_protocol *protocol;
    struct conn_group *group;
    struct conn *next, *prev; /* all of the group's */
    struct wheel_entry deadline;
    uint64_t progress_ms; /* when bytes last left, while some wait; 0: none wait */
    uint8_t wanted;       /* TRANSPORT_READ | TRANSPORT_WRITE */
    uint8_t polled;       /* UV_READABLE | UV_WRITABLE, as the transport made of it */
    bool named;           /* who it is from was told by the PROXY protocol */
    bool loopback;        /* accepted on a loopback listener */
    uint8_t surplus;      /* enum http_surplus: beyond a limit of connections */
    bool closed;
    struct tally_entry *held; /* its place among those of its client's address; NULL: not counted */
};

/* What a protocol does once at the end of the loop's turn, for all that was asked of it in the
 * turn. Embedded; begins as zeros. */
struct conn_later {
    struct conn_later *next;
    struct conn_later **at; /* what points at it; NULL: it is not asked for */
    void (*run)(struct conn_later *l);
};

/* The connections of one server, and what they share. */
struct conn_group {
    struct http_service service;
    uv_loop_t *loop;
    const struct conn_protocol *protocol;        /* spoken first on a new connection */
    const struct conn_protocol *multiplexed;     /* HTTP/2's, for who asks for it */
    const struct conn_protocol *proxied;         /* before the first, by such a door; or NULL */
    void (*on_closed)(struct conn_group *group); /* the handle of one of them is closed */
    struct conn *conns;
    struct wheel wheel;
    uv_prepare_t turn; /* runs what is `later`, before the loop polls */
    struct conn_later *later;
    char date[40];           /* the Date field's value, of the last tick */
    char scratch[64 * 1024]; /* where reads land */
    struct tls_server tls;
    struct log_limit proxied_log;
};

/* Serve a connection that came by @door; the fd is taken over. Returns false where it was closed at
 * once: no on_closed follows. */
bool conn_new(struct conn_group *group, int fd, struct http_door door);

/* For the PROXY protocol, which has freed what it holds: what it stood before starts now, through
 * TLS where the door says so. The connection is from @source; NULL: from its peer. */
void conn_begin(struct conn *c, const struct ip_address *source);

/* From here on @protocol is spoken, whose struct is not larger than that of the first one, which
 * has freed what it held. @bytes are the first of it. Nothing of the old protocol may be touched
 * behind this. */
void conn_switch(struct conn *c, const struct conn_protocol *protocol, const void *bytes,
                 size_t len);

/* For the protocol alone, which has freed what it holds; a second call does nothing. The memory
 * stays until the loop has let go of it. */
void conn_close(struct conn *c);

/* Who the connection is from: a client, or a proxy that it came by; none on a unix: socket. Known
 * when the protocol starts, and the same from then on: the peer, or whom the PROXY protocol named.
 * A peer that is gone already is nobody (ip_address_nobody): what it sent may still be there to
 * read, and must not pass for that of a unix: socket.
 * A system call: ask once. */
struct ip_address conn_peer(const struct conn *c);

/* Whether that is a proxy of ours, behind which stand many clients: limits for one client are not
 * for it. */
bool conn_is_of_proxy(const struct conn *c);

/* Wait for what @wanted (TRANSPORT_READ | TRANSPORT_WRITE) needs, and for nothing else: a client
 * that sends more than is asked for is slowed by TCP. */
void conn_want(struct conn *c, unsigned wanted);

/* From now, unless bytes wait to leave: then their own deadline counts. */
void conn_set_deadline(struct conn *c, uint64_t from_now_ms);
void conn_clear_deadline(struct conn *c);

/* The transport takes no more: it must take some within the write timeout, or all ends by
 * HUB_END_WRITE_TIMEOUT. Then: some left; and: all left, and no deadline is set. */
void conn_blocked(struct conn *c);
static inline void conn_progressed(struct conn *c) {
    if (c->progress_ms != 0)
        c->progress_ms = clock_mono_ms();
}
void conn_unblocked(struct conn *c);

/* Run @l once, before the loop polls the next time. Asking again changes nothing. */
void conn_later(struct conn_group *group, struct conn_later *l);
void conn_later_cancel(struct conn_later *l);

/* The group's handle, which its owner closes when all connections are. */
void conn_group_init(struct conn_group *group, uv_loop_t *loop);

/* Deadlines of all of them. */
void conn_group_tick(struct conn_group *group, uint64_t now_ms);

#endif
