/* A text/event-stream: the first byte says how the rest is cut. Cut or whole it must read the same;
 * what is read is what its texts may be, and is read again from the plainest way to write it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/tail/event_stream.h"
#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/publisher-cli/tail/pieces.h"

enum { LIMIT = 256 };

static void must(bool condition) {
    if (!condition)
        abort();
}

/* All that was seen, written as a stream. */
static void put_lines(struct buf *to, const char *data, size_t len) {
    const char *end = data + len;
    for (;;) {
        const char *stop = memchr(data, '\n', (size_t)(end - data));
        buf_puts(to, "data: ");
        buf_append(to, data, (size_t)((stop != NULL ? stop : end) - data));
        buf_putc(to, '\n');
        if (stop == NULL)
            return;
        data = stop + 1;
    }
}

static void on_event(void *arg, const struct event_stream_event *e) {
    struct buf *seen = arg;
    must(e->data_len <= LIMIT && e->name[e->name_len] == '\0' && e->data[e->data_len] == '\0');
    must(utf8_valid(e->name, e->name_len) && utf8_valid(e->data, e->data_len));
    must(memchr(e->name, '\n', e->name_len) == NULL && memchr(e->name, '\r', e->name_len) == NULL);
    must(memchr(e->data, '\r', e->data_len) == NULL);
    buf_puts(seen, "event: ");
    buf_append(seen, e->name, e->name_len);
    buf_puts(seen, "\n");
    put_lines(seen, e->data, e->data_len);
    buf_puts(seen, "\n");
}

static void on_retry(void *arg, uint64_t ms) {
    buf_printf(arg, "retry: %" PRIu64 "\n", ms);
}

static const struct event_stream_callbacks callbacks = {.on_event = on_event, .on_retry = on_retry};

static int read_all(const char *bytes, size_t len, size_t piece, struct buf *seen) {
    struct event_stream s;
    event_stream_init(&s, LIMIT, &callbacks, seen);
    int status = feed_in_pieces(&s, bytes, len, piece);
    const char *id = event_stream_last_id(&s);
    must(strpbrk(id, "\r\n") == NULL && utf8_valid(id, strlen(id)));
    buf_printf(seen, "id: %s\n\n", id);
    event_stream_fini(&s);
    return status;
}

static bool same(const struct buf *a, const struct buf *b) {
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf whole = BUF_INIT, cut = BUF_INIT, again = BUF_INIT;
    if (size < 2)
        return 0;
    const char *bytes = (const char *)data + 1;
    int status = read_all(bytes, size - 1, size - 1, &whole);
    must(read_all(bytes, size - 1, (size_t)data[0] + 1, &cut) == status);
    must(same(&whole, &cut));
    if (status == RELAY_OK && read_all(whole.data, whole.len, whole.len, &again) == RELAY_OK)
        must(same(&whole, &again));
    buf_fini(&whole);
    buf_fini(&cut);
    buf_fini(&again);
    return 0;
}
