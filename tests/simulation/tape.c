/* What happens in a world, from its seed: the settings of its nodes, and a tape of actions.
 *
 * Each world has some of the faults only, and few moments at which they crowd: what goes wrong goes
 * wrong where several things meet within the time that a message takes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "tests/simulation/world.h"

enum { MOMENTS = 6 };

/* How often each kind happens in a world that has it, and how likely a world has it; 0: only where
 * it is asked for, since nobody promises anything where keys vanish one by one. */
static const struct {
    enum action_kind kind;
    unsigned up_to, one_in;
} kinds[] = {
    {ACT_PUBLISH_DENIED, 12, 2},
    {ACT_POST, 20, 2},
    {ACT_LIVE, 10, 4},
    {ACT_MALFORMED, 4, 6},
    {ACT_FOREIGN, 12, 4},
    {ACT_HOLD, 16, 1},
    {ACT_KILL_LINK, 6, 2},
    {ACT_UNREACHABLE, 2, 6},
    {ACT_STALL, 4, 4},
    {ACT_KILL_NODE, 2, 6},
    {ACT_RESTART, 2, 5},
    {ACT_COPY, 4, 4},
    {ACT_FAILOVER, 3, 4},
    {ACT_DELETE_LOG, 2, 0},
    {ACT_DELETE_LAST, 2, 0},
    {ACT_EVICT, 2, 0},
    {ACT_DELETE_CLOCK, 1, 10},
    {ACT_FLUSH, 1, 12},
    {ACT_TRIM, 4, 5},
    {ACT_DENY_CHANNEL, 2, 8},
    {ACT_DENY_KEYS, 2, 8},
    {ACT_DENY_PING, 2, 10},
    {ACT_LOADING, 2, 10},
    {ACT_FORGET_SCRIPT, 2, 10},
    {ACT_SHORT_MEMORY, 3, 8},
    {ACT_CUT, 12, 2},
    {ACT_LEAVE, 4, 2},
    {ACT_UNREADABLE, 6, 8},
    {ACT_DEMOTE, 2, 10},
};

static const char *const names[ACT_KINDS] = {
    [ACT_CLIENT] = "client",
    [ACT_LEAVE] = "leave",
    [ACT_CUT] = "cut",
    [ACT_PUBLISH] = "publish",
    [ACT_PUBLISH_DENIED] = "publish-denied",
    [ACT_POST] = "post",
    [ACT_LIVE] = "live",
    [ACT_HOLD] = "hold",
    [ACT_KILL_LINK] = "kill-link",
    [ACT_UNREACHABLE] = "unreachable",
    [ACT_STALL] = "stall",
    [ACT_KILL_NODE] = "kill-node",
    [ACT_START_NODE] = "start-node",
    [ACT_RESTART] = "restart",
    [ACT_COPY] = "copy",
    [ACT_FAILOVER] = "failover",
    [ACT_DELETE_LOG] = "delete-log",
    [ACT_DELETE_LAST] = "delete-last",
    [ACT_EVICT] = "evict",
    [ACT_DELETE_CLOCK] = "delete-clock",
    [ACT_FLUSH] = "flush",
    [ACT_TRIM] = "trim",
    [ACT_DENY_CHANNEL] = "deny-channel",
    [ACT_DENY_KEYS] = "deny-keys",
    [ACT_DENY_PING] = "deny-ping",
    [ACT_LOADING] = "loading",
    [ACT_FORGET_SCRIPT] = "forget-script",
    [ACT_SHORT_MEMORY] = "short-memory",
    [ACT_MALFORMED] = "malformed",
    [ACT_FOREIGN] = "foreign",
    [ACT_VANISH] = "vanish",
    [ACT_UNREADABLE] = "unreadable",
    [ACT_DEMOTE] = "demote",
};

static uint64_t without, with; /* bits of kinds that no tape has, or each */

bool tape_choose(const char *list, bool all) {
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        unsigned kind = 0;
        while (kind < ACT_KINDS &&
               (strlen(names[kind]) != len || memcmp(names[kind], list, len) != 0))
            kind++;
        if (kind == ACT_KINDS)
            return false;
        *(all ? &with : &without) |= UINT64_C(1) << kind;
        list += len + (list[len] == ',');
    }
    return true;
}

static bool has_kind(struct dice *d, enum action_kind kind, unsigned one_in) {
    bool drawn = dice_one_in(d, one_in);
    return (with >> kind & 1) != 0 || (drawn && (without >> kind & 1) == 0);
}

