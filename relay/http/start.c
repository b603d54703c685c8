/* Where a stream begins; see start.h. */
#include "relay/http/start.h"

#include <ctype.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/quantity.h"
#include "relay/base/timestamp.h"
#include "relay/http/query.h"

/* 1973 and 9999. */
#define SINCE_MIN_MS UINT64_C(100000000000)
#define SINCE_MAX_MS UINT64_C(253402300799999)

static void read_id(struct span text, struct cursor_request *out) {
    *out = (struct cursor_request){.kind = CURSOR_BAD};
    if (id_parse(text.data, text.len, &out->id) == RELAY_OK)
        out->kind = CURSOR_ID;
}

/* `lastEventId` is the name that polyfills use, and whoever writes the parameter by hand thinks of
 * the header or of another spelling: one that was not understood would begin now, in silence. */
static bool is_cursor(struct span name) {
    static const char wanted[] = "lasteventid";
    struct buf text = BUF_INIT;
    size_t n = 0;
    bool good = query_decode(name, &text) == RELAY_OK;
    for (size_t i = 0; i < text.len && good; i++) {
        if (text.data[i] == '-' || text.data[i] == '_')
            continue;
        good = n < strlen(wanted) && tolower((unsigned char)text.data[i]) == wanted[n];
        n++;
    }
    buf_fini(&text);
    return good && n == strlen(wanted);
}

static bool is_since(struct span name) {
    return query_name_is(name, "since");
}

static bool is_last(struct span name) {
    return query_name_is(name, "last");
}

/* The raw value of the last parameter whose name @is; data is NULL where there is none. */
static struct span find_parameter(struct span query, bool (*is)(struct span name)) {
    struct span name, value, found = {NULL, 0};
    while (query_next(&query, &name, &value))
        if (is(name))
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

/* Milliseconds since 1970, which in seconds would be a day of January 1970 and in microseconds one
 * of a far future: nobody means those. Zero is the beginning. */
static bool is_plausible(uint64_t ms, struct buf *why) {
    const char *unit = NULL;
    if (ms > 0 && ms < SINCE_MIN_MS)
        unit = "seconds";
    else if (ms > SINCE_MAX_MS)
        unit = "microseconds";
    if (unit == NULL)
        return true;
    buf_printf(why,
               "The parameter `since` is a time in milliseconds since 1970, and this looks like "
               "%s. A duration has a unit: `30s`, `10m`, `1h`, `2d`.",
               unit);
    return false;
}

/* A time of ISO 8601, decoded. False where it is none, and @why says so if it begins as one. */
static bool read_time(struct span raw, uint64_t *ms, struct buf *why) {
    struct buf text = BUF_INIT;
    bool good = query_decode(raw, &text) == RELAY_OK && strlen(text.data) == text.len;
    const char *wrong = good ? timestamp_parse(text.data, ms) : "";
    if (wrong != NULL && good && strspn(text.data, "0123456789") == 4 && text.data[4] == '-')
        buf_printf(why, "The parameter `since` %s.", wrong);
    buf_fini(&text);
    return wrong == NULL;
}

static int read_since(struct span raw, struct cursor_request *out, struct buf *why) {
    uint64_t ms = 0;
    enum cursor_kind kind = CURSOR_SINCE;
    if (read_number(raw, quantity_plain, &ms)) {
        if (!is_plausible(ms, why))
            return RELAY_EINVAL;
    } else if (read_number(raw, quantity_time, &ms)) {
        kind = CURSOR_AGO;
    } else if (!read_time(raw, &ms, why)) {
        if (why->len == 0)
            buf_puts(why, "The parameter `since` is a duration such as `30s`, `10m`, `1h` or `2d`, "
                          "a time such as `2026-11-30T17:45:00Z`, or milliseconds since 1970.");
        return RELAY_EINVAL;
    }
    *out = (struct cursor_request){.kind = kind, .since_ms = ms};
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

int cursor_parse(const struct request *r, struct cursor_request *out, struct buf *why) {
    struct span query = r->query, header = request_header(r, "last-event-id");
    struct span id = find_parameter(query, is_cursor);
    struct span since = find_parameter(query, is_since), last = find_parameter(query, is_last);
    struct cursor_request read = {.kind = CURSOR_NONE};
    int rc = RELAY_OK;
    if (header.len > 0)
        read_id(header, &read);
    else if (id.len > 0)
        read_query_id(id, &read);
    else if (since.data != NULL)
        rc = read_since(since, &read, why);
    else if (last.data != NULL)
        rc = read_last(last, &read, why);
    if (rc == RELAY_OK)
        *out = read;
    return rc;
}
