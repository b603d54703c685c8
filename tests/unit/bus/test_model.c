/* The logic of cursors against a reference that knows everything.
 *
 * A model of Redis publishes, trims, forgets, fails over to a copy without the tail and with its
 * clock behind, comes back from there without what was published there, and is born again. Epochs
 * are lost with the rest; of two servers with one past, no two begin one in the same second. Nodes
 * learn of it as the bus does, into a struct domain and rings; clients with cursors come back to
 * any of them and are cut at any event. The functions of relay/bus/place.h decide what a client
 * gets and is told. What must hold: no event is lost without a reset, none is delivered twice, all
 * are in the order of ids, and a reset is told only where something was trimmed or may have been
 * forgotten, where something that the client may have seen is gone, or its past is not ours. */
#include "relay/bus/place.h"

#include <stdlib.h>
#include <string.h>

#include "relay/base/rng.h"
#include "relay/wire/reset.h"
#include "tests/unit/unit.h"

enum {
    TOPICS = 3,
    EVENTS = 600,
    NODES = 2,
    CLIENTS = 4,
    RUNS = 3000,
    STEPS = 250,
    MEMORY_MS = 1000000,
    NOTES = 100,
    EPOCHS = 200
};

struct log {
    unsigned events[EVENTS]; /* numbers of events; those from first on are kept */
    size_t first, len;
    struct event_id last; /* birth "": forgotten */
};

/* What one server holds. Copied as a whole, as to a replica. */
struct redis {
    bool exists;
    struct event_id position;
    struct event_id notes[NOTES];
    size_t notes_len;
    unsigned run;
    struct log logs[TOPICS];
};

/* An event of the past, wherever it is now. */
struct event_of {
    struct event_id id, prev;
    unsigned topic;
    bool lost; /* gone in a failover or with a birth: the server has it no more */
};

struct node {
    unsigned run; /* of the server that it knows */
    struct domain domain;
    struct event_id notes[NOTES];
    struct ring rings[TOPICS];
    bool known[TOPICS], extended[TOPICS], reaches_back[TOPICS];
};

struct client {
    bool joined;
    unsigned topics; /* bit set */
    bool has_cursor; /* else the domain had no clock when it came */
    struct event_id cursor;
    bool settled[EVENTS]; /* delivered, or told, or of before it came */
    bool seen[EVENTS];    /* delivered, and not told to be lost since */
};

struct world {
    struct rng rng;
    uint64_t now_ms, behind_ms; /* of the server's clock */
    unsigned run, runs, births; /* the present process of the server, and how many there were */
    struct redis redis, copy;
    bool has_copy;
    struct redis old; /* the master before the last failover, which goes on by itself */
    unsigned old_run;
    bool has_old;
    struct event_id epochs[EPOCHS]; /* that ever began, on any server */
    size_t epochs_len;
    struct event_of events[EVENTS];
    unsigned events_len;
    struct node nodes[NODES];
    struct client clients[CLIENTS];
    uint64_t delivered, strangers, resets[RESET_REASONS];
};

static uint64_t below(struct world *w, uint64_t bound) {
    return rng_below(&w->rng, bound);
}

/* ---- Redis: relay/wire/publish.lua, in C ---- */

/* The server is another one: what it has is not lost, and all else is. */
static void lose_what_is_not_there(struct world *w) {
    for (unsigned i = 0; i < w->events_len; i++)
        w->events[i].lost = true;
    for (unsigned t = 0; w->redis.exists && t < TOPICS; t++) {
        const struct log *log = &w->redis.logs[t];
        for (size_t i = 0; i < log->len; i++) {
            struct event_of *e = &w->events[log->events[i]];
            e->lost = strcmp(e->id.birth, w->redis.position.birth) != 0;
        }
    }
}

static uint64_t server_ms(const struct world *w) {
    return w->now_ms - w->behind_ms;
}

