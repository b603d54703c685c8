/* A domain's clock; see domain_clock.h. */
#include "relay/bus/domain_clock.h"

#include <stdlib.h>
#include <string.h>

#include "relay/wire/reset.h"

enum { CLOCKS_DIFFER_MS = 1000 }; /* by so much, those of two machines may */

void domain_clock_fini(struct domain_clock *d) {
    free(d->notes);
    d->notes = NULL;
    d->notes_len = 0;
}

void domain_clock_advance(struct domain_clock *d, const struct event_id *id) {
    if (id->epoch == d->position.epoch && id_compare(id, &d->position) > 0)
        d->position = *id;
}

void domain_clock_learn_ahead(struct domain_clock *d, uint64_t clock_ms, uint64_t now_ms) {
    if (clock_ms > now_ms && clock_ms - now_ms > d->ahead_ms)
        d->ahead_ms = clock_ms - now_ms;
}

bool domain_clock_is_ahead(const struct domain_clock *d, const struct event_id *id,
                           uint64_t now_ms) {
    return id->ms > now_ms && id->ms - now_ms > CLOCKS_DIFFER_MS &&
           id->ms - now_ms - CLOCKS_DIFFER_MS > d->ahead_ms;
}

struct event_id domain_clock_zero(const struct domain_clock *d) {
    struct event_id zero = {.epoch = 0};
    memcpy(zero.birth, d->position.birth, sizeof(zero.birth));
    return zero;
}

/* The note of the first epoch that began after @epoch; NULL: none did. */
static const struct event_id *note_after(const struct domain_clock *d, uint64_t epoch) {
    const struct event_id *best = NULL;
    for (size_t i = 0; i < d->notes_len; i++)
        if (d->notes[i].epoch > epoch && (best == NULL || d->notes[i].epoch < best->epoch))
            best = &d->notes[i];
    return best;
}

static bool is_behind(const struct event_id *id, const struct event_id *note) {
    return id->ms > note->ms || (id->ms == note->ms && id->seq > note->seq);
}

bool domain_clock_bore(const struct domain_clock *d, const struct event_id *id) {
    const struct event_id *birth = note_after(d, 0);
    if (!d->exists) /* whoever's the log is, its clock is gone */
        return false;
    return birth == NULL || birth->epoch != 1 || is_behind(id, birth);
}

/* The latest epoch of this history up to @epoch; 0: none, which is that of domain_clock_zero(). */
static uint64_t epoch_up_to(const struct domain_clock *d, uint64_t epoch) {
    uint64_t best = d->position.epoch <= epoch ? d->position.epoch : 0;
    for (size_t i = 0; i < d->notes_len; i++)
        if (d->notes[i].epoch <= epoch && d->notes[i].epoch > best)
            best = d->notes[i].epoch;
    return best;
}

/* How its epoch ended is not known any more: notes before `noted` are gone. */
static bool is_too_old(const struct domain_clock *d, const struct event_id *cursor) {
    return d->noted > 0 && cursor->epoch > 0 && cursor->epoch + 1 < d->noted;
}

unsigned domain_clock_place(const struct domain_clock *d, const struct event_id *cursor,
                            struct event_id *pos) {
    *pos = d->position;
    if (strcmp(cursor->birth, d->position.birth) != 0)
        return RESET_BIRTH;
    const struct event_id *note = note_after(d, cursor->epoch);
    uint64_t epoch = epoch_up_to(d, cursor->epoch);
    if (note != NULL) { /* the end of what was kept of that epoch */
        *pos = *note;
        memcpy(pos->birth, cursor->birth, sizeof(pos->birth));
        pos->epoch = epoch;
    }
    if (epoch != cursor->epoch || is_behind(cursor, pos) || is_too_old(d, cursor))
        return RESET_FAILOVER;
    *pos = *cursor;
    return 0;
}

struct event_id domain_clock_since(const struct domain_clock *d, uint64_t since_ms) {
    struct event_id pos = domain_clock_zero(d);
    pos.epoch = 1;
    for (size_t i = 0; i < d->notes_len; i++)
        if (d->notes[i].ms < since_ms && d->notes[i].epoch > pos.epoch)
            pos.epoch = d->notes[i].epoch;
    pos.ms = since_ms > 0 ? since_ms - 1 : 0;
    pos.seq = UINT64_MAX >> 1;
    if (!domain_clock_bore(d, &pos)) { /* nothing of this birth stands before that */
        pos.ms = note_after(d, 0)->ms;
        pos.seq = note_after(d, 0)->seq;
    }
    return id_compare(&pos, &d->position) > 0 ? d->position : pos;
}

bool domain_clock_forgot(const struct domain_clock *d, const struct event_id *pos,
                         uint64_t until_ms) {
    uint64_t sure_ms = d->memory_ms - d->memory_ms / 64; /* clocks differ, and may be set back */
    if (pos->ms < until_ms && is_behind(&d->evicted, pos))
        return true;
    return pos->ms > 0 && pos->ms + sure_ms <= until_ms &&
           id_compare(pos, &d->position) < 0; /* else nothing at all was published since */
}
