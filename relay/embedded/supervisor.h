/* The process that watches over redis-server and the demo's publishers; see embedded.h.
 *
 * It is forked by embedded_start(), ends with its lifeline, and speaks to the relay through one
 * pipe: a letter, and for all but 'R' a text for people behind it. Main thread of a process that
 * has no other. */
#ifndef RELAY_EMBEDDED_SUPERVISOR_H
#define RELAY_EMBEDDED_SUPERVISOR_H

enum supervisor_report {
    SUPERVISOR_READY = 'R',   /* everything that was asked for runs */
    SUPERVISOR_TIMEOUT = 'T', /* redis-server does not accept connections */
    SUPERVISOR_ENDED = 'E'    /* redis-server ended, or could not be started */
};

enum { SUPERVISOR_READY_MS = 5000, SUPERVISOR_END_MS = 2000 };

struct supervisor_plan {
    const char *redis;     /* the program redis-server; NULL: start none */
    const char *directory; /* private; removed at the end; NULL without redis */
    const char *socket;    /* in it */
    const char *publish;   /* the program sse-publish; NULL: no demo */
    const char *redis_url; /* where it publishes */
    const char *prefix;    /* --prefix for it, or NULL */
    int lifeline_fd;       /* the relay lives until this ends */
    int report_fd;         /* to the relay */
};

/* A pipe for this process alone: close-on-exec, and none of its ends takes the number of a standard
 * stream that happens to be closed. Returns RELAY_OK or RELAY_EIO, with errno. */
int supervisor_pipe(int fds[2]);

/* Run until the lifeline or redis-server ends; then leave nothing behind and exit. */
_Noreturn void supervisor_run(const struct supervisor_plan *plan);

#endif