static uint64_t next_epoch(const struct world *w) {
    const struct redis *r = &w->redis;
    uint64_t next = r->position.epoch + 1, seconds = 0;
    if (r->notes_len > 0 && server_ms(w) > r->notes[0].ms)
        seconds = (server_ms(w) - r->notes[0].ms) / 1000;
    return next > seconds + 1 ? next : seconds + 1;
}

static bool began_before(const struct world *w, uint64_t epoch) {
    size_t i = 0;
    while (i < w->epochs_len && (w->epochs[i].epoch != epoch ||
                                 strcmp(w->epochs[i].birth, w->redis.position.birth) != 0))
        i++;
    return i < w->epochs_len;
}

static void begin_epoch(struct world *w) {
    struct redis *r = &w->redis;
    while (began_before(w, next_epoch(w)))
        w->now_ms += 1000;
    assert_true(r->notes_len < NOTES && w->epochs_len < EPOCHS);
    r->position.epoch = next_epoch(w);
    r->notes[r->notes_len++] = w->epochs[w->epochs_len++] = r->position;
}

/* The part of the script that is done with no topic. */
static void look_after_clock(struct world *w) {
    struct redis *r = &w->redis;
    if (!r->exists) {
        memset(&r->position, 0, sizeof(r->position));
        r->position.birth[0] = (char)('a' + w->births / 26 % 26);
        r->position.birth[1] = (char)('a' + w->births++ % 26);
        r->position.ms = server_ms(w) - 1;
        r->notes_len = 0;
        begin_epoch(w);
        r->exists = true;
    } else if (r->run != w->run) {
        begin_epoch(w);
    }
    r->run = w->run;
}

static void publish(struct world *w) {
    struct redis *r = &w->redis;
    struct log *log = &r->logs[below(w, TOPICS)];
    if (w->events_len == EVENTS)
        return;
    look_after_clock(w);
    struct event_of *e = &w->events[w->events_len];
    bool later = server_ms(w) > r->position.ms;
    r->position.seq = later ? 0 : r->position.seq + 1;
    r->position.ms = later ? server_ms(w) : r->position.ms;
    *e = (struct event_of){.id = r->position, .topic = (unsigned)(log - r->logs)};
    memcpy(e->prev.birth, e->id.birth, sizeof(e->id.birth));
    if (strcmp(log->last.birth, e->id.birth) == 0)
        e->prev = log->last;
    log->last = e->id;
    log->events[log->len++] = w->events_len++;
    w->now_ms += below(w, 3);
}

static void publish_more(struct world *w) {
    for (uint64_t n = below(w, 10); n > 0; n--)
        publish(w);
}

static void trim(struct world *w) {
    struct log *log = &w->redis.logs[below(w, TOPICS)];
    log->first += below(w, log->len - log->first + 1);
}

/* So long nobody publishes that a quiet topic is forgotten. */
static void forget(struct world *w) {
    w->now_ms += MEMORY_MS / (1 + below(w, 3));
    for (unsigned t = 0; t < TOPICS; t++) {
        struct log *log = &w->redis.logs[t];
        if (log->last.ms + MEMORY_MS <= server_ms(w)) {
            log->first = log->len;
            log->last = (struct event_id){.epoch = 0};
        }
    }
}

static void replicate(struct world *w) {
    w->copy = w->redis;
    w->has_copy = true;
}

static void fail_over(struct world *w) {
    w->behind_ms = below(w, 2) * below(w, 5000);
    if (w->has_copy) {
        w->old = w->redis;
        w->old_run = w->run;
        w->has_old = true;
        w->redis = w->copy;
        lose_what_is_not_there(w);
    } /* else a restart that kept everything */
    w->run = ++w->runs;
}

/* The master before the failover is there again, and what was published since is not. Its successor
 * goes on by itself now. It may have been started anew meanwhile. */
static void fail_back(struct world *w) {
    static struct redis successor;
    unsigned run = below(w, 2) == 0 ? w->old_run : ++w->runs;
    if (!w->has_old)
        return;
    successor = w->redis;
    w->redis = w->old;
    w->old = successor;
    w->old_run = w->run;
    w->run = run;
    lose_what_is_not_there(w);
}

