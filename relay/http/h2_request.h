/* One request of HTTP/2, as its fields and its body come: fields in, a struct request out (RFC
 * 9113, section 8).
 *
 * nghttp2 has decoded the fields and refused what is malformed as HTTP/2: pseudo-fields that miss,
 * come late or twice, names in capitals, fields of a connection, a body of another length than its
 * Content-Length. Here it becomes what HTTP/1 makes of the same request, and is refused where that
 * is. Pure; heap; one thread; owns copies of all it shows. */
#ifndef RELAY_HTTP_H2_REQUEST_H
#define RELAY_HTTP_H2_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/buf.h"
#include "relay/http/fault.h"
#include "relay/http/request.h"

enum { H2_FIELD_OVERHEAD = 32 }; /* of a field in a list, by RFC 9113, section 6.5.2 */

struct h2_request {
    struct request view;
    const struct fault *fault; /* the first; set by a field or by h2_request_head() */
    struct buf bytes;          /* of the fields */
    struct buf cookie;         /* which may come in pieces (RFC 9113, section 8.2.3) */
    struct buf body;
    size_t size; /* of the list of fields, as SETTINGS_MAX_HEADER_LIST_SIZE counts */
    struct place method, target, authority;
    bool has_target;
    struct request_field fields[REQUEST_MAX_HEADERS];
};

/* Never NULL. */
struct h2_request *h2_request_new(void);
void h2_request_free(struct h2_request *r); /* NULL: nothing */

/* A field of the head, pseudo-fields first. Once there is a fault, nothing of it is kept. */
void h2_request_field(struct h2_request *r, struct span name, struct span value);

/* A field came that nghttp2 found malformed. */
void h2_request_bad_field(struct h2_request *r);

/* The head is complete: r->view shows it, or r->fault says why not (its fields are shown then too,
 * so that the answer has CORS). */
void h2_request_head(struct h2_request *r);

/* Bytes of the body. Returns false where it is too long; nothing was taken. */
bool h2_request_body(struct h2_request *r, const void *bytes, size_t len);

#endif
