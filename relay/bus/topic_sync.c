/* What the bus knows of each topic's durable events, and how it comes to know it; see topic_sync.h.
 *
 * The decisions are tracker.c's: a topic that was just confirmed has its last id read. Nothing
 * known of it before: the ring starts there, empty. Known from before (the connection was lost):
 * what was published since is read from the log into the ring. Then it is synced, and each message
 * is checked against the ring's top. One that is not linked to it tells of a gap, which the log
 * fills, once, for all subscribers. Messages that come while a topic is read are kept. */
#include "relay/bus/topic_sync.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/clock_reader.h"
#include "relay/bus/core_state.h"
#include "relay/bus/deliver.h"
#include "relay/bus/log_pages.h"
#include "relay/bus/log_reader.h"
#include "relay/bus/quarantine.h"
#include "relay/bus/topic_reads.h"
#include "relay/bus/unreadable.h"
#include "relay/wire/names.h"
#include "relay/wire/reset.h"

enum {
    PAGE_ENTRIES = 256,
    EXTEND_ENTRIES = 8,
    KEPT_MAX_BYTES = 1024 * 1024,
    CLOCK_AGAIN_MS = 1000
};

static void take_step(struct bus_topic *t, const struct tracker_step *step);

/* ---- rings ---- */

static void ring_account(struct bus_topic *t, size_t before) {
    t->domain->bus->ring_bytes += t->history.ring.bytes - before;
}

static void restart_ring(struct bus_topic *t, const struct event_id *at) {
    size_t before = t->history.ring.bytes;
    topic_read_cancel(t, TOPIC_READ_EXTEND); /* of a ring that is no more */
    ring_reset(&t->history.ring, at);
    ring_account(t, before);
    t->history.extended = t->history.reaches_back = false;
}

static bool is_over(const struct bus_topic *t) {
    const struct bus *bus = t->domain->bus;
    return t->history.ring.bytes > bus->options.ring_topic_bytes ||
           bus->ring_bytes > bus->options.ring_node_bytes;
}

/* The bounds of rings. */
static void keep_within(struct bus_topic *t) {
    while (t->history.ring.len > 0 && is_over(t)) {
        size_t before = t->history.ring.bytes;
        ring_drop_oldest(&t->history.ring);
        ring_account(t, before);
        t->history.reaches_back = false;
    }
}

void topic_sync_served(struct bus_topic *t, size_t before) {
    ring_account(t, before);
    if (!is_over(t))
        return;
    before = t->history.ring.bytes;
    ring_drop_frames(
        &t->history.ring); /* rather than events, which the next in a storm wants too */
    ring_account(t, before);
    keep_within(t);
}

/* Add the event behind the top. */
static void add(struct bus_topic *t, const struct event_id *id, const char *text, size_t len,
                struct frame *frame) {
    struct ring *ring = &t->history.ring;
    size_t before = ring->bytes;
    const struct event_id prev = ring->top;
    log_note_size(t, len);
    bool kept = ring_append(ring, id, &prev, text, len, frame, t->formats) != NULL;
    ring_account(t, before);
    if (!kept)
        restart_ring(t, id); /* memory is short: the log has it */
    keep_within(t);
}

/* ---- messages that are kept ---- */

static void drop_kept(struct bus_topic *t) {
    struct kept_message *m, *next;
    DL_FOREACH_SAFE(t->history.kept, m, next) {
        DL_DELETE(t->history.kept, m);
        free(m);
    }
    t->history.kept_bytes = 0;
}

static void keep(struct bus_topic *t, const char *text, size_t len) {
    struct topic_history *h = &t->history;
    struct kept_message *m =
        h->kept_bytes + len <= KEPT_MAX_BYTES ? mem_try(sizeof(*m) + len) : NULL;
    if (m == NULL) {
        tracker_kept_lost(&h->tracker);
        return;
    }
    m->len = len;
    memcpy(m->bytes, text, len);
    h->kept_bytes += len;
    DL_APPEND(h->kept, m);
}

/* A message was counted as it came; one that is quarantined only now is counted again if it turns
 * out to be a real one. */
static void take_kept(struct bus_topic *t) {
    struct topic_history *h = &t->history;
    while (h->kept != NULL && tracker_is_synced(&h->tracker)) {
        struct kept_message *m = h->kept;
        struct envelope envelope;
        const char *why;
        DL_DELETE(h->kept, m);
        h->kept_bytes -= m->len;
        bool readable = envelope_decode(m->bytes, m->len, &envelope, &why) == RELAY_OK;
        if (envelope.durable && !topic_sync_message(t, &envelope, readable, m->bytes, m->len))
            metric_sub(&t->domain->bus->metrics->events_durable, 1);
        envelope_fini(&envelope);
        free(m);
    }
}

