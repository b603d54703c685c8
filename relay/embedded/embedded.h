/* A private redis-server and the demo's publishers, as children that cannot outlive the relay.
 *
 * The story: embedded_start() makes a private directory, then forks a supervisor, a small process
 * in a session of its own (Ctrl-C does not reach it or its children) that holds the read end of a
 * pipe, the lifeline. It starts redis-server on a unix socket in that directory and, for the demo,
 * two sse-publish. When the lifeline ends, because of embedded_stop() or because the relay ended in
 * whatever way, SIGKILL included, the supervisor ends its children (SIGTERM, SIGKILL after 2 s),
 * removes the directory and exits. When redis-server ends on its own, nothing restarts it: the
 * supervisor says why on report_fd and ends everything. A publisher that ends is started again.
 *
 * start/stop: synchronous, no loop. Main thread, and start before any other thread exists, since
 * the supervisor is a fork without exec. */
#ifndef RELAY_EMBEDDED_EMBEDDED_H
#define RELAY_EMBEDDED_EMBEDDED_H

#include <stdbool.h>
#include <sys/types.h>

#include "relay/base/buf.h"

struct embedded_options {
    bool redis;                /* start a private redis-server */
    bool demo;                 /* run `sse-publish clock` and `sse-publish letters` */
    const char *redis_url;     /* where the demo publishes when @redis is false */
    const char *prefix;        /* that the demo publishes under; NULL for the default */
    void (*forked)(void *arg); /* called in the supervisor first: closes the caller's descriptors
                                  that must end with the relay, such as its listeners; or NULL */
    void *forked_arg;
};

struct embedded {
    char *redis_url; /* of the private server (unix:…), NULL without one; valid until stop */
    int report_fd;   /* readable when redis-server ended on its own: see embedded_report(); or -1 */
    int lifeline_fd; /* the supervisor lives as long as this is open */
    pid_t supervisor;
};

#define EMBEDDED_INIT                                                                              \
    { .report_fd = -1, .lifeline_fd = -1, .supervisor = -1 }

/* Start what @o asks for and wait (5 s at most) until redis-server accepts connections.
 *
 * Returns RELAY_OK, or a code and a sentence in @why that says what to do; nothing is left running
 * then:
 *   RELAY_ECONN     redis-server or sse-publish was not found, or ended at its start
 *   RELAY_ETIMEOUT  redis-server did not accept in time
 *   RELAY_EIO       the system refused a directory, a pipe or a process */
int embedded_start(struct embedded *e, const struct embedded_options *o, struct buf *why);

/* Append why redis-server ended; call it when report_fd is readable. The relay is expected to log
 * it, stop, and exit with a failure. */
void embedded_report(struct embedded *e, struct buf *why);

/* End the children, wait for it (bounded), free everything. Does nothing the second time, or after
 * EMBEDDED_INIT or a start that failed. */
void embedded_stop(struct embedded *e);

#endif
