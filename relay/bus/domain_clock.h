/* What is known of a domain's clock, and where a cursor stands by it (design: "Epochs",
 * "Completeness").
 *
 * Redis replicates asynchronously: a promoted replica may have lost a tail that clients have seen.
 * The notes say how far the kept part of each epoch reaches; a cursor beyond it saw events that are
 * gone. So did one of an epoch that is not noted at all: it is of another continuation of the same
 * past, that of a server whose last epochs were lost. How much of this one came before it left is
 * not known, so it is told even where it stands lower: its numbers say nothing here. Pure; the bus
 * thread. */
#ifndef RELAY_BUS_DOMAIN_CLOCK_H
#define RELAY_BUS_DOMAIN_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/wire/id.h"

/* What is known of the domain's clock. */
struct domain_clock {
    bool known;               /* read since the connections are what they are */
    bool exists;              /* there is a clock: durable events were published, or can be */
    struct event_id position; /* the greatest id known; its birth and epoch are the domain's */
    struct event_id
        *notes; /* the last id before each epoch; .epoch is that which began behind it */
    size_t notes_len;
    uint64_t noted; /* the notes of this epoch and of all behind it are there; 0: those of all */
    struct event_id evicted; /* up to this place (ms, seq), the absence of a last id proves nothing:
                                keys were evicted, or removed by hand; 0: nothing of the kind */
    uint64_t memory_ms;      /* how long the last id of a topic is kept */
    uint64_t ahead_ms; /* how far the clock was ahead of this node's own, as far as is known */
};

void domain_clock_fini(struct domain_clock *d);
/* Move the position up to @id, unless that is of another epoch: such a one comes with its note. */
void domain_clock_advance(struct domain_clock *d, const struct event_id *id);
/* Learn from the clock that was read at @now_ms, by this node's own. */
void domain_clock_learn_ahead(struct domain_clock *d, uint64_t clock_ms, uint64_t now_ms);

/* Whether @id, of the domain's epoch, is ahead of all that its clock can have given out by @now_ms,
 * as far as is known: it was made up, or the clock is further ahead of this node's than that. */
bool domain_clock_is_ahead(const struct domain_clock *d, const struct event_id *id,
                           uint64_t now_ms);

struct event_id domain_clock_zero(const struct domain_clock *d); /* below every id of this birth */

/* Whether an entry of a log with this ms and seq is of this birth: a log may outlive its clock. */
bool domain_clock_bore(const struct domain_clock *d, const struct event_id *id);

/* Where a cursor stands: @pos is set to where a replay goes on from. Returns the reasons for a
 * reset, 0: none. */
unsigned domain_clock_place(const struct domain_clock *d, const struct event_id *cursor,
                            struct event_id *pos);

/* The place right before @since_ms: in the latest epoch that had begun by then. */
struct event_id domain_clock_since(const struct domain_clock *d, uint64_t since_ms);

/* Whether an event behind @pos may have been forgotten by @until_ms, its topic's last id with it:
 * by age, or because keys were evicted. */
bool domain_clock_forgot(const struct domain_clock *d, const struct event_id *pos,
                         uint64_t until_ms);

#endif