/* ---- becoming synced ---- */

static void on_barrier(void *arg, int status, const struct redisReply *reply) {
    struct bus_topic *t = topic_read_finish(arg, status);
    (void)reply;
    if (t == NULL)
        return;
    struct topic_history *h = &t->history;
    struct tracker_step step =
        tracker_barrier(&h->tracker, &t->domain->clock, &h->ring.top, clock_mono_ms());
    if (step.read == TRACKER_READ_LAST)
        drop_kept(t); /* not all were: the log has them */
    take_step(t, &step);
}

/* What was read may be ahead of the subscription connection: events of other topics with lower ids
 * may still be on their way there, and must not be passed. Behind a barrier they are not. */
static void read_barrier(struct bus_topic *t) {
    struct topic_read *read = topic_read_start(t, TOPIC_READ_SYNC);
    int rc = node_barrier(t->domain->node, on_barrier, read);
    if (rc != RELAY_OK)
        topic_read_finish(read, rc);
}

/* The first event behind the top is known: @first, or (@restart) gone, and others with it. It was
 * not delivered when it was due: nobody announced it, or the connection was lost. Events of other
 * topics may have moved cursors past it since. Of those that are gone nobody knows which was the
 * first: a cursor may have passed it wherever it is above the top. */
static void tell_first_missed(struct bus_topic *t, const struct event_id *first,
                              const struct tracker_restart *restart) {
    const struct event_id *top = &t->history.ring.top;
    bool gone = restart->due && id_compare(&restart->at, top) > 0;
    const struct event_id least = gone ? id_after(*top) : *first;
    if (t->history.misses)
        notify_missed_to_all(t, &least);
    t->history.misses = false;
}

/* Add what a page holds behind the top. Returns whether the top moved. */
static bool add_entries(struct bus_topic *t, const redisReply *reply) {
    struct topic_history *h = &t->history;
    struct buf text = BUF_INIT;
    bool moved = false;
    for (size_t i = 0; i < reply->elements; i++) {
        struct log_entry e;
        if (!log_entry_parse(&t->domain->clock, reply->element[i], &e) ||
            id_compare(&e.id, &h->ring.top) <= 0)
            continue;
        struct tracker_restart restart = tracker_entry(&h->tracker, &t->domain->clock, &h->ring.top,
                                                       &e.id, &e.prev, clock_mono_ms());
        tell_first_missed(t, &e.id, &restart);
        if (restart.due)
            restart_ring(t, &restart.at);
        if (restart.vanished)
            clock_reader_vanished(t->domain);
        if (restart.reasons != 0)
            notify_gap_to_all(t, restart.reasons);
        log_entry_message(&e, &text);
        add(t, &e.id, text.data, text.len, NULL);
        moved = true;
    }
    buf_fini(&text);
    return moved;
}

static void on_page(void *arg, int status, const struct redisReply *reply) {
    const size_t count = ((struct topic_read *)arg)->count;
    struct bus_topic *t = topic_read_finish_log(arg, status, reply);
    if (t == NULL)
        return;
    bool moved = add_entries(t, reply);
    struct tracker_step step =
        tracker_page(&t->history.tracker, &t->history.ring.top, moved && reply->elements == count);
    if (step.restart.due)
        tell_first_missed(t, &step.restart.at, &step.restart);
    take_step(t, &step);
}

/* The topic's latest event that a failover kept, where the top was lost in it and the ring holds
 * both; else NULL. */
static const struct event_id *latest_kept(const struct bus_topic *t) {
    const struct ring *ring = &t->history.ring;
    struct event_id end;
    if (domain_clock_place(&t->domain->clock, &ring->top, &end) == 0)
        return NULL;
    size_t i = ring_find(ring, &end);
    return i > 0 ? &ring_at(ring, i - 1)->id : NULL;
}

static void on_newest(void *arg, int status, const struct redisReply *reply) {
    struct bus_topic *t = topic_read_finish_log(arg, status, reply);
    if (t == NULL)
        return;
    struct log_entry e;
    bool any = reply->elements > 0 && log_entry_parse(&t->domain->clock, reply->element[0], &e);
    struct tracker_step step =
        tracker_newest(&t->history.tracker, &t->domain->clock, &t->history.ring.top,
                       any ? &e.id : NULL, latest_kept(t), clock_mono_ms(), clock_wall_ms());
    if (step.restart.vanished)
        clock_reader_vanished(t->domain);
    take_step(t, &step);
}

