/* Answering replays: a slice of what lies behind a cursor, merged over the connection's topics in
 * the order of ids.
 *
 * A request waits until all its topics are synced and the clock is known well enough to place its
 * cursor. Then, from the rings where they reach back to the cursor (extended backwards from the log
 * once), else from pages of the logs. What is known to be gone is told by resets. An answer that
 * says live is pushed into the worker's queue at the moment when the rings hold nothing more: every
 * later event stands behind it there. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/internal.h"

enum { LAST_MAX = 10000 };

/* A request that cannot be answered yet. */
struct waiting {
    struct waiting *next, *prev;
    struct bus *bus;
    struct bus_replay *request;
    uint64_t clock_wanted; /* a read of the clock with this number has to be done; 0: none */
    bool placed;           /* pos is set: where the replay goes on from */
    bool unchecked; /* pos is a place of our own choice (since=, last=): nothing can be missing
                       behind it */
    struct event_id pos;
    unsigned reasons;        /* for all topics */
    struct log_page **pages; /* held, one per topic or NULL; NULL: none was needed yet */
    bool sure;               /* one that was waited for does not cover pos: wait for its own */
    size_t outstanding;      /* reads for last= under way */
    bool failed;             /* one failed: ask again when the connection is back */
    struct event_id *found;  /* by them */
    size_t found_len;
    bool stale; /* the clock is another one than when the outstanding reads were asked for */
    bool gone;  /* a topic was given up: free once nothing is outstanding */
};

/* ---- topics ---- */

/* All topics of the request. Returns false where one is not subscribed any more; *@synced: whether
 * all are; *@refused: whether one is forbidden. */
static bool find_topics(const struct waiting *w, struct bus_subscription **topics, bool *synced,
                        bool *refused) {
    const char *name = w->request->names;
    *synced = true;
    *refused = false;
    for (size_t i = 0; i < w->request->topics_len; i++, name += strlen(name) + 1) {
        topics[i] = subscriptions_find_topic(w->bus, name, strlen(name));
        if (topics[i] == NULL || topics[i]->interests[w->request->base.worker].forms == 0)
            return false;
        *synced = *synced && topics[i]->history == HISTORY_SYNCED;
        *refused = *refused || topics[i]->state == BUS_TOPIC_REFUSED;
    }
    return true;
}

/* ---- the end of a request ---- */

/* The page of topic @i is not needed any more, or does not help. */
static void drop_page(struct waiting *w, size_t i) {
    if (w->pages[i] != NULL)
        page_put(w->pages[i]);
    w->pages[i] = NULL;
}

static void drop_pages(struct waiting *w) {
    for (size_t i = 0; w->pages != NULL && i < w->request->topics_len; i++)
        drop_page(w, i);
    free(w->pages);
    w->pages = NULL;
}

static void waiting_free(struct waiting *w) {
    drop_pages(w);
    free(w->found);
    free(w->request);
    free(w);
}

/* An answer came. Returns false where there is nothing to be done with it, and @w may be freed. */
static bool answer_counts(struct waiting *w) {
    w->outstanding--;
    w->bus->replays_due = true;
    if (!w->gone && !w->stale)
        return true;
    if (w->outstanding == 0 && w->gone)
        waiting_free(w);
    else if (w->outstanding == 0)
        w->stale = false;
    return false;
}

/* Out of the line; freed when no read is outstanding. */
static void waiting_end(struct waiting *w) {
    DL_DELETE(w->bus->waiting, w);
    drop_pages(w);
    w->gone = true;
    if (w->outstanding == 0)
        waiting_free(w);
}

/* ---- slices ---- */

/* Events of one topic that may go into the slice. */
struct stretch {
    const struct log_page *page; /* where they are; NULL: in the topic's ring */
    size_t next;
    size_t bytes; /* of the ring, before frames are made */
    struct bus_subscription *topic;
    bool taken; /* some of it is in the slice */
};

struct slice {
    struct buf bytes;
    uint32_t count;
    struct event_id last;
    bool cut;     /* a limit was reached: there is more */
    uint64_t max; /* how many events it may hold, for --replay-limit */
};

/* What lies behind @pos. */
static struct stretch stretch_of(struct bus_subscription *topic, const struct log_page *page,
                                 const struct event_id *pos) {
    size_t next = page != NULL ? page_find(page, pos) : ring_find(&topic->ring, pos);
    return (struct stretch){.page = page, .next = next, .bytes = topic->ring.bytes, .topic = topic};
}

