/* The order of ids, and what lies behind a place in it; see place.h. */
#include "relay/bus/place.h"

#include <stdlib.h>
#include <string.h>

#include "relay/wire/reset.h"

enum { CLOCKS_DIFFER_MS = 1000 }; /* by so much, those of two machines may */

void domain_fini(struct domain *d) {
    free(d->notes);
    d->notes = NULL;
    d->notes_len = 0;
}

void domain_advance(struct domain *d, const struct event_id *id) {
    if (id->epoch == d->position.epoch && id_compare(id, &d->position) > 0)
        d->position = *id;
}

void domain_learn_ahead(struct domain *d, uint64_t clock_ms, uint64_t now_ms) {
    if (clock_ms > now_ms && clock_ms - now_ms > d->ahead_ms)
        d->ahead_ms = clock_ms - now_ms;
}

bool domain_is_ahead(const struct domain *d, const struct event_id *id, uint64_t now_ms) {
    return id->ms > now_ms && id->ms - now_ms > CLOCKS_DIFFER_MS &&
           id->ms - now_ms - CLOCKS_DIFFER_MS > d->ahead_ms;
}

struct event_id domain_zero(const struct domain *d) {
    struct event_id zero = {.epoch = 0};
    memcpy(zero.birth, d->position.birth, sizeof(zero.birth));
    return zero;
}

/* The note of the first epoch that began after @epoch; NULL: none did. */
static const struct event_id *note_after(const struct domain *d, uint64_t epoch) {
    const struct event_id *best = NULL;
    for (size_t i = 0; i < d->notes_len; i++)
        if (d->notes[i].epoch > epoch && (best == NULL || d->notes[i].epoch < best->epoch))
            best = &d->notes[i];
    return best;
}

static bool is_behind(const struct event_id *id, const struct event_id *note) {
    return id->ms > note->ms || (id->ms == note->ms && id->seq > note->seq);
}

bool domain_bore(const struct domain *d, const struct event_id *id) {
    const struct event_id *birth = note_after(d, 0);
    return birth == NULL || birth->epoch != 1 || is_behind(id, birth);
}

/* The latest epoch of this history up to @epoch; 0: none, which is that of domain_zero(). */
static uint64_t epoch_up_to(const struct domain *d, uint64_t epoch) {
    uint64_t best = d->position.epoch <= epoch ? d->position.epoch : 0;
    for (size_t i = 0; i < d->notes_len; i++)
        if (d->notes[i].epoch <= epoch && d->notes[i].epoch > best)
            best = d->notes[i].epoch;
    return best;
}

unsigned domain_place(const struct domain *d, const struct event_id *cursor, struct event_id *pos) {
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
    if (epoch != cursor->epoch || is_behind(cursor, pos))
        return RESET_FAILOVER;
    *pos = *cursor;
    return 0;
}

struct event_id domain_since(const struct domain *d, uint64_t since_ms) {
    struct event_id pos = domain_zero(d);
    pos.epoch = 1;
    for (size_t i = 0; i < d->notes_len; i++)
        if (d->notes[i].ms < since_ms && d->notes[i].epoch > pos.epoch)
            pos.epoch = d->notes[i].epoch;
    pos.ms = since_ms > 0 ? since_ms - 1 : 0;
    pos.seq = UINT64_MAX >> 1;
    return id_compare(&pos, &d->position) > 0 ? d->position : pos;
}

bool domain_forgot(const struct domain *d, const struct event_id *pos, uint64_t until_ms) {
    uint64_t sure_ms = d->memory_ms - d->memory_ms / 64; /* clocks differ, and may be set back */
    return pos->ms > 0 && pos->ms + sure_ms <= until_ms &&
           id_compare(pos, &d->position) < 0; /* else nothing at all was published since */
}

uint64_t ring_began_ms(const struct ring *ring, uint64_t now_ms) {
    if (ring->floor.ms != 0)
        return 0;
    return ring->len > 0 ? ring_at(ring, 0)->id.ms : now_ms;
}

enum reach ring_reach(const struct ring *ring, bool extended, bool reaches_back,
                      const struct event_id *pos) {
    if (id_compare(pos, &ring->floor) >= 0)
        return REACH_RING;
    if (reaches_back)
        return REACH_TRIMMED;
    return extended ? REACH_LOG : REACH_EXTEND;
}
