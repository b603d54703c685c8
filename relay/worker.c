/* A worker's thread; see worker.h. */
#include "relay/worker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/base/thread_name.h"
#include "relay/base/wheel.h"

enum command_kind { COMMAND_ADOPT, COMMAND_STOP_ACCEPTING, COMMAND_DRAIN, COMMAND_STOP };

struct command {
    struct queue_node node;
    enum command_kind kind;
    int fd;
    struct http_door door;
    uint64_t window_ms;
};

/* ---- commands ---- */

static void on_server_closed(void *arg) {
    struct worker *w = arg;
    /* The bus lives longer and may still wake us: the handle stays, and no longer keeps the loop
     * alive. */
    uv_unref((uv_handle_t *)&w->wakeup);
    uv_close((uv_handle_t *)&w->turn, NULL);
    uv_close((uv_handle_t *)&w->busy, NULL);
    uv_close((uv_handle_t *)&w->tick, NULL);
}

static void carry_out(struct worker *w, const struct command *c) {
    switch (c->kind) {
    case COMMAND_ADOPT:
        server_adopt(w->server, c->fd, c->door);
        break;
    case COMMAND_STOP_ACCEPTING:
        server_stop_accepting(w->server);
        break;
    case COMMAND_DRAIN:
        hub_drain(w->hub, clock_mono_ms(), c->window_ms);
        server_drain(w->server);
        atomic_store(&w->draining, true);
        break;
    case COMMAND_STOP:
        server_close(w->server, on_server_closed, w);
        break;
    }
}

static void take_commands(struct worker *w) {
    struct queue_node *next;
    for (struct queue_node *node = queue_take(&w->commands); node != NULL; node = next) {
        struct command *c = container_of(node, struct command, node);
        next = node->next;
        carry_out(w, c);
        free(c);
    }
}

/* ---- the turn ---- */

static void take_inbox(struct worker *w) {
    struct queue_node *next;
    for (struct queue_node *node = queue_take(&w->inbox); node != NULL; node = next) {
        struct bus_message *m = container_of(node, struct bus_message, node);
        next = node->next;
        if (m->kind == BUS_PUBLISHED)
            server_published(w->server, (struct bus_publish *)m);
        else if (m->kind == BUS_COUNT && !w->is_over)
            hub_count(w->hub, (struct bus_count *)m);
        else if (m->kind == BUS_KICK)
            hub_kick(w->hub, (struct bus_kick *)m);
        else
            hub_receive(w->hub, m);
    }
}

static void on_idle(uv_idle_t *idle) {
    (void)idle; /* being active is its work: the loop does not sleep */
}

/* What the loop's sockets and queues brought becomes writes: once per loop turn, after the polling.
 */
static void take_turn(struct worker *w) {
    bool behind = hub_is_behind(w->hub);
    if (!behind)
        take_inbox(w);
    bool more = hub_turn(w->hub) || behind;
    if (more != (uv_is_active((uv_handle_t *)&w->busy) != 0)) {
        if (more)
            uv_idle_start(&w->busy, on_idle);
        else
            uv_idle_stop(&w->busy);
    }
}

static void on_turn(uv_check_t *turn) {
    take_turn(turn->data);
}

static void on_wakeup(uv_async_t *wakeup) {
    take_commands(wakeup->data); /* the inbox waits for the turn, right after the polling */
}

static void on_tick(uv_timer_t *tick) {
    struct worker *w = tick->data;
    uint64_t now_us = clock_mono_us();
    metric_observe(&w->metrics.lag, now_us > w->tick_due_us ? now_us - w->tick_due_us : 0);
    server_tick(w->server, now_us / 1000);
    hub_tick(w->hub, now_us / 1000);
    take_turn(w);
    w->tick_due_us = now_us + WHEEL_TICK_MS * 1000;
    uv_timer_start(tick, on_tick, WHEEL_TICK_MS, 0);
}

/* ---- life ---- */

void worker_init(struct worker *w, const struct hub_options *hub_options,
                 const struct http_options *http_options) {
    memset(w, 0, sizeof(*w));
    if (uv_loop_init(&w->loop) != 0 || uv_async_init(&w->loop, &w->wakeup, on_wakeup) != 0) {
        log_error("cannot make an event loop for a worker; are file descriptors short?", NULL);
        abort(); /* at start, before anything is served */
    }
    uv_check_init(&w->loop, &w->turn);
    uv_idle_init(&w->loop, &w->busy);
    uv_timer_init(&w->loop, &w->tick);
    w->wakeup.data = w->turn.data = w->tick.data = w;
    snprintf(w->name, sizeof(w->name), "worker %u", http_options->worker);
    queue_init(&w->inbox, WORKER_INBOX_MAX_MESSAGES, WORKER_INBOX_MAX_BYTES, &w->wakeup);
    queue_init(&w->commands, SIZE_MAX, SIZE_MAX, &w->wakeup);
    w->hub = hub_new(hub_options, &w->metrics.hub, clock_mono_ms());
    w->server = server_new(&w->loop, http_options, w->hub, &w->metrics.http);
}

void worker_listen(struct worker *w, int listen_fd, struct http_door door) {
    server_listen(w->server, listen_fd, door);
}

static void run(void *arg) {
    struct worker *w = arg;
    thread_name(w->name);
    uv_check_start(&w->turn, on_turn);
    w->tick_due_us = clock_mono_us() + WHEEL_TICK_MS * 1000;
    uv_timer_start(&w->tick, on_tick, WHEEL_TICK_MS, 0);
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

void worker_start(struct worker *w) {
    if (uv_thread_create(&w->thread, run, w) != 0) {
        log_error("cannot start a worker thread", NULL);
        abort();
    }
}

static void send_command(struct worker *w, struct command command) {
    struct command *c = mem_zalloc(sizeof(*c));
    *c = command;
    queue_push_control(&w->commands, &c->node);
}

void worker_adopt(struct worker *w, int fd, struct http_door door) {
    send_command(w, (struct command){.kind = COMMAND_ADOPT, .fd = fd, .door = door});
}

void worker_stop_accepting(struct worker *w) {
    send_command(w, (struct command){.kind = COMMAND_STOP_ACCEPTING});
}

void worker_drain(struct worker *w, uint64_t window_ms) {
    send_command(w, (struct command){.kind = COMMAND_DRAIN, .window_ms = window_ms});
}

void worker_stop(struct worker *w) {
    send_command(w, (struct command){.kind = COMMAND_STOP});
}

bool worker_is_draining(const struct worker *w) {
    return atomic_load(&w->draining);
}

void worker_join(struct worker *w) {
    uv_thread_join(&w->thread);
}

static void free_command(struct command *c) {
    if (c->kind == COMMAND_ADOPT)
        close(c->fd);
    free(c);
}

void worker_fini(struct worker *w) {
    struct queue_node *next;
    w->is_over = true;
    take_inbox(w); /* publishes free themselves, the rest goes with the hub */
    for (struct queue_node *node = queue_take(&w->commands); node != NULL; node = next) {
        next = node->next;
        free_command(container_of(node, struct command, node));
    }
    uv_close((uv_handle_t *)&w->wakeup, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    server_free(w->server);
    hub_free(w->hub);
    queue_fini(&w->inbox);
    queue_fini(&w->commands);
    int rc = uv_loop_close(&w->loop);
    assert(rc == 0);
    (void)rc;
}
