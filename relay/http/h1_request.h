/* Reading one HTTP/1 request: bytes in, a struct request out (RFC 9110, RFC 9112).
 *
 * The head (head.h) and the chunked coding (chunks.h) are read strictly: what parsers are known to
 * disagree on is refused. llhttp is a second opinion on the head, and must agree. Nothing here
 * knows a socket: the connection feeds bytes as they come. One thread; heap; the request owns
 * copies of everything it shows. */
#ifndef RELAY_HTTP_H1_REQUEST_H
#define RELAY_HTTP_H1_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/http/request.h"

struct h1_request; /* opaque: holds the llhttp_t */

enum h1_request_state {
    H1_REQUEST_HEAD,  /* wants more bytes of the head */
    H1_REQUEST_BODY,  /* the head is complete and can be looked at; wants bytes of the body */
    H1_REQUEST_DONE,  /* complete: what comes next belongs to the next request */
    H1_REQUEST_FAILED /* bad: h1_request_failure() says why; the connection cannot go on */
};

/* Never NULL. */
struct h1_request *h1_request_new(void);
void h1_request_free(struct h1_request *r);

/* Take bytes from @data. Stops behind the head (state BODY or, without a body, DONE), so that the
 * caller can refuse before it reads a body, and behind the message.
 *
 * Returns how many of the @len bytes were taken; the caller keeps the others and feeds them again
 * when it wants to go on. Never takes 0 bytes of a non-empty input in the states HEAD and BODY. */
size_t h1_request_feed(struct h1_request *r, const char *data, size_t len);

enum h1_request_state h1_request_state(const struct h1_request *r);

/* In state FAILED: the status (400 malformed; 431 head too large; 413 body too large, also as soon
 * as a Content-Length says so; 501 a transfer coding that is not chunked; 505 not HTTP/1.0 or 1.1)
 * and a sentence that says what was wrong (static storage). */
int h1_request_failure(const struct h1_request *r, const char **why);

/* What was read. In the states HEAD and FAILED only its fields; its method, path and query from
 * BODY on (a target that names an origin must name that of the Host header); its body in DONE. With
 * HTTP_METHOD_OTHER the state is DONE behind the head, and keep_alive is false. The same pointer
 * all the time, valid until h1_request_free(). */
const struct request *h1_request_view(const struct h1_request *r);

/* From state BODY on. */
bool h1_request_is_http10(const struct h1_request *r);
/* The client wants it, and the message allows it. */
bool h1_request_keep_alive(const struct h1_request *r);
/* Expect: 100-continue on HTTP/1.1. */
bool h1_request_expects_continue(const struct h1_request *r);
/* Content-Length above 0, or chunked. */
bool h1_request_has_body(const struct h1_request *r);

/* True once any byte was fed. */
bool h1_request_has_begun(const struct h1_request *r);

#endif
