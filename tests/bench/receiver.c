/* The receiving thread; see receiver.h.
 *
 * A turn reads every socket that epoll names once, up to a large buffer, and remembers one time per
 * read. Edge-triggered, so a short read is the last one and costs no second system call. Connecting
 * waits for the kernel's handshake, which loopback does within the call, and is bounded by the
 * heads that are still awaited, so that a server's accept queue never overflows: a SYN that was
 * dropped there would come back a second later. */
#include "tests/bench/receiver.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/h2_client.h"
#include "tests/bench/ledger.h"

enum { READ_BYTES = 256 * 1024, EPOLL_EVENTS = 512, TURN_MS = 50, CONNECTS_PER_TURN = 16 };

struct subscriber {
    struct connection *connection;
    struct ledger ledger;
    struct stream stream;
    bool open; /* asked for, and neither side has ended it */
    bool ready;
};

/* One subscriber of HTTP/1.1, or several of HTTP/2. */
struct connection {
    struct receiver *receiver;
    struct transport transport;
    nghttp2_session *h2; /* NULL: HTTP/1.1 */
    struct subscriber *subscribers;
    unsigned count;
    const char *out; /* what is to be written */
    size_t out_left;
};

static struct receiver *receiver_of(const struct subscriber *s) {
    return s->connection->receiver;
}

static void mark_ready(struct subscriber *s) {
    if (!s->ready) {
        s->ready = true;
        atomic_fetch_add_explicit(&receiver_of(s)->ready, 1, memory_order_relaxed);
    }
}

static void on_head(void *context, int status) {
    struct subscriber *s = context;
    struct receiver *r = receiver_of(s);
    r->waiting--;
    if (status != 200)
        r->figures.refused++;
    else if (r->options->ready_event == NULL)
        mark_ready(s);
}

static void on_payload(struct subscriber *s, const struct payload *p) {
    struct receiver *r = receiver_of(s);
    uint64_t first = atomic_load_explicit(&r->first, memory_order_relaxed);
    if (p->seq < first) {
        atomic_fetch_add_explicit(&r->delivered, 1, memory_order_relaxed);
        return;
    }
    if (s->ledger.next < first)
        ledger_start(&s->ledger, first);
    uint64_t skipped = 0;
    enum ledger_verdict verdict = ledger_note(&s->ledger, p->seq, &skipped);
    if (verdict == LEDGER_DUPLICATE) {
        r->figures.duplicates++;
        return;
    }
    r->figures.events++;
    r->figures.skipped += skipped;
    r->figures.late += verdict == LEDGER_LATE;
    histogram_note(&r->figures.latency, r->read_ns > p->due_ns ? r->read_ns - p->due_ns : 0);
    atomic_fetch_add_explicit(&r->delivered, 1, memory_order_relaxed);
}

static void on_event(void *context, const struct stream_event *event) {
    struct subscriber *s = context;
    struct receiver *r = receiver_of(s);
    const struct receiver_options *o = r->options;
    if (o->ready_event != NULL && strcmp(event->name, o->ready_event) == 0)
        mark_ready(s);
    else if (strcmp(event->name, "relay.reset") == 0)
        r->figures.resets++;
    else if (strncmp(event->name, "relay.", 6) == 0)
        return;
    else if (event->intact)
        on_payload(s, &event->payload);
    else
        r->figures.damaged++;
}

static bool subscriber_feed(struct subscriber *s, const char *bytes, size_t length) {
    const struct receiver *r = receiver_of(s);
    const struct stream_handlers handlers = {s, r->options->payload_bytes, on_head, on_event};
    return stream_feed(&s->stream, &handlers, bytes, length);
}

static void subscriber_end(struct subscriber *s) {
    struct receiver *r = receiver_of(s);
    if (!s->open)
        return;
    s->open = false;
    r->waiting -= s->stream.status == 0;
    stream_fini(&s->stream);
}

/* ---- HTTP/2 ---- */

static void on_h2_head(void *context, int status) {
    struct subscriber *s = context;
    stream_init_body(&s->stream, status);
    on_head(s, status);
}