static void on_last(void *arg, int status, const struct redisReply *reply) {
    struct topic_read *read = arg;
    if (read->topic != NULL)
        unreadable_answered(read->topic, TOPIC_KEY_LAST, status, reply);
    struct bus_topic *t = topic_read_finish(read, status);
    struct event_id last;
    if (t == NULL)
        return;
    const struct domain_clock *clock = &t->domain->clock;
    bool any = reply->type == REDIS_REPLY_STRING &&
               id_parse(reply->str, reply->len, &last) == RELAY_OK &&
               strcmp(last.birth, clock->position.birth) == 0;
    struct tracker_step step = tracker_last(&t->history.tracker, clock, &t->history.ring.top,
                                            latest_kept(t), any ? &last : NULL);
    take_step(t, &step);
}

static void read_last(struct bus_topic *t) {
    struct buf key = BUF_INIT;
    struct topic_read *read = topic_read_start(t, TOPIC_READ_SYNC);
    names_last(&key, t->domain->bus->options.prefix, t->domain->tag, t->name, t->name_len);
    const char *argv[] = {"GET", key.data};
    const size_t argv_len[] = {3, key.len};
    int rc = redis_client_command(&t->domain->node->reader, 2, argv, argv_len, on_last, read);
    if (rc != RELAY_OK)
        topic_read_finish(read, rc);
    buf_fini(&key);
}

/* The clock is behind the topic's latest event: again and again, perhaps. */
static void ask_clock_again(struct bus_topic *t) {
    uint64_t now_ms = clock_mono_ms();
    if (t->history.clock_asked_ms != 0 && now_ms < t->history.clock_asked_ms + CLOCK_AGAIN_MS)
        return; /* topic_sync_watch() begins it again */
    t->history.clock_asked_ms = now_ms;
    clock_reader_want(t->domain);
}

static void synced(struct bus_topic *t) {
    if (t->keys.unreadable != 0)
        notify_gap_to_all(t, 0); /* replays that need its ring alone go on */
    t->history.misses = false;
    t->domain->bus->replays_due = true;
    clock_reader_advance(t->domain, &t->history.ring.top);
    take_kept(t);
}

/* Where the log is read on from. Entries of a clock before the present one, which a log may hold
 * pages of, are no events of it. */
static struct event_id behind_top(const struct bus_topic *t) {
    const struct event_id *top = &t->history.ring.top;
    const struct domain_clock *clock = &t->domain->clock;
    return top->ms > 0 || !clock->exists ? *top : domain_clock_since(clock, 0);
}

/* Do what the tracker says. */
static void take_step(struct bus_topic *t, const struct tracker_step *step) {
    if (step->restart.due)
        restart_ring(t, &step->restart.at);
    if (step->restart.reasons != 0)
        notify_gap_to_all(t, step->restart.reasons);
    if (step->clock_is_behind)
        ask_clock_again(t);
    if (step->ask_clock) /* it is answered before what is read behind it */
        clock_reader_want(t->domain);
    if (step->synced)
        synced(t);
    const struct event_id from = behind_top(t);
    const struct log_range behind = {.from = &from}, newest = {.backwards = true};
    switch (step->read) {
    case TRACKER_READ_NONE:
        break;
    case TRACKER_READ_LAST:
        read_last(t);
        break;
    case TRACKER_READ_NEWEST:
        topic_read_log(t, TOPIC_READ_SYNC, &newest, 1, on_newest);
        break;
    case TRACKER_READ_LOG:
        topic_read_log(t, TOPIC_READ_SYNC, &behind, log_count(t, PAGE_ENTRIES), on_page);
        break;
    case TRACKER_READ_BARRIER:
        read_barrier(t);
        break;
    }
}

/* ---- beginning ---- */

/* Nothing is certain any more. */
static void forget(struct bus_topic *t) {
    topic_read_cancel_all(t);
    tracker_forget(&t->history.tracker);
}

void topic_sync_lost(struct bus_topic *t) {
    drop_kept(t);
    forget(t);
}

void topic_sync_begin(struct bus_topic *t) {
    struct topic_history *h = &t->history;
    forget(t);
    h->extended = h->reaches_back = false; /* a server before this one may have trimmed more */
    if (!t->domain->clock.known || !node_can_read(t->domain->node))
        return; /* topic_sync_resume() comes */
    struct tracker_step step =
        tracker_begin(&h->tracker, &t->domain->clock, &h->ring.top, clock_mono_ms());
    h->misses = h->tracker.known;
    take_step(t, &step);
}

