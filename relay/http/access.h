/* Who may read and publish over HTTP: the token of a request, and the answer to one that may not
 * (RFC 6750).
 *
 * A token comes in `Authorization: Bearer`, as `token=` in the query, or in the cookie that
 * --token-cookie names; the first of these that is there counts, and the others are not looked at.
 * No part of it reaches a log, a metric or an answer. The connection's thread. */
#ifndef RELAY_HTTP_ACCESS_H
#define RELAY_HTTP_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/auth/grant.h"
#include "relay/http/exchange.h"
#include "relay/http/query.h"

/* The topics that @x's query names, as topic_list_parse(); too many of them are counted. */
int access_topics(struct exchange *x, struct topic_list *out, struct buf *why);

enum access {
    ACCESS_GRANTED,
    ACCESS_DENIED, /* it was answered */
    ACCESS_LATER   /* the key of its token is still to be fetched: not answered yet */
};

/* Whether @x's request may read @topics: granted without keys, and where all of them are public; a
 * token is then not looked at, and *@grant is all zero. Who was kicked and is barred may not, nor
 * may anybody read a topic that is. End @grant with grant_fini(), whatever is returned. */
enum access access_to_read(struct exchange *x, const struct topic_list *topics,
                           struct grant *grant);

/* What a request is told that comes too early for the key of its token, and when it should come
 * again. */
const char *access_later(struct exchange *x, uint64_t *retry_ms);

/* When a stream that @grant allows has to end (clock_mono_ms(); 0: never). */
uint64_t access_expires_ms(const struct grant *grant);

/* Whether @x's request, whose head is there, may publish to the topics of its query. Otherwise it
 * was answered. The Origin of a page is origin.h's, but for a token from a cookie: browsers send
 * that along whoever asks, so the Origin then has to be there, and to be this host or listed by
 * name. End @grant with grant_fini(), whatever is returned. */
bool access_may_publish(struct exchange *x, struct grant *grant);

#endif
