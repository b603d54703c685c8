/* A stream as a network brings it: in pieces, each of which ends where its block of memory does, so
 * that a sanitizer sees a read past it. For the unit test and the fuzzer of event_stream.c. */
#ifndef TESTS_UNIT_PUBLISHER_CLI_TAIL_PIECES_H
#define TESTS_UNIT_PUBLISHER_CLI_TAIL_PIECES_H

#include <stdlib.h>
#include <string.h>

#include "publisher-cli/tail/event_stream.h"
#include "relay/base/err.h"

/* Returns what the last piece was answered; what failed once goes on failing. */
static inline int feed_in_pieces(struct event_stream *s, const char *bytes, size_t len,
                                 size_t piece) {
    int status = RELAY_OK;
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        char *copy = malloc(n);
        memcpy(copy, bytes + at, n);
        status = event_stream_feed(s, copy, n);
        free(copy);
    }
    return status;
}

#endif
