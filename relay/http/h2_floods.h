/* What a client of HTTP/2 may send that costs us work and itself nothing: how much of it, and how
 * fast.
 *
 * Each kind has a bucket of tokens: so many at once, and so many a second for good. Whoever empties
 * one is no browser and no proxy, and is disconnected. Counted here and not by nghttp2, whose
 * versions limit different kinds. Pure; embedded; one thread; begins as {0}. */
#ifndef RELAY_HTTP_H2_FLOODS_H
#define RELAY_HTTP_H2_FLOODS_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/http/http_metrics.h"

enum { H2_CONTINUATIONS_MAX = 4 }; /* of one head, whose 16 KiB fit into its first frame */

struct h2_floods {
    struct {
        uint64_t since_ms; /* the last change of `used` */
        uint32_t used;     /* of the bucket, in thousandths of a frame */
    } buckets[HTTP_FLOODS];
};

/* A frame of @kind came. Returns false where it is one too many. */
bool h2_floods_pass(struct h2_floods *f, enum http_flood kind, uint64_t now_ms);

/* We gave the client cause for @frames more of @kind than its rate allows. */
void h2_floods_allow(struct h2_floods *f, enum http_flood kind, uint32_t frames);

#endif