static void flush(struct world *w) {
    if (below(w, 10) != 0)
        return;
    memset(&w->redis, 0, sizeof(w->redis));
    lose_what_is_not_there(w);
    w->has_copy = w->has_old = false;
}

/* The clock alone vanishes; the logs stay, and are of another birth than what follows. */
static void lose_clock(struct world *w) {
    if (below(w, 10) != 0)
        return;
    w->redis.exists = false;
    lose_what_is_not_there(w);
    w->has_copy = w->has_old = false;
    w->behind_ms = 0;
    w->now_ms += 10000; /* else the new clock would be behind the logs */
}

/* ---- a node: relay/bus/clock.c and history.c without their connections ---- */

/* As Redis compares entries of a log: without their epochs. */
static bool is_above(const struct event_id *a, const struct event_id *b) {
    return a->ms > b->ms || (a->ms == b->ms && a->seq > b->seq);
}

/* An entry of a log, as log_entry_parse() sees it. */
static bool parse(const struct world *w, const struct node *n, unsigned event,
                  struct event_of *out) {
    *out = w->events[event];
    memcpy(out->id.birth, n->domain.position.birth, sizeof(out->id.birth));
    if (strcmp(out->prev.birth, n->domain.position.birth) != 0)
        out->prev = domain_zero(&n->domain);
    return domain_bore(&n->domain, &out->id);
}

static void restart(struct node *n, unsigned t, const struct event_id *at) {
    ring_reset(&n->rings[t], at);
    n->known[t] = true;
    n->extended[t] = n->reaches_back[t] = false;
}

static void fill(struct world *w, struct node *n, unsigned t, const struct event_id *goal) {
    const struct log *log = &w->redis.logs[t];
    for (size_t i = log->first; i < log->len; i++) {
        struct event_of e;
        if (!parse(w, n, log->events[i], &e) || !is_above(&e.id, &n->rings[t].top))
            continue;
        if (id_compare(&e.prev, &n->rings[t].top) != 0)
            restart(n, t, &e.prev);
        ring_append(&n->rings[t], &e.id, &e.prev, "", 0, NULL, 0);
    }
    if (id_compare(goal, &n->rings[t].top) > 0)
        restart(n, t, goal);
}

static void read_topic(struct world *w, struct node *n, unsigned t) {
    const struct log *log = &w->redis.logs[t];
    struct event_id last = domain_zero(&n->domain), pos;
    struct event_of e;
    if (strcmp(log->last.birth, last.birth) == 0)
        last = log->last;
    else if (log->len > log->first && parse(w, n, log->events[log->len - 1], &e))
        last = e.id;
    if (n->known[t] && strcmp(n->rings[t].top.birth, last.birth) != 0)
        n->known[t] = false;
    if (n->known[t] && domain_place(&n->domain, &n->rings[t].top, &pos) != 0)
        restart(n, t, &pos);
    if (n->known[t] && id_compare(&last, &n->rings[t].top) > 0)
        fill(w, n, t, &last);
    else if (!n->known[t] || id_compare(&last, &n->rings[t].top) < 0)
        restart(n, t, &last);
}

/* The node knows all there is up to now. */
static void sync(struct world *w, struct node *n) {
    if (below(w, 4) != 0)
        look_after_clock(w); /* else a reader is there before the publishing connection */
    bool another = n->run != w->run || n->domain.position.epoch != w->redis.position.epoch ||
                   strcmp(n->domain.position.birth, w->redis.position.birth) != 0;
    n->run = w->run;
    n->domain.known = true;
    n->domain.exists = w->redis.exists;
    n->domain.position = w->redis.position;
    n->domain.memory_ms = MEMORY_MS;
    memcpy(n->notes, w->redis.notes, sizeof(n->notes));
    n->domain.notes = n->notes;
    n->domain.notes_len = w->redis.notes_len;
    for (unsigned t = 0; n->domain.exists && t < TOPICS; t++) {
        if (another)
            n->extended[t] = n->reaches_back[t] = false;
        read_topic(w, n, t);
    }
}

