/* Connections between nodes and Redis: relay/redis/client.h, kept to its word, on simulated time.
 *
 * Each connection has two lanes, there and back. What travels in a lane keeps its order and takes
 * its time; between lanes there is no order but that of time. A lane may be held back for long, a
 * connection may be cut with or without what is on its way, and one that is silent for too long
 * ends by its deadline, as relay/redis/connection.c does it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/simulation/world.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MAX_MS = 2000, LOST_MAX_MS = 700, STABLE_US = 2 * SECOND };

/* ---- parcels and lanes ---- */

struct parcel *parcel_new(struct world *w, enum parcel_kind kind) {
    struct parcel *p = w->free_parcels;
    if (p != NULL)
        w->free_parcels = p->next;
    else
        p = arena_take(w, sizeof(*p));
    memset(p, 0, sizeof(*p));
    p->kind = (uint8_t)kind;
    p->event = NO_EVENT;
    return p;
}

void parcel_free(struct world *w, struct parcel *p) {
    p->next = w->free_parcels;
    w->free_parcels = p;
}

static void lane_init(struct lane *lane, void (*fire)(struct timer *)) {
    memset(lane, 0, sizeof(*lane));
    lane->tail = &lane->head;
    lane->timer.fire = fire;
}

static void lane_schedule(struct world *w, struct lane *lane) {
    if (lane->head == NULL)
        return;
    uint64_t due_us = lane->head->due_us;
    timer_set(&w->scheduler, &lane->timer,
              due_us > lane->held_until_us ? due_us : lane->held_until_us);
}

static uint64_t delay_us(struct link *l) {
    const struct settings *s = &l->node->world->settings;
    if (s->calm)
        return s->latency_us;
    uint64_t us = s->latency_us + dice_below(&l->dice, s->jitter_us + 1);
    return dice_one_in(&l->dice, s->tail_one_in) ? us + dice_below(&l->dice, s->tail_us) : us;
}

static void lane_push(struct link *l, struct lane *lane, struct parcel *p) {
    struct world *w = l->node->world;
    uint64_t due_us = w->scheduler.now_us + delay_us(l);
    p->due_us = due_us > lane->last_us ? due_us : lane->last_us;
    lane->last_us = p->due_us;
    p->next = NULL;
    *lane->tail = p;
    lane->tail = &p->next;
    if (lane->head == p)
        lane_schedule(w, lane);
}

static struct parcel *lane_pop(struct lane *lane) {
    struct parcel *p = lane->head;
    lane->head = p->next;
    if (lane->head == NULL)
        lane->tail = &lane->head;
    return p;
}

void link_hold(struct link *l, bool to_node, uint64_t until_us) {
    struct lane *lane = to_node ? &l->to_node : &l->to_server;
    lane->held_until_us = until_us;
    lane_schedule(l->node->world, lane);
}

/* ---- the end of a connection ---- */

/* Answer what is outstanding, the oldest first: what comes back is older than what has not arrived
 * there. */
static void cancel(struct link *l, int status) {
    struct lane *lanes[] = {&l->to_node, &l->to_server};
    for (int i = 0; i < 2; i++) {
        timer_clear(&l->node->world->scheduler, &lanes[i]->timer);
        while (lanes[i]->head != NULL) {
            struct parcel *p = lane_pop(lanes[i]);
            if (p->answers && p->cb != NULL)
                p->cb(p->arg, status, NULL);
            parcel_free(l->node->world, p);
        }
        lanes[i]->held_until_us = lanes[i]->last_us = 0;
    }
    l->pending = 0;
}

static int answer_status(int status) {
    return status == RELAY_ETIMEOUT || status == RELAY_ECANCELED || status == RELAY_EPROTO
               ? status
               : RELAY_ECONN;
}

/* The server does not know the connection any more. */
static void cut(struct link *l) {
    l->channels = 0;
    l->is_cut = true;
}