void topic_sync_forget_all(struct bus_domain *d) {
    for (struct bus_topic *t = d->topics; t != NULL; t = t->hh.next) {
        if (topic_is_synced(t))
            notify_gap_to_all(t, 0);
        forget(t);
    }
}

void topic_sync_resume(struct bus_domain *d) {
    if (!d->clock.known || d->reads.refused)
        clock_reader_read(d);
    if (!d->clock.known)
        return;
    for (struct bus_topic *t = d->topics; t != NULL; t = t->hh.next)
        if (t->subscription.state == SUBSCRIPTION_CONFIRMED && tracker_is_idle(&t->history.tracker))
            topic_sync_begin(t);
}

static void begin_anew(struct bus_topic *t) {
    notify_gap_to_all(t, 0);
    topic_sync_begin(t);
}

void topic_sync_release(struct bus_domain *d) {
    for (struct bus_topic *t = d->topics; t != NULL; t = t->hh.next) {
        if (!t->history.tracker.quarantined || !topic_is_synced(t))
            continue;
        metric_add(&d->bus->metrics->gaps, 1);
        begin_anew(t);
    }
}

static void on_retried(void *arg, int status, const struct redisReply *reply) {
    topic_read_finish_log(arg, status, reply);
}

/* Whether the log can be read again. */
static void retry_log(struct bus_topic *t) {
    const struct log_range newest = {.backwards = true};
    if (t->history.reads[TOPIC_READ_RETRY] == NULL)
        topic_read_log(t, TOPIC_READ_RETRY, &newest, 1, on_retried);
}

/* A read that Redis refused (it was loading, say) is asked for by nobody else. */
void topic_sync_watch(struct bus_domain *d) {
    bool under_way = d->reads.sent != d->reads.done;
    if (!node_can_read(d->node) || d->node->subscriber.state != REDIS_CLIENT_READY ||
        (!d->clock.known && under_way))
        return;
    topic_sync_resume(d);
    uint64_t now_ms = clock_mono_ms();
    for (struct bus_topic *t = d->topics; t != NULL; t = t->hh.next) {
        if (t->keys.unreadable != 0 && topic_is_synced(t))
            retry_log(t);
        else if (tracker_is_stale(&t->history.tracker, &d->clock, now_ms))
            begin_anew(t);
    }
    d->bus->replays_due = true;
}

void topic_sync_fini(struct bus_topic *t) {
    topic_read_cancel_all(t);
    drop_kept(t);
    t->domain->bus->ring_bytes -= t->history.ring.bytes;
    ring_fini(&t->history.ring);
}

/* ---- one message ---- */

/* Both were checked by envelope_decode(). */
static void ids_of(const struct domain_clock *clock, const struct envelope *envelope,
                   struct event_id *id, struct event_id *prev) {
    id_parse(envelope->id, envelope->id_len, id);
    if (id_parse(envelope->prev, envelope->prev_len, prev) != RELAY_OK || /* 0 */
        strcmp(prev->birth, clock->position.birth) != 0)
        *prev = domain_clock_zero(clock);
}

static struct frame *encode(const struct bus_topic *t, const struct envelope *envelope,
                            const struct event_id *id) {
    struct frame_source source = {.topic = t->name,
                                  .topic_len = t->name_len,
                                  .event = envelope->event,
                                  .id = envelope->id,
                                  .id_len = envelope->id_len,
                                  .time_ms = id->ms};
    return frame_encode(&source, t->formats);
}

/* The log was deleted up to here: nothing stands in the place of @id, and subscribers, who are all
 * before it, are told so by their replays. */
static void take_deleted(struct bus_topic *t, const struct event_id *id) {
    pages_forget(t);
    notify_gap_to_all(t, 0);
    clock_reader_advance(t->domain, id);
    restart_ring(t, id);
}

static void take(struct bus_topic *t, const struct envelope *envelope, bool readable,
                 const struct event_id *id, const char *text, size_t len) {
    if (envelope->deleted) {
        take_deleted(t, id);
        return;
    }
    struct frame *frame = readable ? encode(t, envelope, id) : NULL;
    if (frame != NULL)
        deliver_event(t, frame_ref(frame), id);
    else
        notify_gap_to_all(t, 0); /* a replay tries again, or tells that it cannot be had */
    clock_reader_advance(t->domain, id);
    add(t, id, text, len, frame);
}

