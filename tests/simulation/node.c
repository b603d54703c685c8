/* A node: the real bus core and the real hubs, turned by simulated loops instead of libuv's.
 *
 * What comes to the bus (parcels, requests) is handed to it at once, and a turn follows soon; so
 * several things may stand in one turn, as they do in a loop that was busy. A worker takes its turn
 * soon after its inbox or its sockets have something for it, or late where it is stalled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/wheel.h"
#include "relay/wire/envelope.h"
#include "tests/simulation/world.h"

enum { HEARTBEAT_MS = 15000, RETRY_MS = 1000, TURN_US = 20 };

static uint64_t now_us(const struct node *n) {
    return n->world->scheduler.now_us;
}

static uint64_t soon(struct node *n) {
    if (n->world->settings.calm)
        return now_us(n) + TURN_US / 2;
    return now_us(n) + 1 +
           dice_below(&n->dice, dice_one_in(&n->dice, 64) ? 100 * TURN_US : TURN_US);
}

/* ---- workers ---- */

void worker_touched(struct worker *k) {
    if (timer_is_set(&k->turn))
        return;
    uint64_t due_us = soon(k->node);
    timer_set(&k->node->world->scheduler, &k->turn,
              due_us > k->stalled_until_us ? due_us : k->stalled_until_us);
}

static void published(struct worker *k, struct bus_publish *p) {
    struct world *w = k->node->world;
    uint32_t content = (uint32_t)(uintptr_t)p->waiter;
    const char *id = p->ids;
    for (size_t i = 0; p->durable && p->status == RELAY_OK && i < p->topics_len; i++) {
        bool found = false;
        for (unsigned n = w->events_len; n > 0 && !found; n--)
            found =
                w->events[n - 1].content == content && strcmp(w->events[n - 1].id_text, id) == 0;
        if (!found)
            violate(w, "answer", "a publish was answered with %s, which is not its event's id", id);
        id += strlen(id) + 1;
    }
    k->node->has_published = k->node->has_published || (p->durable && p->status == RELAY_OK);
    for (unsigned n = w->events_len; p->durable && p->status == RELAY_EAGAIN && n > 0; n--)
        if (w->events[n - 1].content == content)
            violate(w, "answer", "a publish was answered EAGAIN, and its event is stored");
    bus_publish_free(p);
}

static void take_inbox(struct worker *k) {
    struct queue_node *next;
    for (struct queue_node *node = queue_take(&k->inbox); node != NULL; node = next) {
        struct bus_message *m = container_of(node, struct bus_message, node);
        next = node->next;
        if (m->kind == BUS_PUBLISHED)
            published(k, (struct bus_publish *)m);
        else
            hub_receive(k->hub, m);
    }
}

/* As relay/worker.c does. */
static void on_worker_turn(struct timer *t) {
    struct worker *k = container_of(t, struct worker, turn);
    sim_node = k->node;
    bool behind = hub_is_behind(k->hub);
    if (!behind)
        take_inbox(k);
    if (hub_turn(k->hub) || behind || k->inbox.count > 0)
        worker_touched(k);
}

static void on_worker_tick(struct timer *t) {
    struct worker *k = container_of(t, struct worker, tick);
    sim_node = k->node;
    hub_tick(k->hub, now_us(k->node) / MS);
    worker_touched(k);
    timer_set(&k->node->world->scheduler, t, now_us(k->node) + 2 * WHEEL_TICK_MS * MS);
}

static void send_request(void *ctx, struct bus_request *r) {
    struct node *n = ctx;
    r->node.next = NULL;
    *n->requests_tail = &r->node;
    n->requests_tail = &r->node.next;
    if (!timer_is_set(&n->wakeup))
        timer_set(&n->world->scheduler, &n->wakeup, soon(n));
}

static uint64_t hub_now_us(void) {
    return sim->scheduler.now_us;
}

static void worker_start(struct worker *k, struct node *n, unsigned index) {
    const struct settings *s = &n->world->settings;
    memset(k, 0, sizeof(*k));
    k->node = n;
    k->index = index;
    k->turn.fire = on_worker_turn;
    k->tick.fire = on_worker_tick;
    queue_init(&k->inbox, s->inbox_messages, 64 * 1024 * 1024, NULL);
    n->inboxes[index] = &k->inbox;
    struct hub_options options = {.outbox_limit_bytes = s->outbox,
                                  .heartbeat_ms = HEARTBEAT_MS,
                                  .max_age_ms = s->max_age_ms,
                                  .retry_ms = RETRY_MS,
                                  .worker = index,
                                  .now_us = hub_now_us,
                                  .send = send_request,
                                  .send_ctx = n};
    k->hub = hub_new(&options, &k->metrics, now_us(n) / MS);
    timer_set(&n->world->scheduler, &k->tick,
              now_us(n) + 1 + dice_below(&n->dice, WHEEL_TICK_MS * MS));
}

static void worker_end(struct worker *k) {
    struct scheduler *s = &k->node->world->scheduler;
    timer_clear(s, &k->turn);
    timer_clear(s, &k->tick);
    take_inbox(k);
    hub_free(k->hub);
    queue_fini(&k->inbox);
}

/* ---- the bus ---- */

/* Its workers wake up where something came into their inboxes. */
static void wake_workers(struct node *n) {
    for (unsigned i = 0; i < n->world->settings.workers; i++)
        if (n->workers[i].inbox.count > 0)
            worker_touched(&n->workers[i]);
}

