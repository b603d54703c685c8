/* Reading the domain's clock from Redis: birth, epoch, position, and where epochs began
 * (domain.h: clock, reads). The bus thread. */
#ifndef RELAY_BUS_CLOCK_READER_H
#define RELAY_BUS_CLOCK_READER_H

#include "relay/bus/domain.h"

/* Read it now; where there is no connection, its return does. */
void clock_reader_read(struct bus_domain *d);

/* It may be another one by now: read it now, once in this turn, which clock_reader_turn() ends. */
void clock_reader_want(struct bus_domain *d);
void clock_reader_turn(struct bus_domain *d);

/* Another server, perhaps: nothing of it is known until it is read. */
void clock_reader_forget(struct bus_domain *d);

/* The script has looked at the clock and found @position: read it where that is another one. */
void clock_reader_compare(struct bus_domain *d, const struct event_id *position);

/* The server @run_id has evicted @count keys since it started. Where the clock knows of fewer, it
 * is noted there that the absence of a topic's last id proves nothing up to its position. */
void clock_reader_evicted(struct bus_domain *d, const char *run_id, uint64_t count);

/* The log and the last id of a topic are gone before their time: the same. */
void clock_reader_vanished(struct bus_domain *d);

/* The position is at least @id: it was seen on the subscription connection. */
void clock_reader_advance(struct bus_domain *d, const struct event_id *id);

#endif
