/* Where a stream begins; see cursor.h. */
#include "relay/http/cursor.h"

#include <string.h>

#include "relay/base/err.h"
#include "relay/base/quantity.h"
#include "relay/http/query.h"

static void read_id(struct span text, struct cursor_request *out) {
    *out = (struct cursor_request){.kind = CURSOR_BAD};
    if (id_parse(text.data, text.len, &out->id) == RELAY_OK)
        out->kind = CURSOR_ID;
}

/* The raw value of the last parameter @wanted; data is NULL where there is none. */
static struct span find_parameter(struct span query, const char *wanted) {
    struct span name, value, found = {NULL, 0};
    while (query_next(&query, &name, &value))
        if (query_name_is(name, wanted))
            found = value.data != NULL ? value : (struct span){"", 0};
    return found;
}

static void read_query_id(struct span raw, struct cursor_request *out) {
    struct buf text = BUF_INIT;
    *out = (struct cursor_request){.kind = CURSOR_BAD};
    if (query_decode(raw, &text) == RELAY_OK)
        read_id((struct span){text.data, text.len}, out);
    buf_fini(&text);
}

/* A number of @raw, decoded. False where it is none. */
static bool read_number(struct span raw, const struct unit *units, uint64_t *out) {
    struct buf text = BUF_INIT;
    bool good = query_decode(raw, &text) == RELAY_OK && text.len > 0 &&
                strlen(text.data) == text.len && quantity_parse(text.data, units, out) == NULL;
    buf_fini(&text);
    return good;
}

static int read_since(struct span raw, uint64_t wall_ms, struct cursor_request *out,
                      struct buf *why) {
    uint64_t ms = 0;
    *out = (struct cursor_request){.kind = CURSOR_SINCE};
    if (read_number(raw, quantity_plain, &ms)) {
        out->since_ms = ms;
    } else if (read_number(raw, quantity_time, &ms)) {
        out->since_ms = ms < wall_ms ? wall_ms - ms : 0;
    } else {
        buf_puts(why, "The parameter `since` is a duration such as `30s`, `10m`, `1h` or `2d`, or "
                      "a time in milliseconds since 1970.");
        return RELAY_EINVAL;
    }
    return RELAY_OK;
}

static int read_last(struct span raw, struct cursor_request *out, struct buf *why) {
    uint64_t n = 0;
    if (!read_number(raw, quantity_plain, &n) || n > CURSOR_LAST_MAX) {
        buf_printf(why, "The parameter `last` is a number of events, up to %d.", CURSOR_LAST_MAX);
        return RELAY_EINVAL;
    }
    *out = (struct cursor_request){.kind = n > 0 ? CURSOR_LAST : CURSOR_NONE, .last = n};
    return RELAY_OK;
}

int cursor_parse(const struct request *r, uint64_t wall_ms, struct cursor_request *out,
                 struct buf *why) {
    struct span query = request_query(r), header = request_header(r, "last-event-id");
    struct span id = find_parameter(query, "lastEventId");
    struct span since = find_parameter(query, "since"), last = find_parameter(query, "last");
    struct cursor_request read = {.kind = CURSOR_NONE};
    int rc = RELAY_OK;
    if (header.len > 0)
        read_id(header, &read);
    else if (id.len > 0)
        read_query_id(id, &read);
    else if (since.data != NULL)
        rc = read_since(since, wall_ms, &read, why);
    else if (last.data != NULL)
        rc = read_last(last, &read, why);
    if (rc == RELAY_OK)
        *out = read;
    return rc;
}
