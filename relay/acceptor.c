/* One acceptor for all workers; see acceptor.h. */
#include "relay/acceptor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "relay/base/log.h"
#include "relay/http/limits.h"
#include "relay/http/listener.h"

enum { ACCEPT_BATCH = 64, PAUSE_MS = 100 };

static void on_acceptable(uv_poll_t *poll, int status, int events);

static struct worker *least_loaded(struct acceptor *a) {
    struct worker *best = &a->workers[0];
    for (unsigned i = 1; i < a->workers_len; i++)
        if (server_connections(a->workers[i].server) < server_connections(best->server))
            best = &a->workers[i];
    return best;
}

static void on_pause_over(uv_timer_t *pause) {
    struct acceptor *a = pause->data;
    uv_poll_start(&a->poll, UV_READABLE, on_acceptable);
}

static void pause_accepting(struct acceptor *a) {
    uv_poll_stop(&a->poll);
    uv_timer_start(&a->pause, on_pause_over, PAUSE_MS, 0);
}

/* Returns false when there is none to be had now. */
static bool accept_one(struct acceptor *a) {
    int fd = listener_accept(a->listen_fd);
    if (fd >= 0) {
        limits_accepted(a->shared->limits);
        worker_adopt(least_loaded(a), fd, a->door);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        pause_accepting(a);
    }
    return fd >= 0 || errno == EINTR || errno == ECONNABORTED;
}

static void on_acceptable(uv_poll_t *poll, int status, int events) {
    struct acceptor *a = poll->data;
    (void)status;
    (void)events;
    if (!server_has_room(a->shared)) {
        pause_accepting(a);
        return;
    }
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (!limits_may_accept(a->shared->limits)) {
            pause_accepting(a);
            return;
        }
        if (!accept_one(a))
            return;
    }
}

void acceptor_start(struct acceptor *a, uv_loop_t *loop, int listen_fd, struct http_door door,
                    struct worker *workers, unsigned workers_len,
                    const struct http_shared *shared) {
    *a = (struct acceptor){.listen_fd = listen_fd,
                           .door = door,
                           .workers = workers,
                           .workers_len = workers_len,
                           .shared = shared};
    uv_poll_init(loop, &a->poll, listen_fd);
    uv_timer_init(loop, &a->pause);
    a->poll.data = a->pause.data = a;
    uv_poll_start(&a->poll, UV_READABLE, on_acceptable);
}

void acceptor_stop(struct acceptor *a) {
    if (uv_is_closing((uv_handle_t *)&a->poll))
        return;
    listener_quiesce(a->listen_fd);
    while (accept_one(a))
        ;
    uv_close((uv_handle_t *)&a->poll, NULL);
    uv_close((uv_handle_t *)&a->pause, NULL);
    close(a->listen_fd);
}