static void node_fini(struct node *n) {
    for (unsigned t = 0; t < TOPICS; t++)
        ring_fini(&n->rings[t]);
    memset(n, 0, sizeof(*n));
}

static void listen_or_restart(struct world *w) {
    struct node *n = &w->nodes[below(w, NODES)];
    if (below(w, 4) == 0)
        node_fini(n);
    sync(w, n);
}

/* The bounds of rings. */
static void shrink(struct world *w) {
    struct node *n = &w->nodes[below(w, NODES)];
    unsigned t = (unsigned)below(w, TOPICS);
    for (uint64_t i = below(w, 5); i > 0 && n->rings[t].len > 0; i--) {
        ring_drop_oldest(&n->rings[t]);
        n->reaches_back[t] = false;
    }
}

static void extend(struct world *w, struct node *n, unsigned t) {
    const struct log *log = &w->redis.logs[t];
    uint64_t room = below(w, 30);
    for (size_t i = log->len; i > log->first; i--) {
        struct event_of e;
        if (!parse(w, n, log->events[i - 1], &e))
            break;
        if (is_above(&e.id, &n->rings[t].floor))
            continue;
        if (id_compare(&e.id, &n->rings[t].floor) != 0)
            break;
        n->extended[t] = room == 0;
        if (room-- == 0)
            return;
        ring_prepend(&n->rings[t], &e.id, &e.prev, "", 0);
    }
    n->extended[t] = n->reaches_back[t] = true;
}

/* ---- the reference's judgement of a reset ---- */

static bool is_owed(const struct world *w, const struct client *c, unsigned i) {
    return !w->events[i].lost && (c->topics >> w->events[i].topic & 1) != 0 && !c->settled[i];
}

static bool is_kept(const struct world *w, unsigned event) {
    const struct log *log = &w->redis.logs[w->events[event].topic];
    for (size_t i = log->first; i < log->len; i++)
        if (log->events[i] == event)
            return true;
    return false;
}

/* A reset "birth" says that of what came before it as well. */
static void settle_trimmed(const struct world *w, struct client *c, unsigned t) {
    for (unsigned i = 0; i < w->events_len; i++)
        c->settled[i] = c->settled[i] || (w->events[i].topic == t && !is_kept(w, i));
}

/* Events of topic @t that can be had no more are settled by this reset. */
static void judge_trimmed(struct world *w, struct client *c, const struct event_id *pos,
                          unsigned t) {
    /* It may be, as far as the domain remembers for sure. */
    bool missing = pos->ms + MEMORY_MS - MEMORY_MS / 32 < w->now_ms;
    w->resets[0]++;
    for (unsigned i = 0; i < w->events_len; i++) {
        const struct event_of *e = &w->events[i];
        if (e->topic != t || e->lost || c->seen[i] || is_kept(w, i))
            continue;
        missing = missing || (strcmp(e->id.birth, pos->birth) == 0 && id_compare(&e->id, pos) > 0);
        c->settled[i] = true;
    }
    if (!missing)
        fail_msg("a reset \"trimmed\", and nothing is missing");
}

static bool is_of_birth(const struct event_of *e, const struct event_id *pos) {
    return strcmp(e->id.birth, pos->birth) == 0;
}

/* A reset for events that are gone, or for those that another continuation did not have. */
static void judge_failover(struct world *w, struct client *c, const struct event_id *pos) {
    bool gone = false, stranger = true;
    for (size_t i = 0; i < w->redis.notes_len; i++)
        stranger = stranger && w->redis.notes[i].epoch != c->cursor.epoch;
    for (unsigned i = 0; i < w->events_len; i++) {
        const struct event_of *e = &w->events[i];
        if (!is_of_birth(e, pos))
            continue;
        gone =
            gone || (e->lost && id_compare(&e->id, &c->cursor) <= 0 && id_compare(&e->id, pos) > 0);
        c->settled[i] = c->settled[i] || (stranger && !e->lost && id_compare(&e->id, pos) <= 0);
    }
    /* Behind a birth it begins at a time rather than at an event, which may be in what is gone. */
    if (!gone && !stranger && c->cursor.seq != UINT64_MAX >> 1)
        fail_msg("a reset \"failover\", and nothing is gone that it may have seen");
    w->resets[3]++;
    w->strangers += stranger;
}

