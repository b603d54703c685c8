/* Where a replay goes on from: a cursor by the clock, a time, or so many latest events, which have
 * to be read; see replay_waiting.h. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/clock_reader.h"
#include "relay/bus/log_reader.h"
#include "relay/bus/redis_time.h"
#include "relay/bus/replay_waiting.h"
#include "relay/bus/subscriptions.h"

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

static void place_at(struct waiting *w, const struct event_id *pos, unsigned reasons) {
    w->placed = true;
    w->pos = *pos;
    w->reasons = reasons;
}

/* Whether the clock was read since the request came; asks for it where not. */
static bool clock_is_fresh(struct waiting *w) {
    const struct clock_reads *r = &w->bus->domain.reads;
    if (w->clock_wanted == 0)
        w->clock_wanted = r->sent + 1; /* one under way may have been answered before */
    if (r->sent < w->clock_wanted && r->sent == r->done)
        clock_reader_read(&w->bus->domain); /* one for all who wait */
    return r->done >= w->clock_wanted;
}

static void place_id(struct waiting *w) {
    const struct domain_clock *d = &w->bus->domain.clock;
    const struct event_id *cursor = &w->request->start.id;
    struct event_id pos;
    bool ahead =
        strcmp(cursor->birth, d->position.birth) != 0 || id_compare(cursor, &d->position) > 0;
    if (ahead && !clock_is_fresh(w))
        return; /* it may just be ahead of this node */
    unsigned reasons = domain_clock_place(d, cursor, &pos);
    if (reasons & RESET_BIRTH) /* two births share nothing but time: what came since that */
        pos = domain_clock_since(d, cursor->ms);
    place_at(w, &pos, reasons);
}

/* What the log held by now was chosen from; what comes from now on is owed. */
static void place_chosen(struct waiting *w, const struct event_id *pos) {
    w->chosen = true;
    w->chosen_at = w->bus->domain.clock.position;
    place_at(w, pos, 0);
}

static int compare_ids(const void *a, const void *b) {
    return id_compare(a, b);
}

static void place_last(struct waiting *w) {
    struct event_id pos = w->pos;
    size_t n = w->found_len;
    if (n > 0)
        qsort(w->found, n, sizeof(*w->found), compare_ids);
    if (n > w->request->start.last)
        pos = w->found[n - 1 - w->request->start.last];
    else if (n > 0) /* all there is */
        pos = id_before(w->found[0]);
    place_chosen(w, &pos);
}

/* The ids of the last events of one topic, read backwards. */
struct latest {
    struct waiting *waiting;
    const char *topic; /* in the request */
    size_t left;       /* how many are still wanted */
    size_t count;      /* that were asked for */
};

static void on_latest(void *arg, int status, const struct redisReply *reply);

/* From @to down. Takes @l over. */
static void read_latest(struct latest *l, const struct event_id *to) {
    struct waiting *w = l->waiting;
    struct bus_topic *s = topics_find(&w->bus->domain, l->topic, strlen(l->topic));
    const struct log_range range = {.backwards = true, .to = to};
    l->count = s != NULL ? log_count(s, l->left) : 0;
    if (s == NULL || log_read(s, &range, l->count, on_latest, l) != RELAY_OK) {
        w->failed = true;
        free(l);
    } else {
        w->outstanding++;
    }
}

/* Note the ids. Returns whether there are more to be read, below *@last. */
static bool take_latest(struct latest *l, const redisReply *reply, struct event_id *last) {
    struct waiting *w = l->waiting;
    const struct domain_clock *d = &w->bus->domain.clock;
    struct log_entry e;
    w->found = mem_realloc(w->found, (w->found_len + reply->elements + 1) * sizeof(*w->found));
    for (size_t i = 0; i < reply->elements; i++) {
        if (log_entry_is_older(d, reply->element[i]))
            return false;
        if (!log_entry_place(reply->element[i], last))
            return false;
        if (log_entry_known(d, reply->element[i], &e)) {
            w->found[w->found_len++] = e.id;
            l->left--;
        }
    }
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
    struct bus_topic *s = topics_find(&w->bus->domain, l->topic, strlen(l->topic));
    if (s != NULL)
        log_answered(s, status, reply, l->count);
    w->failed = w->failed || status != RELAY_OK || reply->type != REDIS_REPLY_ARRAY;
    if (!w->failed && take_latest(l, reply, &last)) {
        last = id_before(last);
        read_latest(l, &last);
    } else {
        free(l);
    }
    if (w->outstanding == 0 && !w->failed)
        place_last(w);
}

/* Up to the position, which all topics have been read as far as: an entry above it may be the first
 * of a clock that was born since, and its id would be one that nobody gave. */
static void find_last(struct waiting *w) {
    const char *name = w->request->names;
    w->pos = w->bus->domain.clock.position;
    w->failed = false;
    w->found_len = 0;
    for (size_t i = 0; i < w->request->topics_len; i++, name += strlen(name) + 1) {
        struct latest *l = mem_zalloc(sizeof(*l));
        *l = (struct latest){
            .waiting = w, .topic = name, .left = (size_t)w->request->start.last + 1};
        read_latest(l, &w->pos);
    }
}

/* All from @since_ms on: nothing can be missing behind a place of our own choice. */
static void place_since(struct waiting *w, uint64_t since_ms) {
    struct event_id pos = domain_clock_since(&w->bus->domain.clock, since_ms);
    place_chosen(w, &pos);
}

/* The duration ends where the request came, however long it has waited. */
static void place_ago(struct waiting *w) {
    uint64_t now_ms, ago_ms = w->request->start.since_ms;
    if (!redis_time_now(&w->bus->node, &now_ms))
        return;
    now_ms -= clock_mono_ms() - w->since_ms;
    place_since(w, ago_ms < now_ms ? now_ms - ago_ms : 0);
}

/* The client was there before the clock: it is owed all that there was. */
static void place_birth(struct waiting *w) {
    struct event_id pos = domain_clock_since(&w->bus->domain.clock, 0);
    place_at(w, &pos, 0);
}

void replay_place(struct waiting *w) {
    const struct domain_clock *d = &w->bus->domain.clock;
    enum cursor_kind kind = w->request->start.kind;
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
    case CURSOR_BIRTH:
        place_birth(w);
        break;
    case CURSOR_SINCE:
        place_since(w, w->request->start.since_ms);
        break;
    case CURSOR_AGO:
        place_ago(w);
        break;
    case CURSOR_LAST:
        find_last(w);
        break;
    }
}
