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

#include "tests/bench/ledger.h"

enum { READ_BYTES = 256 * 1024, EPOLL_EVENTS = 512, TURN_MS = 50, CONNECTS_PER_TURN = 16 };

struct subscriber {
    struct receiver *receiver;
    struct ledger ledger;
    struct stream stream;
    int fd; /* -1: not connected yet, or no longer */
    bool ready;
};

static void mark_ready(struct subscriber *s) {
    if (!s->ready) {
        s->ready = true;
        atomic_fetch_add_explicit(&s->receiver->ready, 1, memory_order_relaxed);
    }
}

static void on_head(void *context, int status) {
    struct subscriber *s = context;
    s->receiver->waiting--;
    if (status != 200)
        s->receiver->figures.refused++;
    else if (s->receiver->options->ready_event == NULL)
        mark_ready(s);
}

static void on_payload(struct subscriber *s, const struct payload *p) {
    struct receiver *r = s->receiver;
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
    const struct receiver_options *o = s->receiver->options;
    if (o->ready_event != NULL && strcmp(event->name, o->ready_event) == 0)
        mark_ready(s);
    else if (strcmp(event->name, "relay.reset") == 0)
        s->receiver->figures.resets++;
    else if (strncmp(event->name, "relay.", 6) == 0)
        return;
    else if (event->intact)
        on_payload(s, &event->payload);
    else
        s->receiver->figures.damaged++;
}

static void subscriber_close(struct subscriber *s) {
    if (s->stream.status == 0 && s->fd >= 0)
        s->receiver->waiting--;
    close(s->fd);
    s->fd = -1;
    stream_fini(&s->stream);
}

/* Connect and ask. A failure here is the end of the run: nothing measured after it would hold. */
static void subscriber_open(struct receiver *r, struct subscriber *s) {
    s->receiver = r;
    stream_init(&s->stream);
    s->fd = net_connect(&r->options->target, &r->source);
    size_t length = strlen(r->options->request);
    if (s->fd < 0 || write(s->fd, r->options->request, length) != (ssize_t)length) {
        fprintf(stderr, "sseload: subscriber %u: %s\n", r->opened, strerror(errno));
        exit(1);
    }
    net_nonblocking(s->fd);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET | EPOLLRDHUP, .data.ptr = s};
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, s->fd, &event) != 0)
        abort();
    r->waiting++;
}

/* Churning: the head was the first bytes, so this connection is done and the next one begins. */
static void subscriber_churn(struct subscriber *s) {
    struct receiver *r = s->receiver;
    if (s->stream.status == 0)
        return;
    subscriber_close(s);
    atomic_fetch_add_explicit(&r->churned, 1, memory_order_relaxed);
    if (!atomic_load_explicit(&r->stop, memory_order_relaxed))
        subscriber_open(r, s);
}

static void subscriber_read(struct subscriber *s, bool hung_up, char *buffer) {
    struct receiver *r = s->receiver;
    const struct receiver_options *o = r->options;
    const struct stream_handlers handlers = {s, o->payload_bytes, on_head, on_event};
    for (;;) {
        ssize_t n = read(s->fd, buffer, READ_BYTES);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        r->read_ns = now_ns();
        if (n <= 0 || !stream_feed(&s->stream, &handlers, buffer, (size_t)n)) {
            subscriber_close(s);
            r->figures.broken++;
            return;
        }
        if (o->churn) {
            subscriber_churn(s);
            return;
        }
        if (n < READ_BYTES && !hung_up)
            return;
    }
}

static void open_some(struct receiver *r) {
    const struct receiver_options *o = r->options;
    for (int i = 0; i < CONNECTS_PER_TURN && r->opened < o->subscribers; i++) {
        if (r->waiting >= o->in_flight)
            return;
        subscriber_open(r, &r->subscribers[r->opened]);
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
        bool opening = r->opened < r->options->subscribers && r->waiting < r->options->in_flight;
        int n = epoll_wait(r->epoll, events, EPOLL_EVENTS, opening ? 0 : TURN_MS);
        for (int i = 0; i < n; i++) {
            struct subscriber *s = events[i].data.ptr;
            bool hung_up = (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
            if (s->fd >= 0)
                subscriber_read(s, hung_up, buffer);
        }
    }
    free(buffer);
    return NULL;
}

bool receiver_start(struct receiver *r, const struct receiver_options *options) {
    memset(r, 0, sizeof(*r));
    r->options = options;
    atomic_store(&r->first, ULLONG_MAX);
    source_init(&r->source, options->block);
    r->subscribers = calloc(options->subscribers, sizeof(*r->subscribers));
    if (r->subscribers == NULL)
        abort();
    for (unsigned i = 0; i < options->subscribers; i++)
        r->subscribers[i].fd = -1;
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
        if (r->subscribers[i].fd >= 0)
            subscriber_close(&r->subscribers[i]);
    }
    free(r->subscribers);
    close(r->epoll);
}
