/* The order of ids, and what of a topic lies behind a place in it (design: "Epochs",
 * "Completeness").
 *
 * Redis replicates asynchronously: a promoted replica may have lost a tail that clients have seen.
 * The notes say how far the kept part of each epoch reaches; a cursor beyond it saw events that are
 * gone. So did one of an epoch that is not noted at all: it is of another continuation of the same
 * past, that of a server whose last epochs were lost. How much of this one came before it left is
 * not known, so it is told even where it stands lower: its numbers say nothing here. Pure; the bus
 * thread. */
#ifndef RELAY_BUS_PLACE_H
#define RELAY_BUS_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/bus/ring.h"
#include "relay/wire/id.h"

/* What is known of the domain's clock. */
struct domain {
    bool known;  /* read since the connections are what they are */
    bool exists; /* there is a clock: durable events were published, or can be */
    uint64_t reads_sent, reads_done; /* of the clock, ever */
    struct event_id position; /* the greatest id known; its birth and epoch are the domain's */
    struct event_id
        *notes; /* the last id before each epoch; .epoch is that which began behind it */
    size_t notes_len;
    uint64_t memory_ms; /* how long the last id of a topic is kept */
    uint64_t ahead_ms;  /* how far the clock was ahead of this node's own, as far as is known */
};

void domain_fini(struct domain *d);
/* Move the position up to @id, unless that is of another epoch: such a one comes with its note. */
void domain_advance(struct domain *d, const struct event_id *id);
/* Learn from the clock that was read at @now_ms, by this node's own. */
void domain_learn_ahead(struct domain *d, uint64_t clock_ms, uint64_t now_ms);

/* Whether @id, of the domain's epoch, is ahead of all that its clock can have given out by @now_ms,
 * as far as is known: it was made up, or the clock is further ahead of this node's than that. */
bool domain_is_ahead(const struct domain *d, const struct event_id *id, uint64_t now_ms);

struct event_id domain_zero(const struct domain *d); /* below every id of this birth */

/* Whether an entry of a log with this ms and seq is of this birth: a log may outlive its clock. */
bool domain_bore(const struct domain *d, const struct event_id *id);

/* Where a cursor stands: @pos is set to where a replay goes on from. Returns the reasons for a
 * reset, 0: none. */
unsigned domain_place(const struct domain *d, const struct event_id *cursor, struct event_id *pos);

/* The place right before @since_ms: in the latest epoch that had begun by then. */
struct event_id domain_since(const struct domain *d, uint64_t since_ms);

/* Whether an event behind @pos may have been forgotten by @until_ms, its topic's last id with it.
 */
bool domain_forgot(const struct domain *d, const struct event_id *pos, uint64_t until_ms);

/* When the first event of @ring was published, where Redis knew of none before it then, and
 * @now_ms where there is none; 0 where it knew of one. What is behind a cursor that is older than
 * the domain's memory may have been forgotten by then. */
uint64_t ring_began_ms(const struct ring *ring, uint64_t now_ms);

/* What has to be done to serve what lies behind a place. */
enum reach {
    REACH_RING,    /* nothing: the ring has all of it */
    REACH_TRIMMED, /* nothing: the ring has what is left, and the log no longer holds the rest */
    REACH_EXTEND,  /* extend the ring backwards */
    REACH_LOG      /* read the log: the ring is as long as it may be */
};

/* @extended: as far back as its bytes allow, or the log goes. @reaches_back: the log holds nothing
 * at or below its floor. */
enum reach ring_reach(const struct ring *ring, bool extended, bool reaches_back,
                      const struct event_id *pos);

#endif