void node_wake(struct node *n) {
    wake_workers(n);
    if (!timer_is_set(&n->turn))
        timer_set(&n->world->scheduler, &n->turn, soon(n));
}

static void on_wakeup(struct timer *t) {
    struct node *n = container_of(t, struct node, wakeup);
    struct queue_node *next, *node = n->requests;
    sim_node = n;
    n->requests = NULL;
    n->requests_tail = &n->requests;
    for (; node != NULL; node = next) {
        next = node->next;
        n->world->steps++;
        bus_core_request(n->bus, container_of(node, struct bus_request, node));
    }
    n->world->steps--; /* the scheduler counts one */
    node_wake(n);
}

static void on_turn(struct timer *t) {
    struct node *n = container_of(t, struct node, turn);
    sim_node = n;
    bus_core_turn(n->bus);
    wake_workers(n);
}

static void on_tick(struct timer *t) {
    struct node *n = container_of(t, struct node, tick);
    sim_node = n;
    bus_core_tick(n->bus, now_us(n) / MS);
    node_wake(n);
    timer_set(&n->world->scheduler, t, now_us(n) + WHEEL_TICK_MS * MS);
}

/* ---- life ---- */

static const struct redis_url url = {.host = (char *)(uintptr_t) "redis", .port = 6379};

void node_boot(struct node *n) {
    struct world *w = n->world;
    const struct settings *s = &w->settings;
    sim_node = n;
    n->alive = true;
    n->wakeup.fire = on_wakeup;
    n->turn.fire = on_turn;
    n->tick.fire = on_tick;
    n->requests = NULL;
    n->requests_tail = &n->requests;
    n->probe_sent_us = 0;
    n->saw_replica = false;
    memset(&n->metrics, 0, sizeof(n->metrics));
    snprintf(n->name, sizeof(n->name), "n%u", n->index);
    for (unsigned i = 0; i < LINK_ROLES; i++)
        link_init(&n->links[i], n);
    for (unsigned i = 0; i < s->workers; i++)
        worker_start(&n->workers[i], n, i);
    n->options = (struct bus_options){.url = &url,
                                      .prefix = "sse",
                                      .node = n->name,
                                      .redis_timeout_ms = s->timeout_ms,
                                      .linger_ms = s->linger_ms,
                                      .history = s->history,
                                      .ttl_ms = s->ttl_ms,
                                      .memory_ms = s->memory_ms,
                                      .replay_limit = s->replay_limit,
                                      .ring_topic_bytes = s->ring_topic,
                                      .ring_node_bytes = s->ring_node,
                                      .inboxes = n->inboxes,
                                      .workers = s->workers};
    n->bus = bus_core_new(&n->options, &n->metrics);
    bus_core_start(n->bus, NULL);
    timer_set(&w->scheduler, &n->tick, now_us(n) + 1 + dice_below(&n->dice, WHEEL_TICK_MS * MS));
}

static void free_requests(struct node *n) {
    struct queue_node *next;
    for (struct queue_node *node = n->requests; node != NULL; node = next) {
        struct bus_request *r = container_of(node, struct bus_request, node);
        next = node->next;
        if (r->kind == BUS_PUBLISH)
            bus_publish_free((struct bus_publish *)r);
        else
            free(r);
    }
    n->requests = NULL;
    n->requests_tail = &n->requests;
}

/* The process is gone: nothing of it reaches anybody any more. It is taken down as when it is told
 * to stop, so that what it holds can be counted. */
void node_halt(struct node *n) {
    struct world *w = n->world;
    if (!n->alive)
        return;
    sim_node = n;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (w->clients[i].state == CLIENT_CONNECTED && w->clients[i].worker->node == n)
            client_lose_node(&w->clients[i]);
    bus_core_stop(n->bus);
    for (unsigned i = 0; i < LINK_ROLES; i++)
        link_forget(&n->links[i]);
    free_requests(n);
    for (unsigned i = 0; i < w->settings.workers; i++)
        worker_end(&n->workers[i]);
    free_requests(n); /* of topics that the hubs gave up */
    bus_core_free(n->bus);
    timer_clear(&w->scheduler, &n->wakeup);
    timer_clear(&w->scheduler, &n->turn);
    timer_clear(&w->scheduler, &n->tick);
    n->alive = false;
}

/* ---- publishing through it ---- */

void worker_publish(struct worker *k, unsigned topics, bool durable) {
    struct world *w = k->node->world;
    uint32_t content = ++w->contents;
    struct bus_publish *p = mem_zalloc(sizeof(*p));
    struct buf names = BUF_INIT, data = BUF_INIT;
    sim_node = k->node;
    for (unsigned t = 0; t < TOPICS_MAX; t++) {
        if ((topics >> t & 1) == 0)
            continue;
        buf_putc(&names, (char)('a' + t));
        buf_putc(&names, '\0');
        p->topics_len++;
    }
    buf_printf(&data, durable ? "%u" : "L%u", content);
    p->base.request.kind = BUS_PUBLISH;
    p->base.request.worker = k->index;
    p->waiter = (void *)(uintptr_t)content;
    p->durable = durable;
    p->topics = buf_detach(&names);
    p->event = (struct event){.data = data.data, .data_len = data.len};
    if (!durable) {
        struct buf envelope = BUF_INIT;
        envelope_encode_live(&envelope, &p->event);
        p->envelope_len = envelope.len;
        p->envelope = buf_detach(&envelope);
    }
    p->bytes = buf_detach(&data);
    send_request(k->node, &p->base.request);
}