bool topic_sync_message(struct bus_topic *t, const struct envelope *envelope, bool readable,
                        const char *text, size_t len) {
    struct topic_history *h = &t->history;
    const struct domain_clock *clock = &t->domain->clock;
    struct event_id id, prev;
    struct tracker_step step;
    ids_of(clock, envelope, &id, &prev);
    bool is_foreign = topic_is_synced(t) && quarantine_suspects(t->domain, &id);
    switch (tracker_message(&h->tracker, clock, &h->ring.top, &id, &prev, is_foreign,
                            clock_mono_ms(), &step)) {
    case TRACKER_DUPLICATE:
        break;
    case TRACKER_KEEP:
        keep(t, text, len);
        break;
    case TRACKER_FOREIGN:
        quarantine_put(t, &id);
        return false;
    case TRACKER_GAP:
        metric_add(&t->domain->bus->metrics->gaps, 1);
        h->misses = true;
        notify_gap_to_all(t, 0);
        keep(t, text, len);
        take_step(t, &step);
        break;
    case TRACKER_DELIVER:
        if (step.restart.due) {
            if (step.restart.vanished)
                clock_reader_vanished(t->domain);
            notify_gap_to_all(t, step.restart.reasons);
            restart_ring(t, &step.restart.at);
        }
        take(t, envelope, readable, &id, text, len);
        break;
    }
    return true;
}

/* ---- backwards ---- */

/* How much older events the rings may take. */
static size_t room_for_older(const struct bus_topic *t) {
    const struct bus *bus = t->domain->bus;
    size_t of_topic = bus->options.ring_topic_bytes * 3 / 4;
    size_t of_node = bus->options.ring_node_bytes * 3 / 4;
    size_t topic = t->history.ring.bytes < of_topic ? of_topic - t->history.ring.bytes : 0;
    size_t node = bus->ring_bytes < of_node ? of_node - bus->ring_bytes : 0;
    return topic < node ? topic : node;
}

enum older {
    OLDER_TAKEN, /* or passed over, as what is not readable is */
    OLDER_FULL,  /* the ring is as long as it may be */
    OLDER_HOLE,  /* what stood at the floor is gone, and this, which is older, is not: a failover */
    OLDER_NONE   /* of another birth, as all before it are */
};

/* Add what stands below the floor in the log. */
static enum older prepend(struct bus_topic *t, const redisReply *entry) {
    struct ring *ring = &t->history.ring;
    struct log_entry e;
    if (log_entry_is_older(&t->domain->clock, entry))
        return OLDER_NONE;
    if (!log_entry_known(&t->domain->clock, entry, &e))
        return OLDER_TAKEN;
    if (id_compare(&e.id, &ring->floor) != 0)
        return OLDER_HOLE;
    if (room_for_older(t) <= e.json_len)
        return OLDER_FULL;
    struct buf text = BUF_INIT;
    size_t before = ring->bytes;
    log_entry_message(&e, &text);
    bool kept = ring_prepend(ring, &e.id, &e.prev, text.data, text.len) != NULL;
    ring_account(t, before);
    buf_fini(&text);
    return kept ? OLDER_TAKEN : OLDER_FULL;
}

static void on_older(void *arg, int status, const struct redisReply *reply) {
    const struct event_id floor = ((struct topic_read *)arg)->floor;
    const size_t count = ((struct topic_read *)arg)->count;
    struct bus_topic *t = topic_read_finish_log(arg, status, reply);
    if (t == NULL)
        return;
    struct topic_history *h = &t->history;
    t->domain->bus->replays_due = true;
    if (id_compare(&floor, &h->ring.floor) != 0) { /* it had to drop its oldest meanwhile */
        h->extended = true;
        return;
    }
    size_t len = h->ring.len;
    enum older older = OLDER_TAKEN;
    for (size_t i = 0; i < reply->elements && older == OLDER_TAKEN; i++)
        older = prepend(t, reply->element[i]);
    h->reaches_back = older == OLDER_NONE || (older == OLDER_TAKEN && reply->elements < count);
    h->extended = older != OLDER_TAKEN || h->reaches_back ||
                  h->ring.len == len; /* nothing of ours, or a hole: pages pass that */
}

bool topic_sync_extend(struct bus_topic *t, size_t bytes) {
    const struct log_range below = {.backwards = true, .to = &t->history.ring.floor};
    const struct topic_history *h = &t->history;
    if (h->reads[TOPIC_READ_EXTEND] != NULL)
        return true;
    if (h->ring.bytes >= bytes)
        return false;
    size_t room = room_for_older(t), left = bytes - h->ring.bytes;
    size_t most = 2 * h->ring.len + EXTEND_ENTRIES; /* few say little of the others */
    size_t count =
        log_count_of(t, most < PAGE_ENTRIES ? most : PAGE_ENTRIES, room < left ? room : left);
    topic_read_log(t, TOPIC_READ_EXTEND, &below, count, on_older);
    return true;
}
