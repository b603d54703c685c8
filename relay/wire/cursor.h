/* A client's position in the order of events, and where it asks a stream to begin. Pure; any
 * thread. */
#ifndef RELAY_WIRE_CURSOR_H
#define RELAY_WIRE_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/wire/id.h"

/* All of the client's events up to here were sent to it. In one domain one id says it for any
 * number of topics. All zero: no position yet. */
struct cursor {
    struct event_id at; /* private but for the bus, which makes them */
};

static inline bool cursor_is_set(const struct cursor *c) {
    return c->at.birth[0] != '\0';
}

/* Whether the event was sent, or was before the client's beginning. An id of another birth compares
 * with nothing, so it is not covered. */
bool cursor_covers(const struct cursor *c, const struct event_id *id);

/* The event, which must not be covered, is being sent. */
static inline void cursor_advance(struct cursor *c, const struct event_id *id) {
    c->at = *id;
}

/* Append the text of an `id:` line. It must be set. */
void cursor_format(struct buf *out, const struct cursor *c);

enum { CURSOR_LAST_MAX = 10000 }; /* their ids are held until the latest are known */

enum cursor_kind {
    CURSOR_NONE,  /* from now on */
    CURSOR_ID,    /* behind this event */
    CURSOR_BAD,   /* what came as an id is none: from now on, with a reset */
    CURSOR_SINCE, /* from this time on */
    CURSOR_BIRTH, /* from the birth of the clock on: nothing that came since may be missing */
    CURSOR_AGO,   /* from so long ago on, by Redis's time */
    CURSOR_LAST   /* so many latest events of the connection's topics together */
};

struct cursor_request {
    enum cursor_kind kind;
    struct event_id id; /* CURSOR_ID */
    uint64_t since_ms;  /* CURSOR_SINCE: since 1970; CURSOR_AGO: before now */
    uint64_t last;      /* CURSOR_LAST */
};

#endif
