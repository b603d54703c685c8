/* The order of one topic's durable events; see tracker.h. */
#include "relay/bus/tracker.h"

#include <assert.h>
#include <string.h>

#include "relay/wire/reset.h"

/* ---- states ---- */

/* The one place where the state changes. READING is never entered twice without a way out between,
 * and what is SYNCED was READING. */
static void set_state(struct tracker *t, enum tracker_state state) {
    assert(state != TRACKER_SYNCED || t->state == TRACKER_READING);
    assert(state != TRACKER_READING || t->state != TRACKER_READING);
    t->state = state;
}

/* Something is waited for: nothing else may be. */
static struct tracker_step start(struct tracker *t, enum tracker_read read) {
    assert(t->state == TRACKER_READING && t->read == TRACKER_READ_NONE);
    t->read = read;
    return (struct tracker_step){.read = read};
}

/* What was waited for is there. */
static void done(struct tracker *t, enum tracker_read read) {
    assert(t->state == TRACKER_READING && t->read == read);
    (void)read;
    t->read = TRACKER_READ_NONE;
}

void tracker_forget(struct tracker *t) {
    set_state(t, TRACKER_UNKNOWN);
    t->read = TRACKER_READ_NONE;
    t->quarantined = t->is_doubted = false;
}

static void restart(struct tracker *t, struct tracker_restart *out, const struct event_id *at,
                    bool is_event) {
    out->due = true;
    out->at = *at;
    t->known = true;
    t->rootless = !is_event;
}

/* ---- what Redis forgets ---- */

static uint64_t memory_ms(const struct domain_clock *clock) {
    return clock->memory_ms - clock->memory_ms / 64; /* clocks differ, and may be set back */
}

/* Whether Redis may have forgotten the topic's last id by @until_ms (the domain's time). */
static bool is_old(const struct domain_clock *clock, const struct event_id *top,
                   uint64_t until_ms) {
    return top->ms + memory_ms(clock) <= until_ms;
}

/* Whether the top was the latest for sure so lately that whatever came behind it cannot have been
 * forgotten yet. Of a topic that was out of sight for longer nobody knows what there was. */
static bool is_in_sight(const struct tracker *t, const struct domain_clock *clock,
                        uint64_t now_ms) {
    return t->known && now_ms - t->sure_ms < memory_ms(clock);
}

bool tracker_is_stale(const struct tracker *t, const struct domain_clock *clock, uint64_t now_ms) {
    return t->state == TRACKER_SYNCED && clock->exists &&
           now_ms - t->sure_ms > clock->memory_ms / 4;
}

/* ---- reading ---- */

struct tracker_step tracker_begin(struct tracker *t, const struct domain_clock *clock,
                                  const struct event_id *top, uint64_t now_ms) {
    struct tracker_restart news = {.due = false};
    tracker_forget(t);
    if (t->known && strcmp(top->birth, clock->position.birth) != 0) {
        struct event_id zero = domain_clock_zero(clock);
        restart(t, &news, &zero, false);
        t->known = false;
    }
    set_state(t, TRACKER_READING);
    t->asked_ms = now_ms;
    struct tracker_step step = start(t, TRACKER_READ_LAST);
    step.restart = news;
    return step;
}

/* Whether the top is of what a failover lost; *@at is then the end of what was kept. One of the
 * present epoch is not: it may be ahead of the position, where a read failed half-way. */
static bool is_of_lost_tail(const struct tracker *t, const struct domain_clock *clock,
                            const struct event_id *top, struct event_id *at) {
    return t->known && top->epoch < clock->position.epoch &&
           domain_clock_place(clock, top, at) != 0;
}

/* The latest event is known (NULL: it is still the top): read what is behind the top, or wait for
 * the channel to come as far. */
static struct tracker_step take_latest(struct tracker *t, const struct domain_clock *clock,
                                       const struct event_id *top, const struct event_id *kept,
                                       const struct event_id *latest) {
    struct tracker_restart news = {.due = false};
    struct event_id at = *top;
    /* After a failover the top may be of what is gone, and ids of now be behind it in the log. */
    if (is_of_lost_tail(t, clock, top, &at)) {
        at = kept != NULL ? *kept : at;
        restart(t, &news, &at, kept != NULL);
    }
    bool is_event = latest != NULL && latest->ms != 0;
    if (latest == NULL)
        latest = &at;
    int order = t->known ? id_compare(latest, &at) : -1;
    bool behind = order > 0;
    if (order < 0)
        restart(t, &news, latest, is_event);
    else if (order == 0 && is_event)
        t->rootless = false; /* at the end of what was kept stands the topic's latest event */
    if (behind)
        t->goal = *latest;
    struct tracker_step step = start(t, behind ? TRACKER_READ_LOG : TRACKER_READ_BARRIER);
    step.restart = news;
    return step;
}

struct tracker_step tracker_last(struct tracker *t, const struct domain_clock *clock,
                                 const struct event_id *top, const struct event_id *kept,
                                 const struct event_id *last) {
    done(t, TRACKER_READ_LAST);
    if (last != NULL)
        return take_latest(t, clock, top, kept, last);
    t->goal = clock->position;
    struct tracker_step step = start(t, TRACKER_READ_NEWEST);
    step.ask_clock = true; /* there may have been a birth, and then all is read anew */
    return step;
}