/* It ends; the callbacks follow from the loop, after the present turn. */
void link_fail(struct link *l, int status, const char *why) {
    struct world *w = l->node->world;
    if (l->state != LINK_READY && l->state != LINK_CONNECTING)
        return;
    TRACE(w, "node %u: the %s connection ends: %s", l->node->index,
          (const char *[]){"subscription", "publishing", "reading"}[l->role], why);
    l->state = LINK_ENDING;
    l->end_status = status;
    l->end_why = why;
    cut(l);
    timer_clear(&w->scheduler, &l->deadline);
    timer_clear(&w->scheduler, &l->to_node.timer);
    timer_clear(&w->scheduler, &l->to_server.timer);
    timer_set(&w->scheduler, &l->timer, w->scheduler.now_us + 30);
}

void link_kill(struct link *l, bool at_once) {
    struct world *w = l->node->world;
    if (l->state != LINK_READY || l->is_cut)
        return;
    cut(l);
    if (at_once) {
        l->to_node.last_us = 0;
        link_fail(l, RELAY_ECONN, "Redis closed the connection");
    } else {
        lane_push(l, &l->to_node, parcel_new(w, PARCEL_END));
    }
}

static uint64_t backoff_us(struct link *l, unsigned attempt, uint64_t max_ms) {
    uint64_t wait = BACKOFF_FIRST_MS;
    while (attempt-- > 0 && wait < max_ms)
        wait *= 2;
    wait = wait > max_ms ? max_ms : wait;
    return (wait / 2 + dice_below(&l->dice, wait / 2 + 1)) * MS;
}

static uint64_t next_wait_us(struct link *l, bool was_ready) {
    if (!was_ready)
        return backoff_us(l, l->attempts++, BACKOFF_MAX_MS);
    bool stable = l->node->world->scheduler.now_us - l->ready_us >= STABLE_US;
    l->short_lives = stable ? 0 : l->short_lives + 1;
    return backoff_us(l, l->short_lives, l->useless ? BACKOFF_MAX_MS : LOST_MAX_MS);
}

static void ended(struct link *l) {
    struct world *w = l->node->world;
    bool was_ready = l->client->state == REDIS_CLIENT_READY;
    cancel(l, answer_status(l->end_status));
    if (l->closes) {
        l->state = LINK_CLOSED;
        l->client->state = REDIS_CLIENT_CLOSED;
        l->client->callbacks.on_closed(l->client->arg);
        return;
    }
    l->state = LINK_WAITING;
    l->client->state = REDIS_CLIENT_WAITING;
    timer_set(&w->scheduler, &l->timer, w->scheduler.now_us + next_wait_us(l, was_ready));
    l->client->callbacks.on_down(l->client->arg, was_ready, l->end_status, l->end_why);
    node_wake(l->node);
}

/* ---- its beginning ---- */

static bool is_reachable(const struct link *l) {
    const struct world *w = l->node->world;
    return w->scheduler.now_us >= l->node->unreachable_until_us;
}

static void connect_now(struct link *l) {
    struct world *w = l->node->world;
    l->state = LINK_CONNECTING;
    l->client->state = REDIS_CLIENT_CONNECTING;
    l->useless = false;
    uint64_t us = is_reachable(l) ? 3 * delay_us(l) : l->client->options.timeout_ms * MS;
    timer_set(&w->scheduler, &l->timer, w->scheduler.now_us + us);
}

static void connected(struct link *l) {
    struct world *w = l->node->world;
    if (!is_reachable(l)) {
        link_fail(l, RELAY_ETIMEOUT, "no answer in time");
        return;
    }
    if (w->scheduler.now_us < w->loading_until_us) {
        link_fail(l, RELAY_EREMOTE, "LOADING Redis is loading the dataset in memory");
        return;
    }
    TRACE(w, "node %u: the %s connection is ready", l->node->index,
          (const char *[]){"subscription", "publishing", "reading"}[l->role]);
    l->state = LINK_READY;
    l->is_cut = false;
    if (l->role == LINK_SUBSCRIBER)
        l->node->probe_confirmed = false;
    l->client->state = REDIS_CLIENT_READY;
    l->ready_us = w->scheduler.now_us;
    l->attempts = 0;
    l->client->callbacks.on_up(l->client->arg);
    node_wake(l->node);
}

