/* Where a stream begins: the first line is the header Last-Event-ID, what is behind it the query.
 * Whatever is asked is one of a few things within their limits, and a header is never an error. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/http/h1_request.h"
#include "relay/http/start.h"
#include "tests/fuzz/fuzz.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

/* NULL where it is no request. */
static struct h1_request *make_request(const char *query, size_t query_len, const char *id,
                                       size_t id_len) {
    struct buf head = BUF_INIT;
    struct h1_request *r = h1_request_new();
    buf_puts(&head, "GET /sse?");
    buf_append(&head, query, query_len);
    buf_puts(&head, " HTTP/1.1\r\nHost: a\r\nLast-Event-ID: ");
    buf_append(&head, id, id_len);
    buf_puts(&head, "\r\n\r\n");
    h1_request_feed(r, head.data, head.len);
    if (h1_request_state(r) != H1_REQUEST_DONE) {
        h1_request_free(r);
        r = NULL;
    }
    buf_fini(&head);
    return r;
}

static void check(const struct cursor_request *c, struct span header) {
    struct buf text = BUF_INIT;
    switch (c->kind) {
    case CURSOR_ID:
        id_format(&text, &c->id);
        must(text.len <= ID_TEXT_MAX_BYTES);
        must(header.len == 0 ||
             (header.len == text.len && memcmp(header.data, text.data, text.len) == 0));
        break;
    case CURSOR_SINCE:
        must(header.len == 0 && c->since_ms <= 253402300799999);
        break;
    case CURSOR_AGO:
        must(header.len == 0);
        break;
    case CURSOR_LAST:
        must(header.len == 0 && c->last >= 1 && c->last <= CURSOR_LAST_MAX);
        break;
    case CURSOR_NONE:
        must(header.len == 0);
        break;
    case CURSOR_BIRTH:
        must(false); /* the hub's alone: nobody can ask for it */
        break;
    case CURSOR_BAD:
        break;
    }
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *id = (const char *)data, *end = size > 0 ? memchr(id, '\n', size) : NULL;
    size_t id_len = end != NULL ? (size_t)(end - id) : 0;
    const char *query = end != NULL ? end + 1 : id;
    struct h1_request *r = make_request(query, size - (size_t)(query - id), id, id_len);
    if (r == NULL)
        return 0;
    struct cursor_request c;
    struct buf why = BUF_INIT;
    struct span header = request_header(h1_request_view(r), "last-event-id");
    if (cursor_parse(h1_request_view(r), &c, &why) == RELAY_OK) {
        must(why.len == 0);
        check(&c, header);
    } else {
        must(why.len > 0 && header.len == 0);
    }
    buf_fini(&why);
    h1_request_free(r);
    return 0;
}