struct tracker_step tracker_newest(struct tracker *t, const struct domain_clock *clock,
                                   const struct event_id *top, const struct event_id *newest,
                                   const struct event_id *kept, uint64_t now_ms, uint64_t wall_ms) {
    done(t, TRACKER_READ_NEWEST);
    uint64_t until_ms = wall_ms + clock->ahead_ms;
    struct event_id zero = domain_clock_zero(clock);
    if (newest != NULL || !t->known || top->ms == 0)
        return take_latest(t, clock, top, kept, newest != NULL ? newest : &zero);
    struct event_id at;
    bool is_lost = is_of_lost_tail(t, clock, top, &at);
    bool has_reason = t->rootless || (is_lost && kept == NULL) ||
                      is_old(clock, is_lost && kept != NULL ? kept : top, until_ms);
    if (has_reason && is_in_sight(t, clock, now_ms))
        return take_latest(t, clock, top, kept, NULL);
    /* What there was behind the top is gone with the last id that would tell. But not what came
     * since the question: other topics may have moved the position past events that are kept. Where
     * it can only have been forgotten, the age of each cursor says whether it may have missed
     * anything: the position does not, since it has not come as far as the clock that was read. */
    struct tracker_restart news = {.reasons = RESET_TRIMMED, .vanished = !has_reason};
    restart(t, &news, has_reason ? &zero : &t->goal, false);
    struct tracker_step step = start(t, TRACKER_READ_BARRIER);
    step.restart = news;
    return step;
}

struct tracker_step tracker_page(struct tracker *t, const struct event_id *top, bool more) {
    done(t, TRACKER_READ_LOG);
    if (more)
        return start(t, TRACKER_READ_LOG);
    if (t->is_doubted) {
        tracker_forget(t);
        return (struct tracker_step){.ask_clock = true};
    }
    struct tracker_restart news = {.due = false};
    if (id_compare(&t->goal, top) > 0) /* trimmed meanwhile: replays find that out from the log */
        restart(t, &news, &t->goal, true);
    struct tracker_step step = start(t, TRACKER_READ_BARRIER);
    step.restart = news;
    return step;
}

struct tracker_step tracker_barrier(struct tracker *t, const struct domain_clock *clock,
                                    const struct event_id *top, uint64_t now_ms) {
    done(t, TRACKER_READ_BARRIER);
    /* Its latest event may be of an epoch that began after the clock was read: what of the past is
     * gone has to be known before anything of it is given out. */
    if (clock->exists && top->epoch > clock->position.epoch) {
        tracker_forget(t);
        return (struct tracker_step){.clock_is_behind = true};
    }
    if (t->kept_lost) { /* the log has them */
        t->kept_lost = false;
        t->asked_ms = now_ms;
        return start(t, TRACKER_READ_LAST);
    }
    set_state(t, TRACKER_SYNCED);
    t->sure_ms = t->asked_ms;
    t->quarantined = false; /* whatever was put aside came before the log was read */
    return (struct tracker_step){.synced = true};
}

/* ---- one event ---- */

/* What the link of an event above the top asks for. */
static struct tracker_restart link(struct tracker *t, const struct domain_clock *clock,
                                   const struct event_id *top, const struct event_id *id,
                                   const struct event_id *prev, uint64_t now_ms) {
    struct tracker_restart news = {.due = false};
    int order = id_compare(prev, top);
    bool is_linked = order == 0;
    if (!is_linked && prev->ms == 0) /* its publisher knew of none before it */
        is_linked = is_in_sight(t, clock, now_ms) && (t->rootless || is_old(clock, top, id->ms));
    if (is_linked)
        return news;
    /* Log and last id are gone, and what was between is. Its place would not tell everybody: an
     * event of another topic may have moved cursors to right before @id. */
    if (prev->ms == 0) {
        struct event_id at = id_before(*id);
        news.reasons = RESET_TRIMMED;
        news.vanished = t->known && !t->rootless && id->epoch == clock->position.epoch &&
                        !is_old(clock, top, id->ms);
        restart(t, &news, &at, false);
    } else { /* a hole; or a fork, where the top was an event: it is not what was published before
              */
        news.reasons = order < 0 && !t->rootless ? RESET_FAILOVER : 0;
        restart(t, &news, prev, true);
    }
    return news;
}

static void take(struct tracker *t, uint64_t now_ms) {
    t->known = true;
    t->rootless = false;
    t->sure_ms = now_ms;
}

struct tracker_restart tracker_entry(struct tracker *t, const struct domain_clock *clock,
                                     const struct event_id *top, const struct event_id *id,
                                     const struct event_id *prev, uint64_t now_ms) {
    assert(t->state == TRACKER_READING && id_compare(id, top) > 0);
    struct tracker_restart news = link(t, clock, top, id, prev, now_ms);
    t->known = true;
    t->rootless = false;
    t->is_doubted = t->is_doubted || prev->ms == 0;
    return news;
}

enum tracker_verdict tracker_message(struct tracker *t, const struct domain_clock *clock,
                                     const struct event_id *top, const struct event_id *id,
                                     const struct event_id *prev, bool is_foreign, uint64_t now_ms,
                                     struct tracker_step *step) {
    *step = (struct tracker_step){.read = TRACKER_READ_NONE};
    if (t->state != TRACKER_SYNCED)
        return TRACKER_KEEP;
    if (strcmp(id->birth, top->birth) == 0 && id_compare(id, top) <= 0)
        return TRACKER_DUPLICATE;
    if (is_foreign)
        return TRACKER_FOREIGN;
    if (id_compare(prev, top) > 0) { /* something was missed */
        t->goal = *prev;
        set_state(t, TRACKER_READING);
        *step = start(t, TRACKER_READ_LOG);
        return TRACKER_GAP;
    }
    step->restart = link(t, clock, top, id, prev, now_ms);
    take(t, now_ms);
    return TRACKER_DELIVER;
}

void tracker_kept_lost(struct tracker *t) {
    assert(t->state != TRACKER_SYNCED);
    t->kept_lost = true;
}

void tracker_quarantined(struct tracker *t) {
    assert(t->state == TRACKER_SYNCED);
    t->quarantined = true;
}
