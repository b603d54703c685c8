/* Replays: requests with a cursor, answers with a slice (message.h: BUS_REPLAY; core_state.h:
 * waiting). The bus thread. */
#ifndef RELAY_BUS_REPLAY_H
#define RELAY_BUS_REPLAY_H

#include "relay/bus/message.h"

/* Takes it over. */
void replay_request(struct bus *bus, struct bus_replay *r);

/* Answer whoever can be answered now. */
void replay_serve(struct bus *bus);

/* Defer whoever has waited for too long. */
void replay_defer(struct bus *bus);

/* The clock may be another one: place all anew. Their pages are to be forgotten too. */
void replay_restart(struct bus *bus);

void replay_free_all(struct bus *bus);

#endif
