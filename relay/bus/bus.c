/* The bus's thread: its loop, its timer and its queue of requests. See bus.h. */
#include "relay/bus/bus.h"

#include <assert.h>
#include <stdlib.h>
#include <uv.h>

#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/base/thread_name.h"
#include "relay/base/wheel.h"
#include "relay/bus/core.h"

enum { TRIM_EVERY_MS = 10 * 1000 };

struct bus_thread {
    struct bus *core;
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t wakeup;
    uv_check_t turn;
    uv_timer_t tick;
    struct queue requests;
    uint64_t trimmed_ms; /* monotonic */
};

/* The clients close in their own time; the loop ends with them. */
static void close_handles(struct bus_thread *bus) {
    uv_close((uv_handle_t *)&bus->tick, NULL);
    uv_close((uv_handle_t *)&bus->turn, NULL);
    uv_close((uv_handle_t *)&bus->wakeup, NULL);
}

static void on_wakeup(uv_async_t *wakeup) {
    struct bus_thread *bus = wakeup->data;
    struct queue_node *next;
    for (struct queue_node *node = queue_take(&bus->requests); node != NULL; node = next) {
        struct bus_request *r = container_of(node, struct bus_request, node);
        next = node->next;
        if (r->kind == BUS_STOP)
            close_handles(bus);
        bus_core_request(bus->core, r);
    }
}

static void on_turn(uv_check_t *turn) {
    bus_core_turn(((struct bus_thread *)turn->data)->core);
}

/* Replies, pages and rings come and go by megabytes here. */
static void trim(struct bus_thread *bus, uint64_t now_ms) {
    if (now_ms - bus->trimmed_ms < TRIM_EVERY_MS)
        return;
    bus->trimmed_ms = now_ms;
    mem_trim();
}

static void on_tick(uv_timer_t *tick) {
    struct bus_thread *bus = tick->data;
    uint64_t now_ms = clock_mono_ms();
    bus_core_tick(bus->core, now_ms);
    trim(bus, now_ms);
}

static void run(void *arg) {
    struct bus_thread *bus = arg;
    thread_name("bus");
    bus_core_start(bus->core, &bus->loop);
    uv_run(&bus->loop, UV_RUN_DEFAULT);
}

struct bus_thread *bus_start(const struct bus_options *options, struct bus_metrics *metrics) {
    struct bus_thread *bus = mem_zalloc(sizeof(*bus));
    if (uv_loop_init(&bus->loop) != 0 || uv_async_init(&bus->loop, &bus->wakeup, on_wakeup) != 0) {
        log_error("cannot make an event loop for the bus; are file descriptors short?", NULL);
        abort(); /* at start, before anything is served */
    }
    bus->core = bus_core_new(options, metrics);
    queue_init(&bus->requests, SIZE_MAX, SIZE_MAX, &bus->wakeup);
    uv_timer_init(&bus->loop, &bus->tick);
    uv_check_init(&bus->loop, &bus->turn);
    bus->wakeup.data = bus->tick.data = bus->turn.data = bus;
    uv_check_start(&bus->turn, on_turn);
    uv_timer_start(&bus->tick, on_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
    if (uv_thread_create(&bus->thread, run, bus) != 0) {
        log_error("cannot start the bus thread", NULL);
        abort();
    }
    return bus;
}

struct queue *bus_requests(struct bus_thread *bus) {
    return &bus->requests;
}

void bus_stop(struct bus_thread *bus) {
    struct bus_request *r = mem_zalloc(sizeof(*r));
    r->kind = BUS_STOP;
    queue_push_control(&bus->requests, &r->node);
    uv_thread_join(&bus->thread);
    bus_core_free(bus->core);
    queue_fini(&bus->requests);
    int rc = uv_loop_close(&bus->loop);
    assert(rc == 0);
    (void)rc;
    free(bus);
}
