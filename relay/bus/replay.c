/* Answering replays: a slice of what lies behind a cursor, merged over the connection's topics in
 * the order of ids.
 *
 * A request waits until all its topics are synced and the clock is known well enough to place its
 * cursor (replay_start.c). Then, from the rings where they reach back to the cursor (extended
 * backwards from the log once), else from pages of the logs. What is known to be gone is told by
 * resets. An answer that says live is pushed into the worker's queue at the moment when the rings
 * hold nothing more: every later event stands behind it there. */
#include "relay/bus/replay.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/bus/deliver.h"
#include "relay/bus/log_pages.h"
#include "relay/bus/replay_slice.h"
#include "relay/bus/replay_waiting.h"
#include "relay/bus/subscriptions.h"
#include "relay/bus/topic_sync.h"

enum { EXTEND_BYTES = 4 * 1024 * 1024 }; /* of all rings of a request */

/* ---- topics ---- */

/* All topics of the request. Returns false where one is not subscribed any more; *@synced: whether
 * all are; *@refused: whether that has to wait for Redis to allow one. */
static bool find_topics(const struct waiting *w, struct bus_topic **topics, bool *synced,
                        bool *refused) {
    const char *name = w->request->names;
    *synced = true;
    *refused = false;
    for (size_t i = 0; i < w->request->topics_len; i++, name += strlen(name) + 1) {
        topics[i] = topics_find(&w->bus->domain, name, strlen(name));
        if (topics[i] == NULL || topics[i]->interests[w->request->base.worker].formats == 0)
            return false;
        *synced = *synced && topic_is_synced(topics[i]);
        *refused = *refused || topics[i]->subscription.state == SUBSCRIPTION_REFUSED ||
                   (topics[i]->keys.unreadable != 0 && !topic_is_synced(topics[i]));
    }
    return true;
}

/* ---- the end of a request ---- */

/* Out of the line; freed when no read is outstanding. */
static void waiting_end(struct waiting *w) {
    DL_DELETE(w->bus->waiting, w);
    waiting_drop_pages(w);
    w->gone = true;
    if (w->outstanding == 0)
        waiting_free(w);
}

/* ---- answers ---- */

/* Behind this answer events follow, so one that is dropped from here on has to be told anew. */
static void resume_delivery(const struct waiting *w) {
    const char *name = w->request->names;
    for (size_t i = 0; i < w->request->topics_len; i++, name += strlen(name) + 1) {
        struct bus_topic *s = topics_find(&w->bus->domain, name, strlen(name));
        if (s != NULL)
            deliver_resumed(s, w->request->base.worker);
    }
}

static void push_answer(struct waiting *w, struct bus_replayed *m) {
    if (m->live)
        resume_delivery(w);
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
    m->start.at = w->pos;
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
    m->cursor.at = w->bus->domain.clock.position;
    push_answer(w, m);
}

static void answer_slice(struct waiting *w, struct slice *slice, const struct stretch *stretches,
                         bool live, const struct event_id *cursor, const unsigned char *resets) {
    struct bus_replayed *m = new_answer(w, resets);
    for (size_t i = 0; i < m->resets_len; i++)
        m->resets[i] |= (unsigned char)((stretches[i].taken ? REPLAY_HAS_SOME : 0) |
                                        (stretches[i].reasons != 0 ? REPLAY_SKIPS_SOME : 0));
    m->slice = slice_event(slice, w->request->format);
    m->live = live;
    m->cursor.at = *cursor;
    push_answer(w, m);
}

/* ---- serving ---- */

/* How many events may still be replayed before the client is told of a gap. */
static uint64_t limit_left(const struct waiting *w) {
    uint64_t limit = w->bus->options.replay_limit, done = w->request->replayed;
    if (limit == 0)
        return UINT64_MAX;
    return limit > done ? limit - done : 0;
}

static enum range range_of(const struct bus_topic *t, const struct event_id *pos) {
    const struct topic_history *h = &t->history;
    return ring_range(&h->ring, h->extended, h->reaches_back, pos);
}

/* The end of what is missing where a page or the ring does not reach back to the cursor. */
static const struct event_id *hole_end(const struct waiting *w, const struct bus_topic *t,
                                       const struct log_page *page) {
    if (page == NULL)
        return &t->history.ring.floor;
    return page_find(page, &w->pos) < page->len ? &page->linked_to : &page->top;
}

