/* Reading a PROXY header off a connection; see proxied.h.
 *
 * TLS reads the socket itself, so not one byte behind the header may be taken from there. What has
 * come is looked at first, and then as much of it is read as belongs to the header. A header in
 * pieces is taken piece by piece, or what waits would wake the loop without end. */
#include "relay/http/proxied.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/http/proxy_header.h"

enum {
    PEEK_BYTES = 2048,
    LOG_EVERY_MS = 10 * 1000,
    DRAIN_MS = 500 /* as for a request that is on its way when the node goes down */
};

struct proxied {
    struct conn conn;
    struct proxy_header *header;
};

static struct proxied *proxied_of(struct conn *c) {
    return container_of(c, struct proxied, conn);
}

static void finish(struct proxied *p) {
    free(p->header);
    p->header = NULL;
}

static void proxied_end(struct conn *c, enum hub_end why) {
    (void)why; /* no stream has begun */
    finish(proxied_of(c));
    conn_close(c);
}

/* ---- refusals ---- */

static void tell(struct conn *c, enum http_proxy_refusal why) {
    static const char *const sentences[HTTP_PROXY_REFUSALS] = {
        "refused a connection that is to begin with the PROXY protocol: it is from an address that "
        "is not among --trusted-proxies",
        "refused a connection without the PROXY protocol: is the balancer, and its health check, "
        "told to send it?",
        "refused a connection whose header of the PROXY protocol is malformed",
        "gave up on a connection whose header of the PROXY protocol did not arrive"};
    struct ip_address peer = conn_peer(c);
    char text[IP_ADDRESS_TEXT];
    uint64_t suppressed;
    if (log_limit_pass(&c->group->proxied_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn(sentences[why], "from=%s suppressed=%llu", ip_address_format(&peer, text),
                 (unsigned long long)suppressed);
}

static void refuse(struct conn *c, enum http_proxy_refusal why) {
    metric_add(&c->group->service.metrics->proxy_refused[why], 1);
    tell(c, why);
    proxied_end(c, HUB_END_ERROR);
}

/* One that is gone already was a check of the port, most often. */
static void refuse_stranger(struct conn *c) {
    struct ip_address peer = conn_peer(c);
    if (ip_address_equal(&peer, &ip_address_nobody))
        proxied_end(c, HUB_END_CLIENT);
    else
        refuse(c, HTTP_PROXY_UNTRUSTED);
}

/* ---- reading ---- */

static ssize_t receive(struct conn *c, size_t len, int flags) {
    ssize_t n;
    do
        n = recv(c->transport.fd, c->group->scratch, len, flags);
    while (n < 0 && errno == EINTR);
    return n;
}

/* The client's end. Who comes and says nothing looks whether the port is open, most often. */
static void ended(struct conn *c) {
    if (proxied_of(c)->header->len > 0)
        refuse(c, HTTP_PROXY_UNFINISHED);
    else
        proxied_end(c, HUB_END_CLIENT);
}

static void look_at_state(struct conn *c) {
    struct proxied *p = proxied_of(c);
    struct ip_address source = p->header->source;
    bool named = p->header->named;
    switch ((enum proxy_header_state)p->header->state) {
    case PROXY_HEADER_READING:
        return;
    case PROXY_HEADER_MISSING:
        refuse(c, HTTP_PROXY_MISSING);
        return;
    case PROXY_HEADER_MALFORMED:
        refuse(c, HTTP_PROXY_MALFORMED);
        return;
    case PROXY_HEADER_DONE:
        finish(p);
        conn_begin(c, named ? &source : NULL);
        return;
    }
}

static void proxied_ready(struct conn *c, unsigned can) {
    struct proxied *p = proxied_of(c);
    if (!(can & TRANSPORT_READ))
        return;
    ssize_t n = receive(c, PEEK_BYTES, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (n <= 0) {
        ended(c);
        return;
    }
    size_t taken = proxy_header_feed(p->header, c->group->scratch, (size_t)n);
    receive(c, taken, 0);
    look_at_state(c);
}

static void proxied_deadline(struct conn *c) {
    refuse(c, HTTP_PROXY_UNFINISHED);
}

static void proxied_drain(struct conn *c) {
    conn_set_deadline(c, DRAIN_MS);
}

/* ---- the beginning ---- */

static void proxied_start(struct conn *c) {
    if (!conn_is_of_proxy(c)) {
        refuse_stranger(c);
        return;
    }
    proxied_of(c)->header = mem_zalloc(sizeof(struct proxy_header));
    conn_set_deadline(c, c->group->service.options.header_timeout_ms);
    conn_want(c, TRANSPORT_READ);
}

const struct conn_protocol proxied_protocol = {.size = sizeof(struct proxied),
                                               .start = proxied_start,
                                               .ready = proxied_ready,
                                               .deadline = proxied_deadline,
                                               .drain = proxied_drain,
                                               .end = proxied_end};
_Static_assert(offsetof(struct proxied, conn) == 0, "conn.c frees it by its first member");
