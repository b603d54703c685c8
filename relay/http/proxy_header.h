/* The header of the PROXY protocol, versions 1 and 2: whom a balancer has a connection from, in
 * front of all that the connection carries.
 *
 * A state machine over bytes: what comes of them does not depend on how they were cut, and nothing
 * that a peer sends makes it grow. Pure; any thread. */
#ifndef RELAY_HTTP_PROXY_HEADER_H
#define RELAY_HTTP_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/ip_address.h"

enum proxy_header_state {
    PROXY_HEADER_READING,
    PROXY_HEADER_DONE,
    PROXY_HEADER_MISSING,  /* something else came, from the first byte on */
    PROXY_HEADER_MALFORMED /* it began as one */
};

enum {
    PROXY_HEADER_LINE = 107, /* the longest of version 1, with its CRLF */
    PROXY_HEADER_FIXED = 16, /* the part of version 2 that tells how long the rest is */
    PROXY_HEADER_KEPT = 36   /* of that rest: addresses and ports of IPv6. The others are skipped */
};

/* Begins as zeros. */
struct proxy_header {
    uint8_t state; /* enum proxy_header_state */
    uint8_t len;   /* bytes kept */
    uint16_t rest; /* version 2, behind its fixed part: bytes still to come */
    /* DONE: it names somebody. If not (LOCAL, UNKNOWN), the connection is the balancer's own, and
     * its own address holds. */
    bool named;
    struct ip_address source; /* `named`; none: the client came by a unix socket */
    char bytes[PROXY_HEADER_LINE];
};

/* Take the header's bytes from the front of @bytes. Returns how many that were: all of them as long
 * as it is READING, and when DONE not one behind its end. */
size_t proxy_header_feed(struct proxy_header *h, const void *bytes, size_t len);

#endif