/* The id of the next event; NULL: there is none. */
static const struct event_id *peek(const struct stretch *s) {
    if (s->page != NULL)
        return s->next < s->page->len ? &s->page->entries[s->next].id : NULL;
    return s->next < s->topic->ring.len ? &ring_at(&s->topic->ring, s->next)->id : NULL;
}

/* Its bytes; none where it cannot be encoded. */
static struct frame_slice body_of(const struct stretch *s, enum frame_form form) {
    if (s->page != NULL)
        return page_body(s->page, s->next, form);
    struct ring *ring = &s->topic->ring;
    struct frame *f =
        ring_frame(ring, ring_at(ring, s->next), s->topic->topic, s->topic->topic_len, form);
    return f != NULL ? frame_slice(f, form, false) : (struct frame_slice){NULL, 0};
}

static struct stretch *earliest(struct stretch *stretches, size_t len,
                                const struct event_id *bound) {
    struct stretch *best = NULL;
    for (size_t i = 0; i < len; i++) {
        const struct event_id *id = peek(&stretches[i]);
        if (id == NULL || (bound != NULL && id_compare(id, bound) > 0))
            continue;
        if (best == NULL || id_compare(id, peek(best)) < 0)
            best = &stretches[i];
    }
    return best;
}

/* Take events in the order of their ids, up to @bound (NULL: all), while they fit. */
static void gather(struct stretch *stretches, size_t len, const struct event_id *bound,
                   const struct bus_replay *r, struct slice *out) {
    struct stretch *s;
    while ((s = earliest(stretches, len, bound)) != NULL) {
        struct frame_slice body = body_of(s, r->form);
        if (body.len > 0) {
            if (out->count == out->max ||
                (out->bytes.len > 0 && out->bytes.len + body.len > r->limit_bytes)) {
                out->cut = true;
                return;
            }
            buf_append(&out->bytes, body.bytes, body.len);
            out->count++;
        }
        out->last = *peek(s);
        s->taken = true;
        s->next++;
    }
}

/* The slice holds its bytes: the rings may let their frames go. */
static void stretches_free(struct stretch *stretches, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (stretches[i].page == NULL)
            history_served(stretches[i].topic, stretches[i].bytes);
    free(stretches);
}

static struct bus_event *slice_event(struct slice *slice, enum frame_form form) {
    if (slice->count == 0)
        return NULL;
    struct bus_event *e =
        bus_event_new(frame_of_bodies(slice->bytes.data, slice->bytes.len, form), NULL, 0, 0);
    e->durable = true;
    e->count = slice->count;
    e->id = slice->last;
    return e;
}

/* ---- answers ---- */

/* Behind this answer events follow, so one that is dropped from here on has to be told anew. */
static void forget_gaps(const struct waiting *w) {
    const char *name = w->request->names;
    for (size_t i = 0; i < w->request->topics_len; i++, name += strlen(name) + 1) {
        struct bus_subscription *s = subscriptions_find_topic(w->bus, name, strlen(name));
        if (s != NULL)
            s->interests[w->request->base.worker].gap_told = false;
    }
}

static void push_answer(struct waiting *w, struct bus_replayed *m) {
    if (m->live)
        forget_gaps(w);
    m->base.kind = BUS_REPLAYED;
    queue_push_control(w->bus->options.inboxes[w->request->base.worker], &m->base.node);
    waiting_end(w);
}

static struct bus_replayed *new_answer(const struct waiting *w, const unsigned char *resets) {
    bool any = w->reasons != 0;
    for (size_t i = 0; resets != NULL && i < w->request->topics_len; i++)
        any = any || resets[i] != 0;
    struct bus_replayed *m = bus_replayed_new(w->request->token, any ? w->request->topics_len : 0);
    for (size_t i = 0; i < m->resets_len; i++)
        m->resets[i] = (unsigned char)(w->reasons | (resets != NULL ? resets[i] : 0));
    m->has_cursor = w->bus->domain.exists;
    m->start = w->pos;
    return m;
}

/* Nobody knows for how long: it may not take up one of the worker's steps under way. */
static void answer_refused(struct waiting *w) {
    struct bus_replayed *m = bus_replayed_new(w->request->token, 0);
    m->refused = true;
    push_answer(w, m);
}