static void on_timer(struct timer *t) {
    struct link *l = container_of(t, struct link, timer);
    sim_node = l->node;
    if (l->state == LINK_ENDING)
        ended(l);
    else if (l->state == LINK_WAITING)
        connect_now(l);
    else if (l->state == LINK_CONNECTING)
        connected(l);
}

/* ---- there and back ---- */

static void on_deadline(struct timer *t) {
    struct link *l = container_of(t, struct link, deadline);
    struct world *w = l->node->world;
    uint64_t timeout_us = l->client->options.timeout_ms * MS;
    sim_node = l->node;
    if (l->pending == 0)
        return;
    if (w->scheduler.now_us - l->progress_us < timeout_us)
        timer_set(&w->scheduler, t, l->progress_us + timeout_us);
    else
        link_fail(l, RELAY_ETIMEOUT, "Redis did not answer in time");
}

static void to_server(struct timer *t) {
    struct lane *lane = container_of(t, struct lane, timer);
    struct link *l = container_of(lane, struct link, to_server);
    struct parcel *p = lane_pop(lane);
    lane_schedule(l->node->world, lane);
    if (l->is_cut) { /* nobody reads it: its answer does not come */
        p->due_us = l->to_node.last_us = UINT64_MAX / 2;
        p->next = NULL;
        *l->to_node.tail = p;
        l->to_node.tail = &p->next;
        return;
    }
    link_execute(l, p);
}

static void to_node(struct timer *t) {
    struct lane *lane = container_of(t, struct lane, timer);
    struct link *l = container_of(lane, struct link, to_node);
    struct world *w = l->node->world;
    sim_node = l->node;
    struct parcel *p = lane_pop(lane);
    lane_schedule(w, lane);
    l->progress_us = w->scheduler.now_us;
    if (p->kind == PARCEL_END) {
        parcel_free(w, p);
        link_fail(l, RELAY_ECONN, "Redis closed the connection");
    } else {
        l->pending -= p->answers;
        link_deliver(l, p);
        parcel_free(w, p);
    }
    node_wake(l->node);
}

void link_send(struct link *l, struct parcel *p) {
    lane_push(l, &l->to_node, p);
}

unsigned links_publish(struct world *w, unsigned channel, const struct node *of_probe,
                       const struct parcel *message) {
    unsigned receivers = 0;
    for (unsigned i = 0; i < w->settings.nodes; i++) {
        struct link *l = &w->nodes[i].links[LINK_SUBSCRIBER];
        if (!w->nodes[i].alive || (of_probe != NULL && of_probe != &w->nodes[i]) ||
            (l->channels >> channel & 1) == 0)
            continue;
        struct parcel *p = parcel_new(w, PARCEL_MESSAGE);
        *p = *message;
        lane_push(l, &l->to_node, p);
        receivers++;
    }
    return receivers;
}

/* ---- life ---- */

void link_init(struct link *l, struct node *n) {
    struct dice dice = l->dice;
    memset(l, 0, sizeof(*l));
    l->node = n;
    l->role = (enum link_role)(l - n->links);
    l->dice = dice;
    lane_init(&l->to_server, to_server);
    lane_init(&l->to_node, to_node);
    l->timer.fire = on_timer;
    l->deadline.fire = on_deadline;
}

void link_forget(struct link *l) {
    struct scheduler *s = &l->node->world->scheduler;
    cut(l);
    cancel(l, RELAY_ECANCELED);
    timer_clear(s, &l->timer);
    timer_clear(s, &l->deadline);
    l->state = LINK_CLOSED;
}

/* ---- relay/redis/client.h ---- */