/* Whether something of the topic behind the cursor is gone. */
static bool misses(const struct waiting *w, const struct bus_topic *t,
                   const struct log_page *page) {
    if (w->chosen && id_compare(hole_end(w, t, page), &w->chosen_at) <= 0)
        return false;
    if (page != NULL)
        return page_misses(page, &w->pos);
    return range_of(t, &w->pos) == RANGE_TRIMMED ||
           domain_clock_forgot(&w->bus->domain.clock, &w->pos,
                               ring_began_ms(&t->history.ring, clock_wall_ms()));
}

/* How far a page is complete that goes on with event @next of it. */
static void bound_by(struct event_id *bound, const struct log_page *page, size_t next) {
    struct event_id end = page->top;
    if (page->state == PAGE_OUTLINE && next < page->len)
        end = id_before(page->entries[next].id);
    if (id_compare(&end, bound) < 0)
        *bound = end;
}

/* What the next step goes on with. */
static void keep_pages(const struct waiting *w, const struct event_id *cursor) {
    for (size_t i = 0; w->pages != NULL && i < w->request->topics_len; i++)
        if (w->pages[i] != NULL)
            page_keep_for(w->pages[i], cursor);
}

static struct page_wish wish_of(const struct waiting *w) {
    return (struct page_wish){
        .format = w->request->format, .is_sure = w->sure, .share = w->request->topics_len};
}

/* From pages where they are held, up to where all of them are complete; from rings elsewhere. */
static void answer_from(struct waiting *w, struct bus_topic **topics) {
    size_t n = w->request->topics_len;
    struct stretch *stretches = mem_zalloc(n * sizeof(*stretches));
    unsigned char *resets = mem_zalloc(n);
    struct slice slice = {.bytes = BUF_INIT, .max = limit_left(w)};
    struct event_id bound = w->bus->domain.clock.position;
    const struct page_wish wish = wish_of(w);
    bool paged = false;
    for (size_t i = 0; i < n; i++) {
        struct log_page *page = w->pages != NULL ? w->pages[i] : NULL;
        stretches[i] = stretch_of(topics[i], page, &w->pos);
        if (page != NULL)
            page_read_ahead(page, &wish);
        if (page != NULL)
            bound_by(&bound, page, stretches[i].next);
        if (misses(w, topics[i], page))
            resets[i] |= RESET_TRIMMED;
        paged = paged || page != NULL;
    }
    slice_gather(stretches, n, paged ? &bound : NULL, w->request, &slice);
    for (size_t i = 0; i < n; i++)
        resets[i] |= (unsigned char)stretches[i].reasons;
    const struct event_id *cursor = slice.cut ? &slice.last : &bound;
    keep_pages(w, cursor);
    answer_slice(w, &slice, stretches, !paged && !slice.cut, cursor, resets);
    buf_fini(&slice.bytes);
    free(resets);
    stretches_free(stretches, n);
}

/* The page whose event is the next of all; NULL: it is in a ring, or there is none. */
static struct log_page **page_of_next(const struct waiting *w, struct bus_topic **topics) {
    struct log_page **first = NULL;
    const struct event_id *least = NULL;
    for (size_t i = 0; i < w->request->topics_len; i++) {
        const struct stretch s = stretch_of(topics[i], w->pages[i], &w->pos);
        const struct event_id *id = stretch_peek(&s);
        if (id == NULL || (least != NULL && id_compare(id, least) > 0))
            continue;
        least = id;
        first = w->pages[i] != NULL ? &w->pages[i] : NULL;
    }
    return first;
}

/* The next event is to be delivered: an outline does not do. Returns whether it is there. */
static bool hold_next(struct waiting *w, struct bus_topic **topics) {
    struct log_page **page = page_of_next(w, topics);
    if (page == NULL || (*page)->state != PAGE_OUTLINE)
        return true;
    struct page_wish wish = wish_of(w);
    size_t i = (size_t)(page - w->pages);
    wish.is_whole = true;
    wish.count = page_outline_count(*page, &w->pos, &wish);
    waiting_drop_page(w, i);
    *page = page_get(topics[i], &w->pos, &wish);
    return *page != NULL && (*page)->state == PAGE_READY;
}

/* Hold a page of each topic whose ring does not reach back to the cursor. Returns whether all are
 * there. */
