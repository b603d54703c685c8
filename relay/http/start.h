/* Where a request wants its stream to begin: Last-Event-ID, lastEventId=, since= and last=.
 *
 * Pure; any thread. */
#ifndef RELAY_HTTP_START_H
#define RELAY_HTTP_START_H

#include "relay/base/buf.h"
#include "relay/http/request.h"
#include "relay/wire/cursor.h"

/* The header Last-Event-ID wins over `lastEventId` in the query (in any case, with `-` and `_` in
 * it or not), and either over `since` (ms since 1970, a time of ISO 8601, or a duration before now)
 * and `last` (up to CURSOR_LAST_MAX events): EventSource repeats its URL when it comes back with a
 * cursor. `since` wins over `last`; of a parameter that stands there twice the last one counts. An
 * empty cursor is none.
 *
 * Whatever comes as a cursor is never an error, since an answer that is not 200 ends an EventSource
 * for good: what is no id is CURSOR_BAD.
 *
 * Returns RELAY_OK, or RELAY_EINVAL where `since` or `last` is wrong and no cursor overrides it:
 * *@out is unchanged, and @why gets a sentence. */
int cursor_parse(const struct request *r, struct cursor_request *out, struct buf *why);

#endif