static struct link *link_of(const struct redis_client *c) {
    return (struct link *)(void *)c->conn;
}

void redis_client_start(struct redis_client *c, uv_loop_t *loop,
                        const struct redis_conn_options *options,
                        const struct redis_client_callbacks *callbacks, void *arg) {
    struct node *n = sim_node;
    struct link *l = &n->links[LINK_SUBSCRIBER];
    (void)loop;
    if (callbacks->on_push == NULL)
        l = n->links[LINK_PUBLISHER].client == NULL ? &n->links[LINK_PUBLISHER]
                                                    : &n->links[LINK_READER];
    *c = (struct redis_client){.options = *options, .callbacks = *callbacks, .arg = arg};
    c->conn = (struct redis_conn *)(void *)l;
    l->client = c;
    connect_now(l);
}

/* @p is taken over, or freed. */
static int send_command(struct link *l, struct parcel *p, redis_reply_cb cb, void *arg) {
    struct world *w = l->node->world;
    if (l->closes || l->state != LINK_READY) {
        parcel_free(w, p);
        return l->closes ? RELAY_ECLOSING : RELAY_EAGAIN;
    }
    p->cb = cb;
    p->arg = arg;
    p->answers = true;
    if (l->pending++ == 0) {
        l->progress_us = w->scheduler.now_us;
        if (!timer_is_set(&l->deadline))
            timer_set(&w->scheduler, &l->deadline,
                      w->scheduler.now_us + l->client->options.timeout_ms * MS);
    }
    lane_push(l, &l->to_server, p);
    return RELAY_OK;
}

struct parcel *parcel_of_command(struct link *l, int argc, const char **argv,
                                 const size_t *argv_len);

int redis_client_command(struct redis_client *c, int argc, const char **argv,
                         const size_t *argv_len, redis_reply_cb cb, void *arg) {
    struct link *l = link_of(c);
    if (l->closes || l->state != LINK_READY)
        return l->closes ? RELAY_ECLOSING : RELAY_EAGAIN;
    return send_command(l, parcel_of_command(l, argc, argv, argv_len), cb, arg);
}

int redis_client_subscription_command(struct redis_client *c, int argc, const char **argv,
                                      const size_t *argv_len, redis_reply_cb cb, void *arg) {
    return redis_client_command(c, argc, argv, argv_len, cb, arg);
}

int redis_client_commands(struct redis_client *c, const char *bytes, size_t len, size_t count,
                          redis_reply_cb cb, void *arg) {
    (void)c, (void)bytes, (void)len, (void)count, (void)cb, (void)arg;
    fputs("the relay sends no commands in bulk\n", stderr);
    abort();
}

size_t redis_client_unsent_bytes(const struct redis_client *c) {
    (void)c;
    return 0;
}

uint64_t redis_client_waiting_ms(const struct redis_client *c) {
    const struct link *l = link_of(c);
    return l->pending > 0 ? (l->node->world->scheduler.now_us - l->progress_us) / MS : 0;
}

size_t redis_client_pending(const struct redis_client *c) {
    return link_of(c)->pending;
}

void redis_client_reconnect(struct redis_client *c) {
    struct link *l = link_of(c);
    if (l->state == LINK_READY && !l->is_cut && !l->closes)
        check_reconnect(l);
    link_fail(l, RELAY_ECANCELED, "closed by us");
}

void redis_client_back_off(struct redis_client *c) {
    struct link *l = link_of(c);
    l->useless = l->state == LINK_READY || l->state == LINK_CONNECTING;
    redis_client_reconnect(c);
}

void redis_client_close(struct redis_client *c) {
    struct link *l = link_of(c);
    if (l->closes)
        return;
    l->closes = true;
    if (l->state == LINK_WAITING) {
        l->state = LINK_ENDING;
        timer_set(&l->node->world->scheduler, &l->timer, l->node->world->scheduler.now_us);
    }
    link_fail(l, RELAY_ECANCELED, "closed by us");
}
