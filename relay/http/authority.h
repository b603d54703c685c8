/* "host:port" as it stands in Host, Origin and the target of a request (RFC 3986, section 3.2).
 *
 * Pure; any thread. */
#ifndef RELAY_HTTP_AUTHORITY_H
#define RELAY_HTTP_AUTHORITY_H

#include <stdbool.h>

#include "relay/http/request.h"

/* Split @authority into its host (an IPv6 address keeps its brackets) and its port (len 0 where
 * there is none). Both point into @authority. An empty authority has an empty host.
 *
 * Returns false where it is none: user information, white space, letters outside ASCII, a port that
 * is no number. What stands between the dots of the host is not looked at. */
bool authority_split(struct span authority, struct span *host, struct span *port);

/* Whether @a and @b are equal when the case of ASCII letters is ignored. */
bool span_equals_nocase(struct span a, struct span b);

/* The bytes of a C string. */
struct span span_of(const char *s);

#endif
