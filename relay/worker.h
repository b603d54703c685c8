/* A worker: one thread with its loop, its hub, its HTTP server and its inbox.
 *
 * Between worker_start() and worker_join() the thread owns everything inside; the main thread
 * speaks to it through commands, the bus through its inbox, and the metrics page reads its metrics.
 */
#ifndef RELAY_WORKER_H
#define RELAY_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "relay/base/queue.h"
#include "relay/http/server.h"
#include "relay/hub/hub.h"

struct worker_metrics {
    struct hub_metrics hub;
    struct http_metrics http;
    struct metric_histogram
        lag; /* how late the loop's timer was: what a new event may have to wait */
};

struct worker {
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t wakeup; /* of both queues */
    uv_check_t turn;
    uv_idle_t busy; /* active while a turn left work: the loop then does not sleep */
    uv_timer_t tick;
    uint64_t tick_due_us;
    struct queue inbox; /* from the bus */
    struct queue commands;
    struct hub *hub;
    struct server *server;
    struct worker_metrics metrics;
    char name[24];
    bool is_over; /* worker_fini() was called: there is no bus that could be told anything */
    _Atomic bool draining; /* what was asked of it up to worker_drain() is done */
};

enum {
    /* What the bus may queue for a worker that does not keep up, before it drops events and says
       so. */
    WORKER_INBOX_MAX_MESSAGES = 65536,
    WORKER_INBOX_MAX_BYTES = 64 * 1024 * 1024
};

/* Make loop, inbox, hub and server. @hub_options and @http_options: `send`, `now_us` and `worker`
 * are the caller's to fill. Aborts, with a line in the log, where the system gives no loop. */
void worker_init(struct worker *w, const struct hub_options *hub_options,
                 const struct http_options *http_options);

/* Before worker_start(): accept on this socket. */
void worker_listen(struct worker *w, int listen_fd, struct http_door door);

/* Start the thread. Aborts where there is none to be had. */
void worker_start(struct worker *w);

/* Commands: any thread, between start and join. They are carried out in order. */
/* Serve an accepted connection. */
void worker_adopt(struct worker *w, int fd, struct http_door door);
void worker_stop_accepting(struct worker *w);
void worker_drain(struct worker *w, uint64_t window_ms);
void worker_stop(struct worker *w); /* close everything at once and end the thread */

/* Whether worker_drain() was carried out, and with it every command before: whom the node had
 * accepted by then is counted among the connections. Any thread. */
bool worker_is_draining(const struct worker *w);

/* Wait for the thread that worker_stop() ended. */
void worker_join(struct worker *w);

/* After the bus has stopped too: free what is left, answers that nobody waits for included. */
void worker_fini(struct worker *w);

#endif
