/* One connection that publishes: POST over HTTP/1.1, or PUBLISH to Redis. Requests leave in order,
 * several may be under way, and their answers are counted. The thread that made it uses it. */
#ifndef BENCH_PUBLISHER_H
#define BENCH_PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/net.h"

struct publish_target {
    struct address address;
    bool redis;       /* PUBLISH to the channel below; else POST to the path below */
    const char *name; /* a channel, or a path with its query */
    size_t payload_bytes;
};

struct publisher {
    const struct publish_target *target;
    int fd;
    uint64_t sent;     /* events, and the number of the next one */
    uint64_t answered; /* answers that came, of whatever kind */
    uint64_t refused;  /* answers that were errors; the first one is shown on stderr */
    char *request;     /* scratch for one request */
    char input[16 * 1024];
    size_t input_used;
};

/* Connect. False with errno. @target outlives the publisher. */
bool publisher_open(struct publisher *p, const struct publish_target *target);
void publisher_close(struct publisher *p);

/* Publish the next event, due at @due_ns. Waits while the socket is full. A connection that breaks
 * is the end of the program. */
void publisher_send(struct publisher *p, uint64_t due_ns);

/* Read answers until no more than @outstanding are missing, @deadline_ns at the latest. */
void publisher_wait(struct publisher *p, uint64_t outstanding, uint64_t deadline_ns);

/* Read answers until @deadline_ns. */
void publisher_rest(struct publisher *p, uint64_t deadline_ns);

#endif
