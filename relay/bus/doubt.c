/* Durable messages that the domain's clock, as this node knows it, cannot have given out: of
 * another birth or epoch, or far ahead of the time.
 *
 * Either the clock is another one by now (or this node's own is slow), or the message is foreign: a
 * publisher uses another database number, whose keys are others while its channels are the same, or
 * another Redis, or somebody made an id up. The clock tells. Until it has, the message is put
 * aside: not kept, since a real one stands in its topic's log, and in nobody's way, since what
 * comes behind it is checked by its own `prev`.
 *
 * - The clock is another one: everything is read anew (history_restart()), and the real ones with
 *   it.
 * - It is the same, and has come as far as an id that was ahead: that was a real one. Subscribers
 * of its topic are told of a gap, and the topic is read.
 * - It is the same and has not come so far, though it was read later than the message came: the
 *   message is dropped, counted and logged.
 *
 * So that no cursor passes a real one meanwhile, whatever of our epoch is behind one that was put
 * aside is put aside as well. However many there are, the clock is read for them a few times a
 * second. */
#include <string.h>

#include "relay/base/clock.h"
#include "relay/bus/internal.h"

enum { ASK_EVERY_MS = 100, LOG_EVERY_MS = 10 * 1000 };

static bool is_of_our_epoch(const struct domain *d, const struct event_id *id) {
    return strcmp(id->birth, d->position.birth) == 0 && id->epoch == d->position.epoch;
}

static bool has_come_to(const struct event_id *id, const struct doubted *doubted) {
    return doubted->ahead > 0 && id_compare(id, &doubted->first) >= 0;
}

static void put_aside(struct bus_subscription *s, const struct event_id *id, bool ahead) {
    struct bus_doubt *doubt = &s->bus->doubt;
    struct doubted *doubted = &doubt->unasked;
    if (!ahead) {
        doubted->strange++;
    } else {
        s->doubted = true;
        if (doubted->ahead++ == 0 || id_compare(id, &doubted->first) < 0)
            doubted->first = *id;
    }
    doubt->latest = *id;
    memcpy(doubt->topic, s->topic, s->topic_len + 1);
}

bool doubt_message(struct bus_subscription *s, const struct event_id *id) {
    const struct domain *d = &s->bus->domain;
    const struct bus_doubt *doubt = &s->bus->doubt;
    bool ours = is_of_our_epoch(d, id);
    if (ours && !domain_is_ahead(d, id, clock_wall_ms()) && !has_come_to(id, &doubt->asked) &&
        !has_come_to(id, &doubt->unasked))
        return false;
    put_aside(s, id, ours);
    return true;
}

static bool is_empty(const struct doubted *doubted) {
    return doubted->strange == 0 && doubted->ahead == 0;
}

void doubt_ask(struct bus *bus) {
    struct bus_doubt *doubt = &bus->doubt;
    uint64_t now_ms = uv_now(&bus->loop);
    if ((is_empty(&doubt->unasked) && is_empty(&doubt->asked)) ||
        bus->domain.reads_sent != bus->domain.reads_done || now_ms - doubt->asked_ms < ASK_EVERY_MS)
        return;
    doubt->asked_ms = now_ms;
    clock_read(bus);
}

void doubt_asked(struct bus *bus) {
    struct bus_doubt *doubt = &bus->doubt;
    if (!is_empty(&doubt->asked))
        return; /* one under way is for these already */
    doubt->asked = doubt->unasked;
    doubt->unasked = (struct doubted){.strange = 0};
    doubt->read = bus->domain.reads_sent;
}

/* ---- what they were ---- */

static void were_real(struct bus *bus, struct doubted *doubted) {
    figure_add(&bus->figures->events_durable, doubted->strange + doubted->ahead);
    *doubted = (struct doubted){.strange = 0};
}

void doubt_forget(struct bus *bus) {
    were_real(bus, &bus->doubt.asked);
    were_real(bus, &bus->doubt.unasked);
}

/* Topics of which a real event was put aside, and maybe some of which it was a foreign one. */
static void read_the_doubted(struct bus *bus) {
    for (struct bus_subscription *s = bus->subscriptions; s != NULL; s = s->hh.next) {
        if (!s->doubted || s->history != HISTORY_SYNCED)
            continue;
        figure_add(&bus->figures->gaps, 1);
        subscriptions_tell_gap_to_all(s, 0);
        history_begin(s);
    }
}

void doubt_position(struct bus *bus, const struct event_id *position) {
    struct doubted *both[] = {&bus->doubt.asked, &bus->doubt.unasked};
    bool real = false;
    for (size_t i = 0; i < 2; i++) {
        if (!has_come_to(position, both[i]))
            continue;
        figure_add(&bus->figures->events_durable, both[i]->ahead);
        both[i]->ahead = 0;
        real = true;
    }
    if (real)
        read_the_doubted(bus);
}

void doubt_answered(struct bus *bus) {
    struct bus_doubt *doubt = &bus->doubt;
    uint64_t foreign = doubt->asked.strange + doubt->asked.ahead, suppressed;
    if (foreign == 0 || bus->domain.reads_done < doubt->read)
        return;
    doubt->asked = (struct doubted){.strange = 0};
    doubt->unlogged += foreign;
    figure_add(&bus->figures->events_foreign, foreign);
    if (!log_limit_pass(&doubt->log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        return;
    struct buf id = BUF_INIT;
    id_format(&id, &doubt->latest);
    log_warn("dropped messages whose ids are not of this Redis's clock: a publisher uses another "
             "database number or another Redis, or an id was forged",
             "topic=%s id=%s messages=%llu", doubt->topic, id.data,
             (unsigned long long)doubt->unlogged);
    buf_fini(&id);
    doubt->unlogged = 0;
}
