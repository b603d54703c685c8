/* Query strings (application/x-www-form-urlencoded, WHATWG URL) and what a stream's query may say.
 *
 * Pure; one thread. */
#ifndef RELAY_HTTP_QUERY_H
#define RELAY_HTTP_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/buf.h"
#include "relay/http/request.h"

/* Walk the parameters: `struct span rest = query; while (query_next(&rest, &name, &value)) …`. The
 * name and value are raw; a parameter without '=' has value.data NULL. Empty pieces (&&) are
 * skipped. */
bool query_next(struct span *rest, struct span *name, struct span *value);

/* Append the decoded bytes of @raw ('+' is a space, %XX a byte). Returns RELAY_OK, or RELAY_EINVAL
 * where a '%' is not followed by two hex digits; @out is then unchanged. */
int query_decode(struct span raw, struct buf *out);

/* True where raw @name, decoded, is @expected. */
bool query_name_is(struct span name, const char *expected);

/* The topics that a request names: `topics` is split at commas after decoding and spaces around
 * a name are cut, `topic` is taken as it is; both may be repeated; the same topic twice counts
 * once. */
struct topic_list {
    struct buf bytes;    /* the topics, one behind the other */
    struct span *topics; /* len entries that point into bytes */
    size_t *positions;   /* of each in the query, from 1; a topic that stood there twice has one */
    size_t len;
};

/* Collect the topics of @query, each checked by topic_check(); at most @max.
 *
 * Returns RELAY_OK (end with topic_list_fini()), or RELAY_EINVAL, or RELAY_EOVERFLOW where there
 * are too many, and appends to @why a sentence such as "Topic 3 is empty." — positions count from 1
 * in the order of the query. None at all is an error too; it says how to name one. */
int topic_list_parse(struct span query, size_t max, struct topic_list *out, struct buf *why);
void topic_list_fini(struct topic_list *list);

#endif
