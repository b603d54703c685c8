/* A connection's socket on the loop, its deadlines and its place in the counts; see conn.h. */
#include "relay/http/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/http/limits.h"

/* ---- the end ---- */

static void on_handle_closed(uv_handle_t *handle) {
    struct conn *c = handle->data;
    struct conn_group *group = c->group;
    free(c);
    group->on_closed(group);
}

static void unlink_from_group(struct conn *c) {
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->group->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    metric_sub(&c->group->service.metrics->connections, 1);
    atomic_fetch_sub_explicit(&c->group->service.options.shared->connections, 1,
                              memory_order_relaxed);
}

void conn_close(struct conn *c) {
    if (c->closed)
        return;
    c->closed = true;
    wheel_clear(&c->deadline);
    log_debug("connection closed", "fd=%d", c->transport.fd);
    unlink_from_group(c);
    uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    transport_close(&c->transport);
    limits_leave(c->held);
}

/* ---- deadlines ---- */

static void set_deadline_at(struct conn *c, uint64_t due_ms) {
    wheel_set(&c->group->wheel, &c->deadline, due_ms);
}

void conn_set_deadline(struct conn *c, uint64_t from_now_ms) {
    set_deadline_at(c, clock_mono_ms() + from_now_ms);
}

void conn_clear_deadline(struct conn *c) {
    wheel_clear(&c->deadline);
}

void conn_blocked(struct conn *c) {
    if (c->progress_ms != 0)
        return;
    c->progress_ms = clock_mono_ms();
    set_deadline_at(c, c->progress_ms + c->group->service.options.write_timeout_ms);
}

void conn_unblocked(struct conn *c) {
    if (c->progress_ms == 0)
        return;
    c->progress_ms = 0;
    wheel_clear(&c->deadline);
}

static void on_deadline(struct wheel_entry *e, uint64_t now_ms, void *ctx) {
    struct conn *c = container_of(e, struct conn, deadline);
    uint64_t write_timeout_ms = c->group->service.options.write_timeout_ms;
    (void)ctx;
    if (c->progress_ms == 0)
        c->protocol->deadline(c);
    else if (now_ms < c->progress_ms + write_timeout_ms)
        set_deadline_at(c, c->progress_ms + write_timeout_ms);
    else
        c->protocol->end(c, HUB_END_WRITE_TIMEOUT);
}

void conn_group_tick(struct conn_group *group, uint64_t now_ms) {
    wheel_advance(&group->wheel, now_ms, on_deadline, NULL);
}

/* ---- polling ---- */

_Static_assert((int)TRANSPORT_READ == (int)UV_READABLE && (int)TRANSPORT_WRITE == (int)UV_WRITABLE,
               "a transport speaks of events as the loop does");

