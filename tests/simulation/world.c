/* One world from its beginning to its end: what its tape says happens, then the faults end, then
 * the clients leave, then the nodes. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "tests/simulation/record.h"

enum {
    BEGINS_US = 100 * SECOND, /* so that 0 is no time */
    SETTLE_US = 150 * SECOND, /* by then every client has all there is */
    ROUND_US = SECOND / 2,
    SKEW_MS = 300,
    HELD_US = 60 * SECOND, /* beyond the linger: a topic is not given up while it is subscribed */
    ROUNDS_PUBLISHED = 3
};

void violate(struct world *w, const char *rule, const char *format, ...) {
    va_list args;
    if (w->violation.is)
        return; /* what follows may be of the first one */
    w->violation.is = true;
    w->violation.at_us = w->scheduler.now_us - BEGINS_US;
    snprintf(w->violation.rule, sizeof(w->violation.rule), "%s", rule);
    va_start(args, format);
    vsnprintf(w->violation.text, sizeof(w->violation.text), format, args);
    va_end(args);
    TRACE(w, "VIOLATION %s: %s", rule, w->violation.text);
}

void tell(const char *format, ...) {
    va_list args;
    printf("%12.6f s  ", (double)(sim->scheduler.now_us - BEGINS_US) / SECOND);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* ---- its tape ---- */

static void next_action(struct world *w) {
    while (w->next_action < w->tape->len && w->tape->actions[w->next_action].dropped)
        w->next_action++;
    if (w->next_action < w->tape->len)
        timer_set(&w->scheduler, &w->action, BEGINS_US + w->tape->actions[w->next_action].at_us);
}

static void on_action(struct timer *t) {
    struct world *w = container_of(t, struct world, action);
    struct action *a = &w->tape->actions[w->next_action++];
    if (w->trace) {
        char text[200];
        action_tell(a, &w->settings, text, sizeof(text));
        tell("* %s", text);
    }
    sim_node = NULL;
    action_do(w, a);
    next_action(w);
}

/* ---- time passes ---- */

static void run_until(struct world *w, uint64_t until_us) {
    while (!w->violation.is && scheduler_step(&w->scheduler, until_us))
        w->steps++;
}

/* By so much a node's time of day is off at most. The relay expects less than the 64th part of the
 * domain's memory (relay/bus/domain_clock.h), which is a second and more where it is a real one. */
static uint64_t most_skew_ms(const struct settings *s) {
    uint64_t expected_ms = s->memory_ms / 64 - 1;
    return expected_ms < SKEW_MS ? expected_ms : SKEW_MS;
}

static void begin(struct world *w, uint64_t seed, struct tape *tape, const struct settings *s) {
    char *arena = w->arena;
    size_t cap = w->arena_cap;
    memset(w, 0, sizeof(*w));
    w->arena = arena;
    w->arena_cap = cap;
    sim = w;
    sim_node = NULL;
    w->seed = seed;
    w->settings = *s;
    w->tape = tape;
    scheduler_init(&w->scheduler, BEGINS_US);
    dice_init(&w->memory_dice, seed, 1);
    w->server.run = w->runs = 1;
    for (unsigned t = 0; t < TOPICS_MAX; t++)
        w->server.topics[t].last = NO_EVENT;
    record_world(w);
    w->action.fire = on_action;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        w->clients[i].world = w;
        w->clients[i].index = i;
        dice_init(&w->clients[i].dice, seed, 100 + i);
    }
    const uint64_t skew_ms = most_skew_ms(s);
    for (unsigned i = 0; i < s->nodes; i++) {
        struct node *n = &w->nodes[i];
        n->world = w;
        n->index = i;
        dice_init(&n->dice, seed, 200 + i);
        for (unsigned r = 0; r < LINK_ROLES; r++)
            dice_init(&n->links[r].dice, seed, 300 + LINK_ROLES * i + r);
        n->skew_ms = s->calm ? 0 : (int64_t)dice_below(&n->dice, 2 * skew_ms) - (int64_t)skew_ms;
        node_boot(n);
    }
    next_action(w);
}

/* ---- the faults end ---- */

/* Which clients were live and had all, since there were so many events. */
struct settled {
    unsigned events;
    bool clients[CLIENTS_MAX];
};

static void lift_faults(struct world *w) {
    w->quiesced = true;
    for (unsigned i = 0; i < w->settings.nodes; i++)
        w->nodes[i].has_published = false;
    w->loading_until_us = w->ping_denied_until_us = w->memory_short_until_us = 0;
    w->replica_until_us =
        w->replica_until_us < w->scheduler.now_us ? w->replica_until_us : w->scheduler.now_us;
    memset(w->channel_denied_until_us, 0, sizeof(w->channel_denied_until_us));
    memset(w->keys_denied_until_us, 0, sizeof(w->keys_denied_until_us));
    for (unsigned i = 0; i < w->settings.nodes; i++) {
        struct node *n = &w->nodes[i];
        n->unreachable_until_us = 0;
        if (!n->alive)
            node_boot(n);
        for (unsigned r = 0; r < LINK_ROLES; r++) {
            link_hold(&n->links[r], true, 0);
            link_hold(&n->links[r], false, 0);
        }
        for (unsigned k = 0; k < w->settings.workers; k++) {
            n->workers[k].stalled_until_us = 0;
            timer_clear(&w->scheduler, &n->workers[k].turn);
            worker_touched(&n->workers[k]);
        }
    }
}

