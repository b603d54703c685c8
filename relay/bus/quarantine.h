/* Durable messages that the domain's clock, as this node knows it, cannot have given out (domain.h:
 * quarantine). The bus thread. */
#ifndef RELAY_BUS_QUARANTINE_H
#define RELAY_BUS_QUARANTINE_H

#include "relay/bus/domain.h"

/* Whether a message with @id has to be put aside: the clock cannot have given it out, as far as is
 * known. */
bool quarantine_suspects(const struct bus_domain *d, const struct event_id *id);

/* Put one of @t aside. */
void quarantine_put(struct bus_topic *t, const struct event_id *id);

/* Once a turn: read the clock where it has to tell. */
void quarantine_turn(struct bus_domain *d);

/* A read of the clock was sent. */
void quarantine_asked(struct bus_domain *d);

/* The clock is the same, and has come to @position. Returns whether some that were put aside are
 * real for that: topics with such have to be read again. */
bool quarantine_position(struct bus_domain *d, const struct event_id *position);

/* A read of the clock is done, and it is the same: what it cannot have given out is foreign. */
void quarantine_answered(struct bus_domain *d);

/* Everything is read anew, and what was real with it. */
void quarantine_forget(struct bus_domain *d);

#endif