/* The kernel reports an error: a reset by the client, or TCP_USER_TIMEOUT for one that vanished. */
static enum hub_end failure_of(const struct conn *c) {
    int error = 0;
    socklen_t len = sizeof(error);
    getsockopt(c->transport.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error == ECONNRESET || error == EPIPE)
        return HUB_END_CLIENT;
    return error == ETIMEDOUT ? HUB_END_WRITE_TIMEOUT : HUB_END_ERROR;
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* What the transport needs for the same want changes with each of its reads and writes. */
static void poll_for_wanted(struct conn *c) {
    if (c->closed)
        return;
    unsigned events = c->wanted != 0 ? transport_poll_for(&c->transport, c->wanted) : 0;
    if (events == c->polled)
        return;
    c->polled = (uint8_t)events;
    if (events == 0)
        uv_poll_stop(&c->poll);
    else
        uv_poll_start(&c->poll, (int)events, on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct conn *c = poll->data;
    if (status < 0) {
        c->protocol->end(c, failure_of(c));
        return;
    }
    c->protocol->ready(c, transport_ready(&c->transport, (unsigned)events) & c->wanted);
    poll_for_wanted(c);
}

void conn_want(struct conn *c, unsigned wanted) {
    c->wanted = (uint8_t)wanted;
    poll_for_wanted(c);
}

/* ---- the end of a turn ---- */

/* What is asked for meanwhile runs in the next turn, for which the loop may sleep first. */
static void on_turn(uv_prepare_t *turn) {
    struct conn_group *group = turn->data;
    struct conn_later *due = group->later;
    if (due != NULL)
        due->at = &due;
    group->later = NULL;
    while (due != NULL) {
        struct conn_later *l = due;
        conn_later_cancel(l);
        l->run(l);
    }
    if (group->later == NULL)
        uv_prepare_stop(turn);
}

void conn_later(struct conn_group *group, struct conn_later *l) {
    if (l->at != NULL)
        return;
    if (group->later == NULL)
        uv_prepare_start(&group->turn, on_turn);
    else
        group->later->at = &l->next;
    l->next = group->later;
    l->at = &group->later;
    group->later = l;
}

void conn_later_cancel(struct conn_later *l) {
    if (l->at == NULL)
        return;
    *l->at = l->next;
    if (l->next != NULL)
        l->next->at = l->at;
    l->at = NULL;
}

void conn_group_init(struct conn_group *group, uv_loop_t *loop) {
    group->loop = loop;
    wheel_init(&group->wheel, clock_mono_ms());
    uv_prepare_init(loop, &group->turn);
    group->turn.data = group;
}

/* ---- the beginning ---- */

/* Behind a connection that came by a door of the PROXY protocol; others have no room for it. */
struct named {
    struct tls *tls; /* what follows the header is TLS */
    struct ip_address source;
};

static struct named *named_of(const struct conn *c) {
    return (struct named *)((uintptr_t)c + c->group->protocol->size);
}

static size_t size_of(const struct conn_group *group, struct http_door door) {
    return group->protocol->size + (door.proxied ? sizeof(struct named) : 0);
}

/* Asked for where it is needed, and not kept: it would be a sixth of what a connection takes. */
struct ip_address conn_peer(const struct conn *c) {
    if (c->named)
        return named_of(c)->source;
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    if (getpeername(c->transport.fd, (struct sockaddr *)&from, &len) == 0)
        return ip_address_of((const struct sockaddr *)&from);
    len = sizeof(from);
    bool by_file = getsockname(c->transport.fd, (struct sockaddr *)&from, &len) == 0 &&
                   from.ss_family == AF_UNIX;
    return by_file ? (struct ip_address){0} : ip_address_nobody;
}

bool conn_is_of_proxy(const struct conn *c) {
    const struct ip_networks *proxies = c->group->service.options.trusted_proxies;
    if (proxies == NULL)
        return false;
    struct ip_address peer = conn_peer(c);
    return ip_networks_contain(proxies, &peer);
}

/* Count it among the connections of its address. Returns false where it was closed: of those beyond
 * the limit only some may stay to be told so. */
static bool enter(struct conn *c) {
    struct limits *limits = c->group->service.options.shared->limits;
    if (!limits_count_addresses(limits) || conn_is_of_proxy(c))
        return true;
    struct ip_address peer = conn_peer(c);
    enum limits_place place = limits_enter(limits, ip_address_limit_key(&peer), &c->held);
    if (place == LIMITS_CLOSE)
        conn_close(c);
    else if (place == LIMITS_FULL && c->surplus == HTTP_SURPLUS_NONE)
        c->surplus = HTTP_SURPLUS_ADDRESS;
    return place != LIMITS_CLOSE;
}

/* Who it is from is known: what depends on that is decided here. */
static void begin(struct conn *c) {
    if (enter(c))
        c->protocol->start(c);
}

/* Nothing else of @c is in use yet when it returns false. */
static bool init_transport(struct conn *c, int fd, struct tls *tls) {
    if (tls != NULL)
        return transport_init_tls(&c->transport, fd, tls, &c->group->tls);
    transport_init_plain(&c->transport, fd);
    return true;
}

static void reset_protocol(struct conn *c, const struct conn_protocol *protocol) {
    assert(protocol->size <= c->group->protocol->size);
    memset((char *)c + sizeof(*c), 0, protocol->size - sizeof(*c));
    c->protocol = protocol;
    conn_clear_deadline(c);
}

bool conn_new(struct conn_group *group, int fd, struct http_door door) {
    struct http_metrics *metrics = group->service.metrics;
    struct http_shared *shared = group->service.options.shared;
    struct conn *c = mem_zalloc(size_of(group, door));
    c->group = group;
    if (!init_transport(c, fd, door.proxied ? NULL : door.tls)) {
        close(fd);
        free(c);
        return false;
    }
    if (uv_poll_init(group->loop, &c->poll, fd) != 0) {
        transport_close(&c->transport);
        free(c);
        return false;
    }
    c->poll.data = c;
    c->protocol = door.proxied ? group->proxied : group->protocol;
    c->loopback = door.loopback;
    wheel_entry_init(&c->deadline);
    c->next = group->conns;
    if (c->next != NULL)
        c->next->prev = c;
    group->conns = c;
    unsigned before = atomic_fetch_add_explicit(&shared->connections, 1, memory_order_relaxed);
    if (before >= shared->max_connections) {
        c->surplus = HTTP_SURPLUS_NODE;
        limits_reached(shared->limits, HTTP_LIMIT_CONNECTIONS);
    }
    metric_add(&metrics->connections, 1);
    metric_add(&metrics->accepted, 1);
    log_debug("connection accepted", "fd=%d surplus=%d", fd, c->surplus);
    if (door.proxied) {
        named_of(c)->tls = door.tls;
        c->protocol->start(c);
    } else {
        begin(c);
    }
    return true;
}

void conn_begin(struct conn *c, const struct ip_address *source) {
    reset_protocol(c, c->group->protocol);
    if (source != NULL)
        named_of(c)->source = *source;
    c->named = source != NULL;
    if (init_transport(c, c->transport.fd, named_of(c)->tls))
        begin(c);
    else
        conn_close(c);
}

void conn_switch(struct conn *c, const struct conn_protocol *protocol, const void *bytes,
                 size_t len) {
    reset_protocol(c, protocol);
    protocol->start(c);
    protocol->input(c, bytes, len);
}
