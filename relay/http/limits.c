/* Limits of a node; see limits.h. */
#include "relay/http/limits.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "relay/base/buf.h"
#include "relay/base/mem.h"
#include "relay/http/tally.h"

struct limits {
    struct limits_options options;
    struct http_limit_metrics *metrics;
    struct pace publish, accept, failed_token;
    _Atomic uint64_t accept_full_ns;
    struct tally *addresses; /* connections of an address, and streams that stand for one */
    struct tally *subjects,
        *companions;       /* connections of a subject; streams of it on one of them */
    struct tally *streams; /* of a subject */
    struct tally *subject_publishes, *address_publishes, *address_failures; /* paces */
};

struct limits_stream {
    struct tally_entry *forwarded; /* among the connections of its client's address */
    struct tally_entry *stream;    /* among its subject's */
    struct tally_entry *companion; /* among its subject's on this connection */
};

static uint64_t now_ns(const struct limits *l) {
    return l->options.now_us() * 1000;
}

static uint64_t seconds_of(uint64_t ns) {
    return (ns + UINT64_C(999999999)) / UINT64_C(1000000000);
}

void limits_reached(struct limits *l, enum http_limit limit) {
    if (l != NULL)
        http_limit_reached(l->metrics, limit);
}

/* ---- accepting ---- */

/* Asked before, and counted behind it, since most looks at the queue find it empty. Two workers
 * that ask at once may take one more between them. */
bool limits_may_accept(struct limits *l) {
    if (l == NULL || l->options.accept_rate == 0)
        return true;
    uint64_t full = atomic_load_explicit(&l->accept_full_ns, memory_order_relaxed);
    if (pace_take(&l->accept, &full, now_ns(l)) == 0)
        return true;
    limits_reached(l, HTTP_LIMIT_ACCEPT_RATE);
    return false;
}

void limits_accepted(struct limits *l) {
    if (l == NULL || l->options.accept_rate == 0)
        return;
    uint64_t now = now_ns(l), full,
             before = atomic_load_explicit(&l->accept_full_ns, memory_order_relaxed);
    do
        full = (before > now ? before : now) + l->accept.interval_ns;
    while (!atomic_compare_exchange_weak_explicit(&l->accept_full_ns, &before, full,
                                                  memory_order_relaxed, memory_order_relaxed));
}

/* ---- addresses ---- */

bool limits_count_addresses(const struct limits *l) {
    return l != NULL && l->options.connections_per_address > 0;
}

enum limits_place limits_enter(struct limits *l, uint64_t address, struct tally_entry **held) {
    unsigned max = l != NULL ? l->options.connections_per_address : 0, count = 0;
    *held = NULL;
    if (max == 0 || address == 0)
        return LIMITS_PLACE;
    *held =
        tally_take(l->addresses, &address, sizeof(address), max + LIMITS_ADDRESS_SURPLUS, &count);
    if (*held != NULL && count <= max)
        return LIMITS_PLACE;
    limits_reached(l, HTTP_LIMIT_ADDRESS_CONNECTIONS);
    return *held != NULL ? LIMITS_FULL : LIMITS_CLOSE;
}

void limits_leave(struct tally_entry *held) {
    tally_give(held);
}

/* ---- streams ---- */

/* Count the stream's connection as one of its subject's, unless another stream of the subject is
 * on it. Returns false where the subject has too many. */
static bool begin_companion(struct limits *l, const struct subject *subject, const void *connection,
                            struct tally_entry **out) {
    struct buf key = BUF_INIT;
    unsigned count = 0, connections = 0;
    buf_append(&key, &connection, sizeof(connection));
    buf_append(&key, subject->data, subject->len);
    struct tally_entry *e = tally_take(l->companions, key.data, key.len, UINT32_MAX, &count);
    buf_fini(&key);
    if (count == 1) {
        *tally_note(e) = tally_take(l->subjects, subject->data, subject->len,
                                    l->options.connections_per_subject, &connections);
        if (*tally_note(e) == NULL) {
            tally_give(e);
            return false;
        }
    }
    *out = e;
    return true;
}

/* A connection has one thread, so nobody else counts or gives back on it meanwhile. */
static void end_companion(struct tally_entry *e) {
    struct tally_entry *connection = e != NULL ? *tally_note(e) : NULL;
    if (e != NULL && tally_give(e) == 0)
        tally_give(connection);
}

static bool begin_forwarded(struct limits *l, uint64_t address, struct tally_entry **out) {
    unsigned max = l->options.connections_per_address, count;
    if (max == 0 || address == 0)
        return true;
    *out = tally_take(l->addresses, &address, sizeof(address), max, &count);
    return *out != NULL;
}