/* Nothing is behind the cursor, or nothing that can be had: live from here. */
static void answer_live(struct waiting *w) {
    struct bus_replayed *m = new_answer(w, NULL);
    m->live = true;
    m->cursor = w->bus->domain.position;
    push_answer(w, m);
}

static void answer_slice(struct waiting *w, struct slice *slice, const struct stretch *stretches,
                         bool live, const struct event_id *cursor, const unsigned char *resets) {
    struct bus_replayed *m = new_answer(w, resets);
    for (size_t i = 0; i < m->resets_len; i++)
        m->resets[i] |= stretches[i].taken ? REPLAY_HAS_SOME : 0;
    m->slice = slice_event(slice, w->request->form);
    m->live = live;
    m->cursor = *cursor;
    push_answer(w, m);
}

/* ---- placing the cursor ---- */

static void place_at(struct waiting *w, const struct event_id *pos, unsigned reasons) {
    w->placed = true;
    w->pos = *pos;
    w->reasons = reasons;
}

/* Whether the clock was read since the request came; asks for it where not. */
static bool clock_is_fresh(struct waiting *w) {
    const struct domain *d = &w->bus->domain;
    if (w->clock_wanted == 0)
        w->clock_wanted = d->reads_sent + 1; /* one under way may have been answered before */
    if (d->reads_sent < w->clock_wanted && d->reads_sent == d->reads_done)
        clock_read(w->bus); /* one for all who wait */
    return d->reads_done >= w->clock_wanted;
}

static void place_id(struct waiting *w) {
    const struct domain *d = &w->bus->domain;
    const struct event_id *cursor = &w->request->start.id;
    struct event_id pos;
    bool ahead =
        strcmp(cursor->birth, d->position.birth) != 0 || id_compare(cursor, &d->position) > 0;
    if (ahead && !clock_is_fresh(w))
        return; /* it may just be ahead of this node */
    unsigned reasons = domain_place(d, cursor, &pos);
    if (reasons & RESET_BIRTH) { /* two births share nothing but time: what came since that */
        pos = domain_since(d, cursor->ms);
        w->unchecked = true;
    }
    place_at(w, &pos, reasons);
}

static int compare_ids(const void *a, const void *b) {
    return id_compare(a, b);
}

/* The greatest id below @id. */
static struct event_id right_before(struct event_id id) {
    if (id.seq > 0) {
        id.seq--;
    } else {
        id.ms--;
        id.seq = UINT64_MAX >> 1;
    }
    return id;
}

static void place_last(struct waiting *w) {
    struct event_id pos = w->bus->domain.position;
    size_t n = w->found_len;
    if (n > 0)
        qsort(w->found, n, sizeof(*w->found), compare_ids);
    if (n > w->request->start.last)
        pos = w->found[n - 1 - w->request->start.last];
    else if (n > 0) /* all there is */
        pos = right_before(w->found[0]);
    w->unchecked = true;
    place_at(w, &pos, 0);
}

/* The ids of the last events of one topic, read backwards. */
struct latest {
    struct waiting *waiting;
    const char *topic; /* in the request */
    size_t left;       /* how many are still wanted */
    size_t count;      /* that were asked for */
};

static void on_latest(void *arg, int status, const struct redisReply *reply);

/* From @to down; NULL: from the last. Takes @l over. */
static void read_latest(struct latest *l, const struct event_id *to) {
    struct waiting *w = l->waiting;
    struct bus_subscription *s = subscriptions_find_topic(w->bus, l->topic, strlen(l->topic));
    l->count = s != NULL ? log_count(s, l->left) : 0;
    if (s == NULL || log_read(w->bus, s, true, NULL, to, l->count, on_latest, l) != RELAY_OK) {
        w->failed = true;
        free(l);
    } else {
        w->outstanding++;
    }
}

/* Note the ids. Returns whether there are more to be read, below *@last. */
static bool take_latest(struct latest *l, const redisReply *reply, struct event_id *last) {
    struct waiting *w = l->waiting;
    struct log_entry e;
    w->found = mem_realloc(w->found, (w->found_len + reply->elements + 1) * sizeof(*w->found));
    for (size_t i = 0; i < reply->elements; i++) {
        if (!log_entry_parse(&w->bus->domain, reply->element[i], &e))
            return false; /* of a clock before this one, as all that is older */
        w->found[w->found_len++] = *last = e.id;
    }
    l->left -= reply->elements < l->left ? reply->elements : l->left;
    return l->left > 0 && reply->elements == l->count;
}

