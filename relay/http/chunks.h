/* The chunked coding of a body (RFC 9112, section 7.1), decoded in the strictest reading.
 *
 * The end of a body is the beginning of the next request, so a reader who is lenient here can be
 * made to see requests that nobody else sees: a line ends with CRLF and nothing else, a size is hex
 * digits and nothing else, and each chunk's data is followed by CRLF. (llhttp before version 9
 * skips any two bytes there.) Extensions and trailers are read over. Pure; one thread; embedded,
 * all zero to begin with. */
#ifndef RELAY_HTTP_CHUNKS_H
#define RELAY_HTTP_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/buf.h"
#include "relay/http/fault.h"

struct chunks {
    int step;                  /* what the next byte belongs to */
    size_t size;               /* of the chunk; in its data: what is left of it */
    size_t overhead_bytes;     /* taken so far that were no data */
    bool complete;             /* the empty line behind the last chunk was seen */
    const struct fault *fault; /* set at the first wrong byte */
};

/* Take bytes up to the end of the body or the first wrong byte, and append their data to @out,
 * which holds what was decoded before and nothing else.
 *
 * @out never exceeds REQUEST_BODY_MAX_BYTES: a chunk that would is refused (413) by its size, and
 * so is a body whose coding takes more bytes than that and 64 KiB. Returns how many bytes were
 * taken: at least one, where there is one. */
size_t chunks_feed(struct chunks *c, const char *data, size_t len, struct buf *out);

#endif
