/* The head of an HTTP/1 request, byte by byte: request line and header fields (RFC 9112, sections 2
 * to 5), in the strictest reading.
 *
 * Parsers that disagree on a head let one request pass as two, so whatever they could disagree on
 * is refused here: a CR or LF alone, a folded field, white space before a colon, a control
 * character. The first wrong byte ends it: nobody has to send the rest to be told. What fields mean
 * is not known here. Pure; one thread; embedded. */
#ifndef RELAY_HTTP_HEAD_H
#define RELAY_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/http/fault.h"
#include "relay/http/request.h"

struct head {
    struct buf bytes;          /* all that was taken, up to REQUEST_HEAD_MAX_BYTES */
    const struct fault *fault; /* set at the first wrong byte */
    bool complete;             /* the empty line was seen */
    int step;                  /* what the next byte belongs to */
    struct place method;
    struct place target;
    char version[8];     /* "HTTP/1.0" or "HTTP/1.1" */
    uint8_t version_len; /* bytes of it that were seen */
    size_t fields_len;   /* fields that are complete */
    struct request_field fields[REQUEST_MAX_HEADERS];
};

/* All zero but for what this sets. */
void head_init(struct head *h);
void head_fini(struct head *h);

/* Take bytes up to and including the empty line, or the first wrong byte; neither complete nor
 * faulty yet.
 *
 * Returns how many were taken: at least one, where there is one. */
size_t head_feed(struct head *h, const char *data, size_t len);

/* The bytes of @p; valid until head_fini(), or the next head_feed(). */
struct span head_span(const struct head *h, struct place p);

#endif
