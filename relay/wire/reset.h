/* Why a stream cannot go on as if nothing had happened: the reasons of relay.reset. */
#ifndef RELAY_WIRE_RESET_H
#define RELAY_WIRE_RESET_H

/* Bits, so that several can be told at once: in this order, since the first ones say where the
 * stream goes on from, and the others what is missing behind that. */
enum reset_reason {
    RESET_BIRTH = 1 << 0,    /* the cursor is of another clock, or none at all */
    RESET_FAILOVER = 1 << 1, /* Redis lost events that the client may have seen */
    RESET_LIMIT = 1 << 2,    /* more to replay than --replay-limit */
    RESET_TRIMMED = 1 << 3,  /* the log no longer holds what came behind the cursor */
    RESET_LIVE = 1 << 4,     /* live events were dropped */
    RESET_REASONS = 5
};

/* The word for bit number @bit, as it stands in relay.reset. Static storage. */
const char *reset_reason_name(unsigned bit);

#endif