static enum http_limit begin_of_subject(struct limits *l, const struct subject *subject,
                                        const void *connection, struct limits_stream *s) {
    unsigned count;
    if (subject->data == NULL || subject->len == 0)
        return HTTP_LIMITS;
    if (l->options.streams_per_subject > 0) {
        s->stream = tally_take(l->streams, subject->data, subject->len,
                               l->options.streams_per_subject, &count);
        if (s->stream == NULL)
            return HTTP_LIMIT_SUBJECT_STREAMS;
    }
    if (l->options.connections_per_subject > 0 &&
        !begin_companion(l, subject, connection, &s->companion))
        return HTTP_LIMIT_SUBJECT_CONNECTIONS;
    return HTTP_LIMITS;
}

static void give_back(const struct limits_stream *s) {
    tally_give(s->forwarded);
    tally_give(s->stream);
    end_companion(s->companion);
}

enum http_limit limits_begin_stream(struct limits *l, const struct subject *subject,
                                    uint64_t forwarded, const void *connection,
                                    struct limits_stream **held) {
    struct limits_stream s = {NULL, NULL, NULL};
    enum http_limit beyond = HTTP_LIMIT_ADDRESS_CONNECTIONS;
    *held = NULL;
    if (l == NULL)
        return HTTP_LIMITS;
    if (begin_forwarded(l, forwarded, &s.forwarded))
        beyond = begin_of_subject(l, subject, connection, &s);
    if (beyond != HTTP_LIMITS) {
        give_back(&s);
        limits_reached(l, beyond);
    } else if (s.forwarded != NULL || s.stream != NULL || s.companion != NULL) {
        *held = mem_zalloc(sizeof(**held));
        **held = s;
    }
    return beyond;
}

void limits_end_stream(struct limits_stream *held) {
    if (held == NULL)
        return;
    give_back(held);
    free(held);
}

/* ---- paces ---- */

uint64_t limits_publish(struct limits *l, const struct subject *subject, uint64_t address) {
    uint64_t wait_ns = 0;
    if (l == NULL || l->options.publish_rate == 0)
        return 0;
    if (subject->data != NULL && subject->len > 0)
        wait_ns =
            tally_pass(l->subject_publishes, subject->data, subject->len, &l->publish, now_ns(l));
    else if (address != 0)
        wait_ns =
            tally_pass(l->address_publishes, &address, sizeof(address), &l->publish, now_ns(l));
    if (wait_ns > 0)
        limits_reached(l, HTTP_LIMIT_PUBLISH_RATE);
    return seconds_of(wait_ns);
}

uint64_t limits_token(struct limits *l, uint64_t address) {
    if (l == NULL || l->options.failed_tokens == 0 || address == 0)
        return 0;
    uint64_t wait_ns =
        tally_wait(l->address_failures, &address, sizeof(address), &l->failed_token, now_ns(l));
    if (wait_ns > 0)
        limits_reached(l, HTTP_LIMIT_FAILED_TOKENS);
    return seconds_of(wait_ns);
}

void limits_token_failed(struct limits *l, uint64_t address) {
    if (l != NULL && l->options.failed_tokens > 0 && address != 0)
        tally_pass(l->address_failures, &address, sizeof(address), &l->failed_token, now_ns(l));
}

/* ---- life ---- */

struct limits *limits_new(const struct limits_options *o, struct http_limit_metrics *metrics) {
    struct limits *l = mem_zalloc(sizeof(*l));
    l->options = *o;
    l->metrics = metrics;
    if (o->accept_rate > 0)
        l->accept = pace_of(o->accept_rate, o->accept_rate);
    if (o->publish_rate > 0)
        l->publish = pace_of(o->publish_rate, o->publish_burst);
    if (o->failed_tokens > 0) {
        l->failed_token = pace_of(1, 60);
        l->failed_token.interval_ns = l->failed_token.burst_ns / o->failed_tokens;
    }
    struct tally **all[] = {&l->addresses,       &l->subjects,          &l->companions,
                            &l->streams,         &l->subject_publishes, &l->address_publishes,
                            &l->address_failures};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        *all[i] = tally_new();
    return l;
}

void limits_free(struct limits *l) {
    if (l == NULL)
        return;
    tally_free(l->addresses);
    tally_free(l->subjects);
    tally_free(l->companions);
    tally_free(l->streams);
    tally_free(l->subject_publishes);
    tally_free(l->address_publishes);
    tally_free(l->address_failures);
    free(l);
}

void limits_tick(struct limits *l) {
    if (l == NULL)
        return;
    uint64_t now = now_ns(l);
    tally_sweep(l->subject_publishes, now);
    tally_sweep(l->address_publishes, now);
    tally_sweep(l->address_failures, now);
}
