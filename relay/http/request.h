/* One HTTP/1 request: bytes in, method, target, headers and body out (RFC 9110, RFC 9112).
 *
 * The head (head.h) and the chunked coding (chunks.h) are read strictly: what parsers are known to
 * disagree on is refused. llhttp is a second opinion on the head, and must agree. Nothing here
 * knows a socket: the connection feeds bytes as they come. One thread; heap; the request owns
 * copies of everything it shows. */
#ifndef RELAY_HTTP_REQUEST_H
#define RELAY_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/buf.h"

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
    HTTP_METHOD_OTHER /* any other token, known to HTTP or not: state DONE behind the head, the body
                         is not read, and keep_alive is false. Answer 405 and close. */
};

/* Bytes within the request; not NUL-terminated. data is NULL where a header is absent. */
struct span {
    const char *data;
    size_t len;
};

struct request; /* opaque: holds the llhttp_t */

enum request_state {
    REQUEST_HEAD,  /* wants more bytes of the head */
    REQUEST_BODY,  /* the head is complete and can be looked at; wants bytes of the body */
    REQUEST_DONE,  /* complete: what comes next belongs to the next request */
    REQUEST_FAILED /* bad: request_failure() says why; the connection cannot go on */
};

/* Never NULL. */
struct request *request_new(void);
void request_free(struct request *r);

/* Take bytes from @data. Stops behind the head (state REQUEST_BODY or, without a body,
 * REQUEST_DONE), so that the caller can refuse before it reads a body, and behind the message.
 *
 * Returns how many of the @len bytes were taken; the caller keeps the others and feeds them again
 * when it wants to go on. Never takes 0 bytes of a non-empty input in the states HEAD and BODY. */
size_t request_feed(struct request *r, const char *data, size_t len);

enum request_state request_state(const struct request *r);

/* In state FAILED: the status (400 malformed; 431 head too large; 413 body too large, also as soon
 * as a Content-Length says so; 501 a transfer coding that is not chunked; 505 not HTTP/1.0 or 1.1)
 * and a sentence that says what was wrong (static storage). */
int request_failure(const struct request *r, const char **why);

/* From state BODY on. */
enum http_method request_method(const struct request *r);
/* Not decoded, without query; an absolute target is stripped of its origin, which must be that of
 * the Host header. "*" is possible with OPTIONS, and with OTHER anything. */
struct span request_path(const struct request *r);
/* What stands behind '?', not decoded; len 0 where there is none. */
struct span request_query(const struct request *r);
bool request_is_http10(const struct request *r);
/* The client wants it, and the message allows it. */
bool request_keep_alive(const struct request *r);
/* Expect: 100-continue on HTTP/1.1. */
bool request_expects_continue(const struct request *r);
/* Content-Length above 0, or chunked. */
bool request_has_body(const struct request *r);

/* The first header of that name, case ignored, blanks around the value cut. In any state: in HEAD
 * and FAILED it knows the headers that were read so far, so that an error can be answered with
 * CORS. */
struct span request_header(const struct request *r, const char *name);

/* In state DONE. */
struct span request_body(const struct request *r);

/* True once any byte was fed. */
bool request_has_begun(const struct request *r);

#endif