static void on_h2_end(void *context) {
    struct subscriber *s = context;
    receiver_of(s)->figures.broken += s->open;
    subscriber_end(s);
}

static void on_h2_bytes(void *context, const char *bytes, size_t length) {
    struct subscriber *s = context;
    if (s->open && !subscriber_feed(s, bytes, length))
        on_h2_end(s);
}

static const struct h2_client_handlers h2_handlers = {on_h2_head, on_h2_bytes, on_h2_end};

static void h2_open(struct connection *c) {
    const struct receiver_options *o = c->receiver->options;
    c->h2 = h2_client_new(&h2_handlers);
    for (unsigned i = 0; i < c->count; i++)
        h2_client_subscribe(c->h2, o->tls ? "https" : "http", o->target.text, o->path,
                            &c->subscribers[i]);
}

/* ---- a connection ---- */

static void connection_close(struct connection *c) {
    for (unsigned i = 0; i < c->count; i++)
        subscriber_end(&c->subscribers[i]);
    nghttp2_session_del(c->h2);
    c->h2 = NULL;
    transport_close(&c->transport);
}

static void connection_broken(struct connection *c) {
    for (unsigned i = 0; i < c->count; i++)
        c->receiver->figures.broken += c->subscribers[i].open;
    connection_close(c);
}

/* Write what there is, as far as the socket takes it. False: the connection is broken. */
static bool connection_write(struct connection *c) {
    for (;;) {
        if (c->out_left == 0 && c->h2 != NULL) {
            ssize_t n = nghttp2_session_mem_send(c->h2, (const uint8_t **)&c->out);
            if (n < 0)
                return false;
            c->out_left = (size_t)n;
        }
        if (c->out_left == 0)
            return true;
        ssize_t n = transport_write(&c->transport, c->out, c->out_left);
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        c->out += n;
        c->out_left -= (size_t)n;
    }
}

/* Connect and ask. A failure here is the end of the run: nothing measured after it would hold. */
static void connection_open(struct receiver *r, struct connection *c) {
    const struct receiver_options *o = r->options;
    bool connected = transport_open(&c->transport, &o->target, &r->source, o->tls ? &r->tls : NULL);
    for (unsigned i = 0; i < c->count; i++) {
        stream_init(&c->subscribers[i].stream);
        c->subscribers[i].open = true;
    }
    c->out = o->request;
    c->out_left = o->streams > 0 ? 0 : strlen(o->request);
    if (o->streams > 0)
        h2_open(c);
    if (!connected || !connection_write(c)) {
        fprintf(stderr, "sseload: subscriber %u: %s\n", r->opened, strerror(errno));
        exit(1);
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLET | EPOLLRDHUP, .data.ptr = c};
    if (c->transport.ssl != NULL || c->h2 != NULL)
        event.events |= EPOLLOUT;
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->transport.fd, &event) != 0)
        abort();
    r->waiting += c->count;
}

/* Churning: with its head this connection is done, and the next one begins. */
static bool connection_churn(struct connection *c) {
    struct receiver *r = c->receiver;
    if (c->subscribers[0].stream.status == 0)
        return false;
    connection_close(c);
    atomic_fetch_add_explicit(&r->churned, 1, memory_order_relaxed);
    if (!atomic_load_explicit(&r->stop, memory_order_relaxed))
        connection_open(r, c);
    return true;
}

static bool connection_feed(struct connection *c, const char *bytes, size_t length) {
    if (c->h2 == NULL)
        return subscriber_feed(c->subscribers, bytes, length);
    return nghttp2_session_mem_recv(c->h2, (const uint8_t *)bytes, length) == (ssize_t)length &&
           (nghttp2_session_want_read(c->h2) || nghttp2_session_want_write(c->h2));
}

