/* What a request asks for, whichever protocol brought it: method, path, query, header fields, body.
 *
 * Whoever reads the protocol makes it (h1_request.h) and owns all bytes; whoever answers only looks
 * at it. */
#ifndef RELAY_HTTP_REQUEST_H
#define RELAY_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REQUEST_HEAD_MAX_BYTES = 16 * 1024,
    REQUEST_BODY_MAX_BYTES = 1024 * 1024,
    REQUEST_MAX_HEADERS = 100
};

enum http_method {
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_POST,
    HTTP_METHOD_OPTIONS,
    HTTP_METHOD_OTHER /* any other token, known to HTTP or not; its body is not read: answer 405 */
};

/* Bytes within the request; not NUL-terminated. data is NULL where a header is absent. */
struct span {
    const char *data;
    size_t len;
};

/* Where something stands in the bytes of the head, which 16 bits can count. */
struct place {
    uint16_t at;
    uint16_t len;
};

struct request_field {
    struct place name;
    struct place value; /* without the blanks around it */
};

/* A request without a Host is refused before it gets here, where its protocol asks for one; the
 * authority of HTTP/2 is given as Host. While a head is being read, or was refused, the fields are
 * those that were read so far, so that an error can be answered with CORS. */
struct request {
    enum http_method method;
    /* Not decoded, without query and without origin. "*" is possible with OPTIONS, and with OTHER
     * anything. */
    struct span path;
    struct span query; /* what stands behind '?', not decoded; len 0 where there is none */
    struct span body;  /* once the whole request is there */
    const char *bytes; /* what the fields point into */
    const struct request_field *fields;
    size_t fields_len;
};

/* The bytes of @p. */
struct span request_span(const struct request *r, struct place p);

/* How many fields have this name, case ignored; *@value is that of the first (data NULL: none). */
size_t request_fields(const struct request *r, const char *name, struct span *value);

/* The first field of that name. */
struct span request_header(const struct request *r, const char *name);

/* ---- for who reads one ---- */

/* The method of that name; OTHER where it is none that is served. */
enum http_method request_method(struct span name);

/* Set path and query from "/path?query". */
void request_set_target(struct request *r, struct span target);

/* The value of a Content-Length; UINT64_MAX where it is too large to be counted. Returns false
 * where it is none. */
bool request_length(struct span digits, uint64_t *length);

#endif