/* One that was not settled since the last event. Not all need be at the same moment: where streams
 * end by age every few seconds, and every second answer of Redis is late, some always come back. */
static const struct client *unsettled(struct world *w, struct settled *settled) {
    const struct client *found = NULL;
    if (settled->events != w->events_len)
        *settled = (struct settled){.events = w->events_len};
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        if (w->clients[i].state == CLIENT_UNUSED)
            continue;
        settled->clients[i] = settled->clients[i] || check_is_settled(&w->clients[i]);
        if (!settled->clients[i])
            found = &w->clients[i];
    }
    return found;
}

/* The tape may demote the server yet, or deny a channel, so that events are stored unannounced:
 * they are seen with the next one. */
static bool is_disturbed(const struct world *w) {
    bool is = w->scheduler.now_us < w->replica_until_us;
    for (unsigned t = 0; t < w->settings.topics; t++)
        is = is || w->scheduler.now_us < w->channel_denied_until_us[t];
    return is;
}

/* Each node takes a durable event again. Returns one that has not yet; NULL: all have, or the world
 * has nearly as many events as it may have. */
static const struct node *publish_through_all(struct world *w) {
    const struct node *mute = NULL;
    for (unsigned i = 0; i < w->settings.nodes; i++) {
        struct node *n = &w->nodes[i];
        if (n->has_published || w->events_len + 2 * NODES_MAX * TOPICS_MAX > EVENTS_MAX)
            continue;
        if (n->alive) /* the tape may kill it yet, and start it again */
            worker_publish(&n->workers[0], 1, true);
        mute = n;
    }
    return mute;
}

/* Every client is live and has all there is, and every node publishes, or somebody waits for ever.
 */
static void settle(struct world *w) {
    struct settled settled = {.events = 0};
    const struct client *c = NULL;
    const struct node *mute = NULL;
    uint64_t end_us = w->scheduler.now_us + SETTLE_US;
    bool counts = true;
    for (unsigned round = 0; w->scheduler.now_us < end_us && !w->violation.is; round += counts) {
        struct action a = {.kind = ACT_PUBLISH, .a = ~0u, .b = 1};
        counts = !is_disturbed(w);
        if (round < ROUNDS_PUBLISHED)
            action_do(w, &a);
        mute = publish_through_all(w);
        run_until(w, w->scheduler.now_us + ROUND_US);
        c = unsettled(w, &settled);
        if (round >= ROUNDS_PUBLISHED && c == NULL && mute == NULL)
            return;
    }
    if (mute != NULL)
        violate(w, "stuck",
                "no durable event can be published through node %u, though the faults "
                "ended 150 s ago",
                mute->index);
    if (c != NULL)
        violate(w, "stuck",
                "client %u is %s and does not have all there is, though the faults "
                "ended 150 s ago; its cursor is %s",
                c->index,
                c->state != CLIENT_CONNECTED ? "away"
                : c->is_live                 ? "live"
                                             : "not live",
                c->cursor_text);
}

/* ---- the end ---- */

/* A node that has topics yet. */
static const struct node *holding(const struct world *w) {
    for (unsigned i = 0; i < w->settings.nodes; i++)
        if (metric_get(&w->nodes[i].metrics.topics) > 0)
            return &w->nodes[i];
    return NULL;
}

/* Where every second message is late, a node may find a topic in the middle of being subscribed at
 * the end of its linger again and again. */
static void leave(struct world *w) {
    uint64_t end_us = w->scheduler.now_us + w->settings.linger_ms * MS + HELD_US;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        client_leave(&w->clients[i]);
    while (w->scheduler.now_us < end_us && holding(w) != NULL && !w->violation.is)
        run_until(w, w->scheduler.now_us + ROUND_US);
    const struct node *n = holding(w);
    if (n != NULL)
        violate(w, "held", "node %u still has %llu topics, and nobody wants them", n->index,
                (unsigned long long)metric_get(&n->metrics.topics));
}

static void end(struct world *w) {
    for (unsigned i = 0; i < w->settings.nodes; i++)
        node_halt(&w->nodes[i]);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        client_leave(&w->clients[i]);
}

bool world_run(struct world *w, uint64_t seed, struct tape *tape, const struct settings *s,
               bool trace) {
    size_t blocks = memory_blocks();
    begin(w, seed, tape, s);
    w->trace = trace;
    run_until(w, BEGINS_US + s->length_us);
    if (!w->violation.is) {
        lift_faults(w);
        settle(w);
    }
    if (!w->violation.is)
        leave(w);
    end(w);
    if (!w->violation.is && memory_blocks() != blocks)
        violate(w, "held", "%zu blocks of memory were not freed", memory_blocks() - blocks);
    if (!memory_is_intact())
        violate(w, "memory",
                "freed memory was written to; a build with SANITIZE=address says where");
    w->arena_used = 0;
    return !w->violation.is;
}
