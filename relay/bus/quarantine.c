/* Durable messages that the domain's clock, as this node knows it, cannot have given out: of
 * another birth or epoch, or far ahead of the time.
 *
 * Either the clock is another one by now (or this node's own is slow), or the message is foreign: a
 * publisher uses another database number, whose keys are others while its channels are the same, or
 * another Redis, or somebody made an id up. The clock tells. Until it has, the message is put
 * aside: not kept, since a real one stands in its topic's log, and in nobody's way, since what
 * comes behind it is checked by its own `prev`.
 *
 * - The clock is another one: everything is read anew, and the real ones with it.
 * - It is the same, and has come as far as an id that was ahead: that was a real one. Subscribers
 * of its topic are told of a gap, and the topic is read.
 * - It is the same and has not come so far, though it was read later than the message came: the
 *   message is dropped, counted and logged.
 *
 * So that no cursor passes a real one meanwhile, whatever of our epoch is behind one that was put
 * aside is put aside as well. However many there are, the clock is read for them a few times a
 * second. */
#include "relay/bus/quarantine.h"

#include <string.h>

#include "relay/base/clock.h"
#include "relay/bus/clock_reader.h"
#include "relay/bus/core_state.h"

enum { ASK_EVERY_MS = 100, LOG_EVERY_MS = 10 * 1000 };

static bool is_of_our_epoch(const struct domain_clock *c, const struct event_id *id) {
    return strcmp(id->birth, c->position.birth) == 0 && id->epoch == c->position.epoch;
}

static bool has_come_to(const struct event_id *id, const struct quarantined *q) {
    return q->ahead > 0 && id_compare(id, &q->first) >= 0;
}

bool quarantine_suspects(const struct bus_domain *d, const struct event_id *id) {
    const struct quarantine *q = &d->quarantine;
    return !is_of_our_epoch(&d->clock, id) ||
           domain_clock_is_ahead(&d->clock, id, clock_wall_ms()) || has_come_to(id, &q->asked) ||
           has_come_to(id, &q->unasked);
}

void quarantine_put(struct bus_topic *t, const struct event_id *id) {
    struct quarantine *q = &t->domain->quarantine;
    struct quarantined *unasked = &q->unasked;
    if (!is_of_our_epoch(&t->domain->clock, id)) {
        unasked->foreign++;
    } else {
        tracker_quarantined(&t->history.tracker);
        if (unasked->ahead++ == 0 || id_compare(id, &unasked->first) < 0)
            unasked->first = *id;
    }
    q->latest = *id;
    memcpy(q->topic, t->name, t->name_len + 1);
}

static bool is_empty(const struct quarantined *q) {
    return q->foreign == 0 && q->ahead == 0;
}

void quarantine_turn(struct bus_domain *d) {
    struct quarantine *q = &d->quarantine;
    uint64_t now_ms = clock_mono_ms();
    if ((is_empty(&q->unasked) && is_empty(&q->asked)) || d->reads.sent != d->reads.done ||
        now_ms - q->asked_ms < ASK_EVERY_MS)
        return;
    q->asked_ms = now_ms;
    clock_reader_read(d);
}

void quarantine_asked(struct bus_domain *d) {
    struct quarantine *q = &d->quarantine;
    if (!is_empty(&q->asked))
        return; /* one under way is for these already */
    q->asked = q->unasked;
    q->unasked = (struct quarantined){.foreign = 0};
    q->read = d->reads.sent;
}

/* ---- what they were ---- */

static void were_real(struct bus_domain *d, struct quarantined *q) {
    metric_add(&d->bus->metrics->events_durable, q->foreign + q->ahead);
    *q = (struct quarantined){.foreign = 0};
}

void quarantine_forget(struct bus_domain *d) {
    were_real(d, &d->quarantine.asked);
    were_real(d, &d->quarantine.unasked);
}

bool quarantine_position(struct bus_domain *d, const struct event_id *position) {
    struct quarantined *both[] = {&d->quarantine.asked, &d->quarantine.unasked};
    bool real = false;
    for (size_t i = 0; i < 2; i++) {
        if (!has_come_to(position, both[i]))
            continue;
        metric_add(&d->bus->metrics->events_durable, both[i]->ahead);
        both[i]->ahead = 0;
        real = true;
    }
    return real;
}

void quarantine_answered(struct bus_domain *d) {
    struct quarantine *q = &d->quarantine;
    uint64_t foreign = q->asked.foreign + q->asked.ahead, suppressed;
    if (foreign == 0 || d->reads.done < q->read)
        return;
    q->asked = (struct quarantined){.foreign = 0};
    q->unlogged += foreign;
    metric_add(&d->bus->metrics->events_foreign, foreign);
    if (!log_limit_pass(&q->log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        return;
    struct buf id = BUF_INIT;
    id_format(&id, &q->latest);
    log_warn("dropped messages whose ids are not of this Redis's clock: a publisher uses another "
             "database number or another Redis, its client puts a prefix of its own before keys "
             "(keyPrefix), or an id was forged",
             "topic=%s id=%s messages=%llu", q->topic, id.data, (unsigned long long)q->unlogged);
    buf_fini(&id);
    q->unlogged = 0;
}