static void on_latest(void *arg, int status, const struct redisReply *reply) {
    struct latest *l = arg;
    struct waiting *w = l->waiting;
    struct event_id last;
    if (!answer_counts(w)) {
        free(l);
        return;
    }
    struct bus_subscription *s = subscriptions_find_topic(w->bus, l->topic, strlen(l->topic));
    if (s != NULL)
        log_answered(s, status, reply);
    w->failed = w->failed || status != RELAY_OK || reply->type != REDIS_REPLY_ARRAY;
    if (!w->failed && take_latest(l, reply, &last)) {
        last = right_before(last);
        read_latest(l, &last);
    } else {
        free(l);
    }
    if (w->outstanding == 0 && !w->failed)
        place_last(w);
}

static void find_last(struct waiting *w) {
    uint64_t n = w->request->start.last < LAST_MAX ? w->request->start.last : LAST_MAX;
    const char *name = w->request->names;
    w->failed = false;
    w->found_len = 0;
    for (size_t i = 0; i < w->request->topics_len; i++, name += strlen(name) + 1) {
        struct latest *l = mem_zalloc(sizeof(*l));
        *l = (struct latest){.waiting = w, .topic = name, .left = (size_t)n + 1};
        read_latest(l, NULL);
    }
}

static void place(struct waiting *w) {
    const struct domain *d = &w->bus->domain;
    enum cursor_kind kind = w->request->start.kind;
    struct event_id pos;
    if (!d->exists && kind != CURSOR_NONE && !clock_is_fresh(w))
        return; /* it may just have been born */
    if (!d->exists) {
        place_at(w, &d->position, kind == CURSOR_ID || kind == CURSOR_BAD ? RESET_BIRTH : 0);
        return;
    }
    switch (kind) {
    case CURSOR_NONE:
        place_at(w, &d->position, 0);
        break;
    case CURSOR_BAD:
        place_at(w, &d->position, RESET_BIRTH);
        break;
    case CURSOR_ID:
        place_id(w);
        break;
    case CURSOR_SINCE:
        w->unchecked = true;
        pos = domain_since(d, w->request->start.since_ms);
        place_at(w, &pos, 0);
        break;
    case CURSOR_LAST:
        find_last(w);
        break;
    }
}

/* ---- serving ---- */

/* How many events may still be replayed before the client is told of a gap. */
static uint64_t limit_left(const struct waiting *w) {
    uint64_t limit = w->bus->options.replay_limit, done = w->request->replayed;
    if (limit == 0)
        return UINT64_MAX;
    return limit > done ? limit - done : 0;
}

/* Whether something of the topic behind the cursor is gone. */
static bool misses(const struct waiting *w, const struct bus_subscription *s,
                   const struct log_page *page) {
    if (page != NULL)
        return page_misses(page, &w->pos);
    return ring_reach(&s->ring, s->extended, s->reaches_back, &w->pos) == REACH_TRIMMED ||
           domain_forgot(&w->bus->domain, &w->pos, ring_began_ms(&s->ring, clock_wall_ms()));
}

/* From pages where they are held, up to where all of them are complete; from rings elsewhere. */
static void answer_from(struct waiting *w, struct bus_subscription **topics) {
    size_t n = w->request->topics_len;
    struct stretch *stretches = mem_zalloc(n * sizeof(*stretches));
    unsigned char *resets = mem_zalloc(n);
    struct slice slice = {.bytes = BUF_INIT, .max = limit_left(w)};
    struct event_id bound = w->bus->domain.position;
    bool paged = false;
    for (size_t i = 0; i < n; i++) {
        struct log_page *page = w->pages != NULL ? w->pages[i] : NULL;
        stretches[i] = stretch_of(topics[i], page, &w->pos);
        if (page != NULL)
            page_read_ahead(page, w->request->form);
        if (page != NULL && id_compare(&page->top, &bound) < 0)
            bound = page->top;
        if (!w->unchecked && misses(w, topics[i], page))
            resets[i] |= RESET_TRIMMED;
        paged = paged || page != NULL;
    }
    gather(stretches, n, paged ? &bound : NULL, w->request, &slice);
    answer_slice(w, &slice, stretches, !paged && !slice.cut, slice.cut ? &slice.last : &bound,
                 resets);
    buf_fini(&slice.bytes);
    free(resets);
    stretches_free(stretches, n);
}