static uint64_t one_of(struct dice *d, const uint64_t *values, size_t n) {
    return values[dice_below(d, n)];
}
#define ONE_OF(d, ...)                                                                             \
    one_of(d, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)

static void make_settings(struct settings *s, struct dice *d) {
    memset(s, 0, sizeof(*s));
    s->nodes = (unsigned)ONE_OF(d, 1, 1, 2, 2, 3);
    s->workers = (unsigned)ONE_OF(d, 1, 1, 2, 3);
    s->topics = (unsigned)dice_between(d, 1, TOPICS_MAX);
    s->timeout_ms = ONE_OF(d, 500, 1000, 3000);
    s->linger_ms = ONE_OF(d, 100, 500, 2000);
    s->memory_ms = UINT64_C(7) * 24 * 3600 * 1000;
    s->ttl_ms = 3600 * 1000;
    if (dice_one_in(d, 6)) {
        s->memory_ms = dice_between(d, 3000, 20000);
        s->ttl_ms = dice_between(d, 1000, s->memory_ms);
    }
    s->history = ONE_OF(d, 3, 5, 20, 1000, 1000);
    s->node_entries = (unsigned)ONE_OF(d, 1, 10, 100);
    s->ring_topic = ONE_OF(d, 300, 1500, 6000, 1024 * 1024, 1024 * 1024);
    s->ring_node = ONE_OF(d, 1000, 4000, 64 * 1024 * 1024, 64 * 1024 * 1024);
    s->outbox = ONE_OF(d, 300, 1000, 4000, 64 * 1024);
    s->replay_limit = dice_one_in(d, 10) ? dice_between(d, 5, 30) : 0;
    s->max_age_ms = dice_one_in(d, 4) ? dice_between(d, 1000, 8000) : 0;
    s->inbox_messages = (unsigned)ONE_OF(d, 4, 30, 65536, 65536, 65536);
    s->latency_us = ONE_OF(d, 50, 200);
    s->jitter_us = ONE_OF(d, 50, 300, 2000);
    s->tail_one_in = (unsigned)ONE_OF(d, 0, 2, 3, 10, 50, 200);
    s->tail_us = ONE_OF(d, MS, 5 * MS, 50 * MS, 400 * MS);
    s->length_us = dice_between(d, 3 * SECOND, 12 * SECOND);
    if (s->memory_ms < 60 * 1000)
        s->length_us = 3 * s->memory_ms * MS;
}

static void add(struct tape *tape, const struct action *a) {
    if (tape->len == tape->cap) {
        tape->cap = tape->cap == 0 ? 256 : 2 * tape->cap;
        tape->actions = mem_realloc(tape->actions, tape->cap * sizeof(*tape->actions));
    }
    tape->actions[tape->len++] = *a;
}

/* A moment at which things crowd, mostly around one node, one topic and one client. */
struct moment {
    uint64_t at_us;
    uint32_t node, topics, client;
};

/* Mostly close to a moment, and then within what messages take. NULL: anywhere. */
static const struct moment *choose_moment(struct dice *d, const struct moment *moments) {
    return dice_one_in(d, 4) ? NULL : &moments[dice_below(d, MOMENTS)];
}

static uint64_t time_at(struct dice *d, const struct settings *s, const struct moment *m) {
    if (m == NULL)
        return dice_below(d, s->length_us);
    uint64_t spread_us = ONE_OF(d, 300, 3 * MS, 50 * MS, 400 * MS);
    return m->at_us + dice_below(d, spread_us);
}

static bool is_about_topics(enum action_kind kind) {
    return kind == ACT_PUBLISH || kind == ACT_PUBLISH_DENIED || kind == ACT_UNREADABLE;
}

/* What it is about: mostly what the moment is about. */
static uint32_t subject(struct dice *d, enum action_kind kind, const struct moment *m) {
    uint32_t any = (uint32_t)dice_next(d);
    if (m == NULL || dice_one_in(d, 3))
        return any;
    if (is_about_topics(kind))
        return m->topics;
    return kind == ACT_CUT ? m->client : m->node;
}

static uint64_t duration(struct dice *d) {
    return dice_below(d, ONE_OF(d, MS, 20 * MS, 300 * MS, 2 * SECOND, 6 * SECOND)) + 100;
}

