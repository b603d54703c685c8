/* One thread with its share of the subscribers: connects them, reads them, keeps the figures.
 *
 * Lifecycle: receiver_start(), then the atomics may be read at any time; receiver_stop() ends the
 * thread, after which the plain figures may be read; receiver_free(). */
#ifndef BENCH_RECEIVER_H
#define BENCH_RECEIVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/histogram.h"
#include "tests/bench/net.h"
#include "tests/bench/stream.h"
#include "tests/bench/transport.h"

struct receiver_options {
    struct address target;
    const char *request;     /* the whole request head that subscribes on HTTP/1.1 */
    const char *path;        /* what a stream of HTTP/2 asks for */
    const char *ready_event; /* a subscriber is ready with this event; NULL: with its head */
    size_t payload_bytes;
    unsigned subscribers;
    unsigned streams;   /* of HTTP/2 on each connection; 0: HTTP/1.1, one subscriber on each */
    bool tls;           /* else the socket alone */
    bool resume;        /* handshakes go on with the session before, as far as the server does */
    unsigned in_flight; /* subscribers that may wait for their head at the same time */
    unsigned block;     /* of source addresses, see net.h */
    /* Close each connection when its head has arrived, and open the next, until stopped. */
    bool churn;
};

/* Figures of the run proper, which begins at the number `first`. */
struct receiver_figures {
    uint64_t events;     /* seen for the first time, in order or late */
    uint64_t late;       /* of these, those that came after a higher number */
    uint64_t duplicates; /* seen before */
    uint64_t skipped;    /* numbers below the highest seen that are missing, late ones included */
    uint64_t damaged;    /* data that is no intact payload */
    uint64_t resets;     /* relay.reset */
    uint64_t refused;    /* answers other than 200 */
    uint64_t broken;     /* connections that ended, or whose bytes were bad */
    struct histogram latency;
};

struct subscriber;
struct connection;

struct receiver {
    const struct receiver_options *options;
    pthread_t thread;
    int epoll;
    struct source source;
    struct tls_client tls;
    struct subscriber *subscribers;
    struct connection *connections;
    unsigned connections_count;
    unsigned opened;         /* connections that were made once */
    unsigned waiting;        /* subscribers whose head has not arrived */
    uint64_t read_ns;        /* when the bytes now being parsed were read */
    atomic_ullong delivered; /* events, those before `first` included */
    atomic_uint ready;       /* subscribers that are ready */
    atomic_ullong churned;   /* connections closed after their first bytes */
    atomic_ullong first;     /* events below this number are only counted: at first, all */
    atomic_bool stop;
    struct receiver_figures figures;
};

/* False with errno: the thread or its epoll could not be made. @options outlive the receiver. */
bool receiver_start(struct receiver *r, const struct receiver_options *options);

/* End the thread; the connections stay open. */
void receiver_stop(struct receiver *r);

/* Events that were published, @total in number, and never arrived. After receiver_stop(). */
uint64_t receiver_lost(const struct receiver *r, uint64_t total);

/* Close what is open. After receiver_stop(). */
void receiver_free(struct receiver *r);

#endif