/* Hold a page of each topic whose ring does not reach back to the cursor. Returns whether all are
 * there. */
static bool hold_pages(struct waiting *w, struct bus_subscription **topics) {
    bool all = true;
    if (w->pages == NULL)
        w->pages = mem_zalloc(w->request->topics_len * sizeof(struct log_page *));
    for (size_t i = 0; i < w->request->topics_len; i++) {
        struct log_page **page = &w->pages[i];
        bool needed = id_compare(&w->pos, &topics[i]->ring.floor) < 0;
        /* not of a topic that was given up and is wanted again */
        bool helps = *page != NULL && (*page)->topic == topics[i] && page_covers(*page, &w->pos);
        w->sure = w->sure || (*page != NULL && !helps);
        if (!needed || !helps)
            drop_page(w, i);
        if (needed && *page == NULL)
            *page = page_get(topics[i], &w->pos, w->request->form, w->sure);
        all = all && (!needed || (*page != NULL && (*page)->state == PAGE_READY));
    }
    return all;
}

/* The greatest reach of all topics; those that have to be extended are. */
static enum reach reach_of(const struct waiting *w, struct bus_subscription **topics) {
    enum reach all = REACH_RING;
    bool extending = false;
    for (size_t i = 0; i < w->request->topics_len; i++) {
        struct bus_subscription *s = topics[i];
        enum reach reach = ring_reach(&s->ring, s->extended, s->reaches_back, &w->pos);
        extending = extending || reach == REACH_EXTEND;
        if (reach == REACH_EXTEND && s->read == NULL)
            history_extend(s);
        if (reach > all)
            all = reach;
    }
    return extending ? REACH_EXTEND : all;
}

/* Now that it is known where the replay goes on from. */
static void serve_placed(struct waiting *w, struct bus_subscription **topics) {
    if (limit_left(w) == 0) {
        w->reasons |= RESET_LIMIT;
        w->pos = w->bus->domain.position;
        answer_live(w);
        return;
    }
    enum reach reach = w->pages != NULL ? REACH_LOG : reach_of(w, topics);
    if (reach <= REACH_TRIMMED || (reach == REACH_LOG && hold_pages(w, topics))) {
        answer_from(w, topics);
    }
}

static void serve(struct waiting *w) {
    struct bus_subscription **topics =
        mem_zalloc(w->request->topics_len * sizeof(struct bus_subscription *));
    bool synced, refused;
    if (!find_topics(w, topics, &synced, &refused)) {
        waiting_end(w); /* the worker gave a topic up: nobody waits for this */
    } else if (refused) {
        answer_refused(w);
    } else if (synced && w->bus->domain.known && w->outstanding == 0) {
        if (!w->placed)
            place(w);
        if (w->placed)
            serve_placed(w, topics);
    }
    free(topics);
}

void replay_request(struct bus *bus, struct bus_replay *r) {
    struct waiting *w = mem_zalloc(sizeof(*w));
    w->bus = bus;
    w->request = r;
    DL_APPEND(bus->waiting, w);
    bus->replays_due = true;
}

/* What was found out with another clock means nothing. */
void replay_restart(struct bus *bus) {
    struct waiting *w;
    DL_FOREACH(bus->waiting, w) {
        w->placed = w->unchecked = false;
        w->reasons = 0;
        w->stale = w->outstanding > 0;
        w->sure = false;
        drop_pages(w);
    }
    for (struct bus_subscription *s = bus->subscriptions; s != NULL; s = s->hh.next)
        pages_forget(s);
    bus->replays_due = true;
}

void replay_serve(struct bus *bus) {
    struct waiting *w, *next;
    if (!bus->replays_due || bus->stopping)
        return;
    bus->replays_due = false;
    DL_FOREACH_SAFE(bus->waiting, w, next) {
        serve(w);
    }
}

void replay_free_all(struct bus *bus) {
    while (bus->waiting != NULL)
        waiting_end(bus->waiting);
}