static void add_kind(struct tape *tape, struct dice *d, const struct settings *s,
                     const struct moment *moments, enum action_kind kind, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        const struct moment *m = choose_moment(d, moments);
        struct action a = {.kind = (uint8_t)kind,
                           .at_us = time_at(d, s, m),
                           .a = subject(d, kind, m),
                           .b = (uint32_t)dice_next(d),
                           .c = (uint32_t)dice_next(d),
                           .us = duration(d)};
        if (kind == ACT_PUBLISH) {
            a.b = dice_one_in(d, 6) ? 1 + (uint32_t)dice_below(d, 12) : 1;
            a.c = dice_one_in(d, 30) ? (uint32_t)dice_below(d, 1500) : 0;
        }
        add(tape, &a);
        if (kind == ACT_KILL_NODE) {
            a.kind = ACT_START_NODE;
            a.at_us += a.us;
            add(tape, &a);
        }
    }
}

static int compare(const void *a, const void *b) {
    const struct action *x = a, *y = b;
    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : (x->a > y->a) - (x->a < y->a);
}

void tape_make(struct tape *tape, struct settings *s, uint64_t seed) {
    struct dice dice, *d = &dice;
    struct moment moments[MOMENTS];
    dice_init(d, seed, 7);
    make_settings(s, d);
    tape->len = 0;
    for (int i = 0; i < MOMENTS; i++)
        moments[i] = (struct moment){.at_us = dice_below(d, s->length_us),
                                     .node = (uint32_t)dice_next(d),
                                     .topics = 1u << dice_below(d, s->topics),
                                     .client = (uint32_t)dice_below(d, CLIENTS_MAX)};
    unsigned clients = (unsigned)dice_between(d, 1, CLIENTS_MAX);
    for (unsigned i = 0; i < clients; i++) {
        struct action a = {.kind = ACT_CLIENT,
                           .at_us = dice_one_in(d, 3) ? time_at(d, s, choose_moment(d, moments))
                                                      : 50 * MS + dice_below(d, 300 * MS),
                           .a = i,
                           .b = (uint32_t)dice_next(d),
                           .c = (uint32_t)dice_next(d)};
        add(tape, &a);
    }
    add_kind(tape, d, s, moments, ACT_PUBLISH, (unsigned)ONE_OF(d, 10, 40, 100, 200));
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (has_kind(d, kinds[i].kind, kinds[i].one_in))
            add_kind(tape, d, s, moments, kinds[i].kind,
                     1 + (unsigned)dice_below(d, kinds[i].up_to));
    dice_init(d, seed, 8); /* what was added later leaves the other tapes as they were */
    if (has_kind(d, ACT_VANISH, 8))
        add_kind(tape, d, s, moments, ACT_VANISH, 1 + (unsigned)dice_below(d, 4));
    qsort(tape->actions, tape->len, sizeof(tape->actions[0]), compare);
}

void tape_tell(const struct tape *tape, const struct settings *s) {
    char text[200];
    unsigned n = 0;
    for (unsigned i = 0; i < tape->len; i++)
        n += !tape->actions[i].dropped;
    printf("%u nodes of %u workers, %u topics; --redis-timeout %llu ms, linger %llu ms, history "
           "%llu, ttl "
           "%llu ms, memory %llu ms,\n  rings of %zu and %zu bytes, outboxes of %zu, replay limit "
           "%llu, "
           "max age %llu ms, inboxes of %u;\n  stream nodes of %u; latency %llu+%llu us, 1 in %u "
           "takes up to "
           "%llu us more%s\n%u actions:\n",
           s->nodes, s->workers, s->topics, (unsigned long long)s->timeout_ms,
           (unsigned long long)s->linger_ms, (unsigned long long)s->history,
           (unsigned long long)s->ttl_ms, (unsigned long long)s->memory_ms, s->ring_topic,
           s->ring_node, s->outbox, (unsigned long long)s->replay_limit,
           (unsigned long long)s->max_age_ms, s->inbox_messages, s->node_entries,
           (unsigned long long)s->latency_us, (unsigned long long)s->jitter_us, s->tail_one_in,
           (unsigned long long)s->tail_us, s->calm ? " (calm: no jitter)" : "", n);
    for (unsigned i = 0; i < tape->len; i++) {
        if (tape->actions[i].dropped)
            continue;
        action_tell(&tape->actions[i], s, text, sizeof(text));
        printf("%12.6f s  %s\n", (double)tape->actions[i].at_us / SECOND, text);
    }
}