static bool hold_pages(struct waiting *w, struct bus_topic **topics) {
    bool all = true;
    if (w->pages == NULL)
        w->pages = mem_zalloc(w->request->topics_len * sizeof(struct log_page *));
    for (size_t i = 0; i < w->request->topics_len; i++) {
        struct log_page **page = &w->pages[i];
        bool needed = id_compare(&w->pos, &topics[i]->history.ring.floor) < 0;
        /* not of a topic that was given up and is wanted again */
        bool helps = *page != NULL && (*page)->topic == topics[i] && page_covers(*page, &w->pos);
        w->sure = w->sure || (*page != NULL && !helps);
        if (!needed || !helps)
            waiting_drop_page(w, i);
        const struct page_wish wish = wish_of(w);
        if (needed && *page == NULL)
            *page = page_get(topics[i], &w->pos, &wish);
        all = all && (!needed || (*page != NULL && (*page)->state != PAGE_READING));
    }
    return all && hold_next(w, topics);
}

/* The widest range of all topics; those that have to be extended are, each as far as its share of
 * the bytes goes: with many topics, or large events, most of them would be read in vain. */
static enum range widest_range(const struct waiting *w, struct bus_topic **topics) {
    size_t n = w->request->topics_len, share = EXTEND_BYTES / n;
    enum range all = RANGE_RING;
    bool extending = false;
    for (size_t i = 0; i < n; i++) {
        enum range range = range_of(topics[i], &w->pos);
        if (range == RANGE_EXTEND && topic_sync_extend(topics[i], share))
            extending = true;
        else if (range == RANGE_EXTEND)
            range = RANGE_LOG;
        if (range > all)
            all = range;
    }
    return extending ? RANGE_EXTEND : all;
}

/* Whether a log has to be read that Redis refuses to read. */
static bool needs_unreadable(const struct waiting *w, struct bus_topic **topics) {
    bool any_place = !w->placed && w->request->start.kind == CURSOR_LAST;
    for (size_t i = 0; i < w->request->topics_len; i++) {
        const struct bus_topic *s = topics[i];
        if (s->keys.unreadable != 0 &&
            (any_place || (w->placed && range_of(s, &w->pos) > RANGE_TRIMMED)))
            return true;
    }
    return false;
}

/* Now that it is known where the replay goes on from. */
static void serve_placed(struct waiting *w, struct bus_topic **topics) {
    if (limit_left(w) == 0) {
        w->reasons |= RESET_LIMIT;
        w->pos = w->bus->domain.clock.position;
        answer_live(w);
        return;
    }
    enum range range = w->pages != NULL ? RANGE_LOG : widest_range(w, topics);
    if (range <= RANGE_TRIMMED || (range == RANGE_LOG && hold_pages(w, topics))) {
        answer_from(w, topics);
    }
}

static void serve(struct waiting *w) {
    struct bus_topic **topics = mem_zalloc(w->request->topics_len * sizeof(struct bus_topic *));
    bool synced, refused;
    if (!find_topics(w, topics, &synced, &refused)) {
        waiting_end(w); /* the worker gave a topic up: nobody waits for this */
    } else if (refused) {
        answer_refused(w);
    } else if (synced && w->bus->domain.clock.known && w->outstanding == 0) {
        bool refuses = needs_unreadable(w, topics);
        if (!w->placed && !refuses)
            replay_place(w);
        if (refuses || needs_unreadable(w, topics))
            answer_refused(w);
        else if (w->placed)
            serve_placed(w, topics);
    }
    free(topics);
}

void replay_request(struct bus *bus, struct bus_replay *r) {
    struct waiting *w = mem_zalloc(sizeof(*w));
    w->bus = bus;
    w->request = r;
    w->since_ms = clock_mono_ms();
    DL_APPEND(bus->waiting, w);
    bus->replays_due = true;
}

/* What was found out with another clock means nothing. */
void replay_restart(struct bus *bus) {
    struct waiting *w;
    DL_FOREACH(bus->waiting, w) {
        w->placed = w->chosen = false;
        w->reasons = 0;
        w->stale = w->outstanding > 0;
        w->sure = false;
        waiting_drop_pages(w);
    }
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

/* Whatever they wait for: they may not take up the worker's steps under way, which others need. */
void replay_defer(struct bus *bus) {
    struct waiting *w, *next;
    uint64_t now_ms = clock_mono_ms();
    DL_FOREACH_SAFE(bus->waiting, w, next) {
        uint64_t patience_ms = w->request->patience_ms;
        if (patience_ms == 0 || now_ms < w->since_ms + patience_ms)
            continue;
        struct bus_replayed *m = bus_replayed_new(w->request->token, 0);
        m->deferred = true;
        push_answer(w, m);
    }
}

void replay_free_all(struct bus *bus) {
    while (bus->waiting != NULL)
        waiting_end(bus->waiting);
}