/* Set back or forward from a cursor to @pos. */
static void judge_placed(struct world *w, struct client *c, unsigned reasons,
                         const struct event_id *pos) {
    if (reasons & RESET_BIRTH) {
        w->resets[1]++;
        if (c->has_cursor && strcmp(c->cursor.birth, w->redis.position.birth) == 0)
            fail_msg("a reset \"birth\", and it is the same");
        for (unsigned i = 0; i < w->events_len; i++)
            c->settled[i] = c->settled[i] || !is_of_birth(&w->events[i], pos) ||
                            w->events[i].id.ms < c->cursor.ms ||
                            id_compare(&w->events[i].id, pos) <= 0;
    }
    if (reasons & RESET_FAILOVER)
        judge_failover(w, c, pos);
    for (unsigned i = 0; i < w->events_len; i++) {
        if (!w->events[i].lost || !c->seen[i])
            continue;
        if (reasons == 0)
            fail_msg("event %u is gone, which it has seen, and it was not told", i);
        c->seen[i] = c->settled[i] = false; /* should it come back, it is owed again */
    }
}

/* ---- a client comes back ---- */

struct found {
    unsigned event;
    struct event_id id;
};

static int compare_found(const void *a, const void *b) {
    return id_compare(&((const struct found *)a)->id, &((const struct found *)b)->id);
}

static unsigned number_of(const struct world *w, const struct event_id *id) {
    for (unsigned i = w->events_len; i > 0; i--)
        if (!w->events[i - 1].lost && strcmp(w->events[i - 1].id.birth, id->birth) == 0 &&
            id_compare(&w->events[i - 1].id, id) == 0)
            return i - 1;
    fail_msg("an event that nobody published, or that is lost");
    return 0;
}

/* A page of the log up to the ring's floor; tells whether its beginning is missing. */
static bool read_page(const struct world *w, const struct node *n, unsigned t,
                      const struct event_id *pos, struct found *found, size_t *len) {
    const struct log *log = &w->redis.logs[t];
    bool any = false, trimmed = false;
    for (size_t i = log->first; i < log->len; i++) {
        struct event_of e;
        if (!parse(w, n, log->events[i], &e) || !is_above(&e.id, pos) ||
            is_above(&e.id, &n->rings[t].floor))
            continue;
        if (!any)
            trimmed = id_compare(&e.prev, pos) > 0 ||
                      (e.prev.ms == 0 && domain_forgot(&n->domain, pos, e.id.ms));
        any = true;
        found[(*len)++] = (struct found){log->events[i], e.id};
    }
    return trimmed || !any;
}

/* What there is of a topic behind @pos; tells whether something is missing. */
static bool serve(struct world *w, struct node *n, unsigned t, const struct event_id *pos,
                  struct found *found, size_t *len) {
    struct ring *ring = &n->rings[t];
    enum reach reach;
    while ((reach = ring_reach(ring, n->extended[t], n->reaches_back[t], pos)) == REACH_EXTEND)
        extend(w, n, t);
    bool missing =
        reach == REACH_TRIMMED || domain_forgot(&n->domain, pos, ring_began_ms(ring, server_ms(w)));
    if (reach == REACH_LOG)
        missing = read_page(w, n, t, pos, found, len) || missing;
    for (size_t i = ring_find(ring, pos); i < ring->len; i++)
        found[(*len)++] = (struct found){number_of(w, &ring_at(ring, i)->id), ring_at(ring, i)->id};
    return missing;
}

