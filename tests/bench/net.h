/* Addresses and connections of the load generator. */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

struct address {
    struct sockaddr_storage sockaddr;
    socklen_t length;
    char text[108]; /* as given: also the value of a Host header */
};

/* Client addresses 127.<block>.x.y with explicit ports, each pair used once: more than one address
 * has ports for, and the kernel need not search for a free one. */
struct source {
    uint32_t address; /* in host order */
    uint16_t port;
};

/* Read `A.B.C.D:PORT` or `unix:/path`. False: it is neither. */
bool address_parse(struct address *a, const char *text);

/* Begin at an arbitrary place of the block, so that runs after each other seldom meet the ports on
 * which the earlier one's connections still wait. @block is 1 to 254. */
void source_init(struct source *s, unsigned block);

/* Connect and wait for it; from @source when it is not NULL and the address is a loopback one.
 * Returns the descriptor, or -1 with errno. */
int net_connect(const struct address *a, struct source *source);

/* Make the descriptor non-blocking. */
void net_nonblocking(int fd);

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
