/* What comes over a connection, as requests one behind the other: whatever it is, it is read the
 * same however it was cut, within the limits, and nothing of it gets into the answer's headers as
 * more than a value. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/http/h1_request.h"
#include "relay/http/origin.h"
#include "tests/fuzz/fuzz.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

/* The size of the next piece that is fed. */
struct cutter {
    uint32_t state; /* of a small generator; 0: pieces of @most bytes */
    size_t most;
};

static size_t next_piece(struct cutter *c, size_t left) {
    size_t n = c->most;
    if (c->state != 0) {
        c->state = c->state * 1664525u + 1013904223u;
        n = 1 + (c->state >> 16) % c->most;
    }
    return n < left ? n : left;
}

static bool wants_bytes(const struct h1_request *r) {
    return h1_request_state(r) == H1_REQUEST_HEAD || h1_request_state(r) == H1_REQUEST_BODY;
}

static void put_span(struct buf *out, struct span s) {
    must(s.len == 0 || s.data != NULL);
    buf_printf(out, "%zu ", s.len);
    buf_append(out, s.data, s.len);
    buf_putc(out, '\n');
}

static void check_headers(const struct h1_request *r) {
    static char *listed[] = {"https://a.example", "*"};
    const struct origin_policy policy = {listed, 2, NULL, 0};
    struct fields fields = {0};
    origin_put_cors(&policy, h1_request_view(r), &fields);
    must(fields.len == 1 || fields.len == 3 || fields.len == 4);
    for (size_t i = 0; i < fields.len; i++)
        for (size_t at = 0; at < fields.list[i].value.len; at++)
            must((unsigned char)fields.list[i].value.data[at] >= ' ');
}

/* Everything that can be seen of @r. */
static void describe(const struct h1_request *r, struct buf *out) {
    const char *why = "";
    int status = h1_request_state(r) == H1_REQUEST_FAILED ? h1_request_failure(r, &why) : 0;
    must(strlen(why) > 0 || status == 0);
    buf_printf(out, "state %d %d %s\n", (int)h1_request_state(r), status, why);
    if (h1_request_state(r) == H1_REQUEST_HEAD)
        return;
    check_headers(r);
    put_span(out, request_header(h1_request_view(r), "Host"));
    put_span(out, request_header(h1_request_view(r), "Origin"));
    if (h1_request_state(r) == H1_REQUEST_FAILED)
        return;
    struct span path = h1_request_view(r)->path;
    must(path.len > 0 && memchr(path.data, '?', path.len) == NULL);
    must(path.data[0] == '/' || h1_request_view(r)->method == HTTP_METHOD_OTHER ||
         (path.data[0] == '*' && path.len == 1));
    must(h1_request_view(r)->body.len <= REQUEST_BODY_MAX_BYTES);
    must(h1_request_view(r)->method != HTTP_METHOD_OTHER || !h1_request_keep_alive(r));
    must(h1_request_is_http10(r) || request_header(h1_request_view(r), "Host").data != NULL);
    buf_printf(out, "%d %d %d %d %d %d %d\n", (int)h1_request_view(r)->method,
               h1_request_is_http10(r), h1_request_keep_alive(r), h1_request_expects_continue(r),
               h1_request_has_body(r),
               origin_may_publish(&(struct origin_policy){0}, h1_request_view(r)),
               origin_host_is_local(&(struct origin_policy){0}, h1_request_view(r)));
    put_span(out, path);
    put_span(out, h1_request_view(r)->query);
    put_span(out, h1_request_view(r)->body);
}

/* Read one request; returns how many bytes it took. */
static size_t read_one(struct h1_request *r, const char *data, size_t len, struct cutter *cutter) {
    size_t taken = 0;
    while (taken < len && wants_bytes(r)) {
        enum h1_request_state before = h1_request_state(r);
        size_t piece = next_piece(cutter, len - taken);
        size_t n = h1_request_feed(r, data + taken, piece);
        must(n > 0 && n <= piece);
        taken += n;
        /* It stops behind the head, so that a body can be refused unread. */
        must(n == piece || h1_request_state(r) != before);
    }
    return taken;
}

/* Read requests up to one that cannot be followed by another, and write down what they are. */
static void transcribe(const char *data, size_t len, struct cutter cutter, struct buf *out) {
    size_t taken = 0;
    bool more = true;
    while (more && taken < len) {
        struct h1_request *r = h1_request_new();
        taken += read_one(r, data + taken, len - taken, &cutter);
        describe(r, out);
        buf_printf(out, "taken %zu\n", taken);
        more = h1_request_state(r) == H1_REQUEST_DONE && h1_request_keep_alive(r);
        h1_request_free(r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t seed = 2166136261u;
    for (size_t i = 0; i < size; i++)
        seed = (seed ^ data[i]) * 16777619u;
    const struct cutter cutters[] = {{0, size}, {0, 1}, {seed | 1, 7}, {seed | 1, 400}};
    struct buf whole = BUF_INIT, cut = BUF_INIT;
    transcribe((const char *)data, size, cutters[0], &whole);
    for (size_t i = 1; i < sizeof(cutters) / sizeof(cutters[0]); i++) {
        buf_reset(&cut);
        transcribe((const char *)data, size, cutters[i], &cut);
        must(whole.len == cut.len &&
             (whole.len == 0 || memcmp(whole.data, cut.data, cut.len) == 0));
    }
    buf_fini(&whole);
    buf_fini(&cut);
    return 0;
}