/* A short read of a socket is its last one; TLS may hold more, whatever it has just given. */
static void connection_read(struct connection *c, bool hung_up, char *buffer) {
    struct receiver *r = c->receiver;
    for (;;) {
        ssize_t n = transport_read(&c->transport, buffer, READ_BYTES);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        r->read_ns = now_ns();
        if (n <= 0 || !connection_feed(c, buffer, (size_t)n)) {
            connection_broken(c);
            return;
        }
        if (r->options->churn && connection_churn(c))
            return;
        if (c->transport.ssl == NULL && n < READ_BYTES && !hung_up)
            return;
    }
}

/* The request may have to wait for a handshake that only reading carries on, and answers of HTTP/2
 * to what was read are to be written. */
static void connection_turn(struct connection *c, bool hung_up, char *buffer) {
    if (c->out_left > 0 && !connection_write(c)) {
        connection_broken(c);
        return;
    }
    connection_read(c, hung_up, buffer);
    if (c->transport.fd >= 0 && (c->h2 != NULL || c->out_left > 0) && !connection_write(c))
        connection_broken(c);
}

static void open_some(struct receiver *r) {
    for (int i = 0; i < CONNECTS_PER_TURN && r->opened < r->connections_count; i++) {
        if (r->waiting >= r->options->in_flight)
            return;
        connection_open(r, &r->connections[r->opened]);
        r->opened++;
    }
}

static void *run(void *context) {
    struct receiver *r = context;
    char *buffer = malloc(READ_BYTES);
    if (buffer == NULL)
        abort();
    struct epoll_event events[EPOLL_EVENTS];
    while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
        open_some(r);
        bool opening = r->opened < r->connections_count && r->waiting < r->options->in_flight;
        int n = epoll_wait(r->epoll, events, EPOLL_EVENTS, opening ? 0 : TURN_MS);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            bool hung_up = (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
            if (c->transport.fd >= 0)
                connection_turn(c, hung_up, buffer);
        }
    }
    free(buffer);
    return NULL;
}

static void make_connections(struct receiver *r, unsigned each) {
    unsigned total = r->options->subscribers;
    r->connections_count = (total + each - 1) / each;
    r->subscribers = calloc(total, sizeof(*r->subscribers));
    r->connections = calloc(r->connections_count, sizeof(*r->connections));
    if (r->subscribers == NULL || r->connections == NULL)
        abort();
    for (unsigned i = 0; i < r->connections_count; i++) {
        unsigned left = total - i * each;
        r->connections[i] = (struct connection){.receiver = r,
                                                .transport = {.fd = -1},
                                                .subscribers = &r->subscribers[i * each],
                                                .count = left < each ? left : each};
    }
    for (unsigned i = 0; i < total; i++)
        r->subscribers[i].connection = &r->connections[i / each];
}

bool receiver_start(struct receiver *r, const struct receiver_options *options) {
    memset(r, 0, sizeof(*r));
    r->options = options;
    atomic_store(&r->first, ULLONG_MAX);
    source_init(&r->source, options->block);
    make_connections(r, options->streams > 0 ? options->streams : 1);
    if (options->tls)
        tls_client_init(&r->tls, options->streams > 0 ? "h2" : "http/1.1", options->resume);
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r->epoll < 0)
        return false;
    errno = pthread_create(&r->thread, NULL, run, r);
    return errno == 0;
}

void receiver_stop(struct receiver *r) {
    atomic_store(&r->stop, true);
    pthread_join(r->thread, NULL);
}

uint64_t receiver_lost(const struct receiver *r, uint64_t total) {
    uint64_t first = atomic_load(&r->first);
    uint64_t lost = r->figures.skipped - r->figures.late;
    for (unsigned i = 0; i < r->options->subscribers; i++) {
        uint64_t next = r->subscribers[i].ledger.next;
        lost += total - (next > first ? next : first);
    }
    return lost;
}

void receiver_free(struct receiver *r) {
    for (unsigned i = 0; i < r->opened; i++) {
        if (r->connections[i].transport.fd >= 0)
            connection_close(&r->connections[i]);
    }
    if (r->options->tls)
        tls_client_fini(&r->tls);
    free(r->connections);
    free(r->subscribers);
    close(r->epoll);
}
