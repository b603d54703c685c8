/* A client's position; see cursor.h. */
#include "relay/wire/cursor.h"

#include <assert.h>
#include <string.h>

/* Once for each delivery: id_compare() would compare the births again. */
bool cursor_covers(const struct cursor *c, const struct event_id *id) {
    const struct event_id *at = &c->at;
    if (strcmp(at->birth, id->birth) != 0)
        return false;
    if (id->epoch != at->epoch)
        return id->epoch < at->epoch;
    return id->ms != at->ms ? id->ms < at->ms : id->seq <= at->seq;
}

void cursor_format(struct buf *out, const struct cursor *c) {
    assert(cursor_is_set(c));
    id_format(out, &c->at);
}
