/* The one acceptor of a listener that workers cannot share (unix:, and TCP where SO_REUSEPORT does
 * not spread): it accepts on the main loop and hands each connection to the worker with the fewest.
 * Main thread. */
#ifndef RELAY_ACCEPTOR_H
#define RELAY_ACCEPTOR_H

#include <stdbool.h>
#include <uv.h>

#include "relay/http/server.h"
#include "relay/worker.h"

struct acceptor {
    uv_poll_t poll;
    uv_timer_t pause; /* runs while file descriptors or room are short */
    int listen_fd;
    struct http_door door;
    struct worker *workers;
    unsigned workers_len;
    const struct http_shared *shared;
};

/* Start accepting on @listen_fd, which is taken over. The workers have started. */
void acceptor_start(struct acceptor *a, uv_loop_t *loop, int listen_fd, struct http_door door,
                    struct worker *workers, unsigned workers_len, const struct http_shared *shared);

/* Hand out what the kernel has accepted, then close the socket and the handles. May be called
 * twice. */
void acceptor_stop(struct acceptor *a);

#endif
