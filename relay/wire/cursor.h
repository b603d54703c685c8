/* Where a stream shall begin: what a client asked for. Types only. */
#ifndef RELAY_WIRE_CURSOR_H
#define RELAY_WIRE_CURSOR_H

#include <stdint.h>

#include "relay/wire/id.h"

enum cursor_kind {
    CURSOR_NONE,  /* from now on */
    CURSOR_ID,    /* behind this event */
    CURSOR_BAD,   /* what came as an id is none: from now on, with a reset */
    CURSOR_SINCE, /* from this time on */
    CURSOR_LAST   /* so many latest events of the connection's topics together */
};

struct cursor_request {
    enum cursor_kind kind;
    struct event_id id; /* CURSOR_ID */
    uint64_t since_ms;  /* CURSOR_SINCE: since 1970 */
    uint64_t last;      /* CURSOR_LAST */
};

#endif