static void deliver(struct world *w, struct client *c, const struct found *f) {
    if (c->seen[f->event])
        fail_msg("event %u twice", f->event);
    assert_false(w->events[f->event].lost);
    c->seen[f->event] = c->settled[f->event] = true;
    c->cursor = f->id;
    w->delivered++;
}

/* All that is behind the cursor, or what of it comes before the connection is cut. */
static void replay(struct world *w, struct node *n, struct client *c) {
    struct found found[EVENTS];
    struct event_id pos;
    size_t len = 0;
    unsigned reasons = domain_place(&n->domain, &c->cursor, &pos);
    if (reasons & RESET_BIRTH)
        pos = domain_since(&n->domain, c->cursor.ms);
    judge_placed(w, c, reasons, &pos);
    if (reasons != 0)
        c->cursor = pos; /* the reset's id */
    for (unsigned t = 0; t < TOPICS; t++)
        if ((c->topics >> t & 1) != 0 && serve(w, n, t, &pos, found, &len)) {
            if (reasons & RESET_BIRTH)
                settle_trimmed(w, c, t);
            else
                judge_trimmed(w, c, &pos, t);
        }
    qsort(found, len, sizeof(found[0]), compare_found);
    bool cut = below(w, 3) == 0;
    size_t much = cut ? (size_t)below(w, len + 1) : len;
    for (size_t i = 0; i < much; i++)
        deliver(w, c, &found[i]);
    if (cut)
        return;
    c->cursor = n->domain.position; /* relay.live */
    for (unsigned i = 0; i < w->events_len; i++)
        if (is_owed(w, c, i))
            fail_msg("event %u was lost without a word", i);
}

static void join(struct world *w, struct client *c, const struct node *n) {
    memset(c, 0, sizeof(*c));
    c->joined = true;
    c->topics = (unsigned)below(w, (1u << TOPICS) - 1) + 1;
    for (unsigned i = 0; i < w->events_len; i++)
        c->settled[i] = !w->events[i].lost;
    c->cursor = n->domain.position;
    c->has_cursor = true;
}

static void come(struct world *w) {
    struct node *n = &w->nodes[below(w, NODES)];
    struct client *c = &w->clients[below(w, CLIENTS)];
    sync(w, n);
    if (!n->domain.exists)
        return; /* relay.live without an id: such a client begins anew */
    if (!c->joined || below(w, 20) == 0)
        join(w, c, n);
    else
        replay(w, n, c);
}

/* ---- runs ---- */

static void (*const operations[])(struct world *) = {publish,
                                                     publish_more,
                                                     publish_more,
                                                     publish_more,
                                                     come,
                                                     come,
                                                     come,
                                                     come,
                                                     trim,
                                                     replicate,
                                                     fail_over,
                                                     fail_back,
                                                     listen_or_restart,
                                                     shrink,
                                                     forget,
                                                     lose_clock,
                                                     flush};
enum { OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

static void run(struct world *w, uint64_t seed) {
    memset(w, 0, sizeof(*w));
    w->rng.state = seed;
    w->now_ms = 1000000000;
    w->run = w->runs = 1;
    for (int i = 0; i < STEPS; i++)
        operations[below(w, OPERATIONS)](w);
    for (int i = 0; i < NODES; i++)
        node_fini(&w->nodes[i]);
}

static void test_nothing_is_lost_in_silence_or_doubled(void **state) {
    static struct world w;
    uint64_t delivered = 0, strangers = 0, resets[RESET_REASONS] = {0};
    (void)state;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        run(&w, seed * 7919);
        delivered += w.delivered;
        strangers += w.strangers;
        for (int i = 0; i < RESET_REASONS; i++)
            resets[i] += w.resets[i];
    }
    assert_true(delivered > RUNS * 10); /* the runs had something in them */
    assert_true(resets[0] > RUNS / 10 && resets[1] > RUNS / 10 && resets[3] > RUNS / 10);
    assert_true(strangers > RUNS / 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost_in_silence_or_doubled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
