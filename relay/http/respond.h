/* Answers that are not streams: status, fields, body. The connection's thread. */
#ifndef RELAY_HTTP_RESPOND_H
#define RELAY_HTTP_RESPOND_H

#include <stddef.h>

#include "relay/http/exchange.h"

/* Answer @x, whose request may be one that could not be read. @more: further fields; NULL: none. */
void respond(struct exchange *x, int status, const char *content_type, const struct fields *more,
             const char *body, size_t len);

/* application/problem+json (RFC 9457): @detail is a sentence that says what was wrong and what to
 * do. */
void respond_problem(struct exchange *x, int status, const struct fields *more, const char *detail);

/* 503, with the time to come back. */
void respond_retry(struct exchange *x, uint64_t after_s, const char *detail);

/* The same with @status, such as 429: it is this client that has, or asks, too much. */
void respond_later(struct exchange *x, int status, uint64_t after_s, const char *detail);

/* Begin the fields of an answer that somebody else completes: those for CORS. */
void respond_fields(const struct exchange *x, struct fields *fields);

#endif
