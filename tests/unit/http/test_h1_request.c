/* Requests: what is read, what is refused, and that neither depends on how the bytes were cut. */
#include "relay/http/h1_request.h"

#include <stdio.h>
#include <string.h>

#include "relay/base/buf.h"
#include "tests/unit/unit.h"

#define HOST "Host: a.example\r\n"

/* Feed pieces of @step bytes until the request is complete, refused, or out of bytes; returns how
 * many bytes it took. */
static size_t feed(struct h1_request *r, const char *bytes, size_t len, size_t step) {
    size_t taken = 0;
    while (taken < len &&
           (h1_request_state(r) == H1_REQUEST_HEAD || h1_request_state(r) == H1_REQUEST_BODY)) {
        size_t n = len - taken < step ? len - taken : step;
        size_t more = h1_request_feed(r, bytes + taken, n);
        assert_in_range(more, 1, n);
        taken += more;
    }
    return taken;
}

static void assert_same_span(struct span a, struct span b) {
    assert_int_equal(a.len, b.len);
    if (a.len > 0)
        assert_memory_equal(a.data, b.data, a.len);
}

static void assert_same(const struct h1_request *a, const struct h1_request *b) {
    assert_int_equal(h1_request_state(a), h1_request_state(b));
    assert_int_equal(h1_request_view(a)->method, h1_request_view(b)->method);
    assert_int_equal(h1_request_keep_alive(a), h1_request_keep_alive(b));
    assert_same_span(h1_request_view(a)->path, h1_request_view(b)->path);
    assert_same_span(h1_request_view(a)->query, h1_request_view(b)->query);
    assert_same_span(h1_request_view(a)->body, h1_request_view(b)->body);
    if (h1_request_state(a) == H1_REQUEST_FAILED) {
        const char *why_a, *why_b;
        assert_int_equal(h1_request_failure(a, &why_a), h1_request_failure(b, &why_b));
        assert_ptr_equal(why_a, why_b);
    }
}

/* Feed the bytes whole, and once more cut at every byte. @rest is what it did not take. */
static struct h1_request *read_bytes(const char *bytes, size_t len, size_t *rest) {
    struct h1_request *whole = h1_request_new(), *cut = h1_request_new();
    size_t taken = feed(whole, bytes, len, len);
    assert_int_equal(feed(cut, bytes, len, 1), taken);
    assert_same(whole, cut);
    h1_request_free(cut);
    *rest = len - taken;
    return whole;
}

static struct h1_request *read_complete(const char *bytes, size_t *rest) {
    struct h1_request *r = read_bytes(bytes, strlen(bytes), rest);
    if (h1_request_state(r) == H1_REQUEST_FAILED) {
        const char *why;
        int status = h1_request_failure(r, &why);
        fail_msg("%d %s: %s", status, why, bytes);
    }
    assert_int_equal(h1_request_state(r), H1_REQUEST_DONE);
    return r;
}

static void assert_refuses_bytes(const char *bytes, size_t len, int status, const char *part) {
    size_t rest;
    const char *why = "accepted";
    struct h1_request *r = read_bytes(bytes, len, &rest);
    int got = h1_request_state(r) == H1_REQUEST_FAILED ? h1_request_failure(r, &why) : 0;
    if (got != status || strstr(why, part) == NULL)
        fail_msg("%d \"%s\" instead of %d \"%s\": %.*s", got, why, status, part, (int)len, bytes);
    h1_request_free(r);
}

static void assert_refuses(const char *bytes, int status, const char *part) {
    assert_refuses_bytes(bytes, strlen(bytes), status, part);
}

/* A refusal of a header line in an otherwise good head. */
static void assert_refuses_header(const char *line, int status, const char *part) {
    char bytes[1024];
    snprintf(bytes, sizeof(bytes), "POST / HTTP/1.1\r\n" HOST "%s\r\n\r\n", line);
    assert_refuses(bytes, status, part);
}

static void assert_span(struct span s, const char *expected) {
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.data, expected, s.len);
}

static void a_get_shows_its_parts(void **state) {
    (void)state;
    size_t rest;
    struct h1_request *r =
        read_complete("GET /sse?topic=a&x HTTP/1.1\r\n" HOST
                      "Last-Event-ID: \t x y \t\r\nEmpty:\r\nTwice: 1\r\ntwice: 2"
                      "\r\n\r\nGET /next",
                      &rest);
    assert_int_equal(rest, strlen("GET /next"));
    assert_int_equal(h1_request_view(r)->method, HTTP_METHOD_GET);
    assert_span(h1_request_view(r)->path, "/sse");
    assert_span(h1_request_view(r)->query, "topic=a&x");
    assert_span(request_header(h1_request_view(r), "host"), "a.example");
    assert_span(request_header(h1_request_view(r), "last-event-id"), "x y");
    assert_span(request_header(h1_request_view(r), "Empty"), "");
    assert_non_null(request_header(h1_request_view(r), "Empty").data);
    assert_span(request_header(h1_request_view(r), "TWICE"), "1");
    assert_null(request_header(h1_request_view(r), "twic").data);
    assert_int_equal(h1_request_view(r)->body.len, 0);
    assert_false(h1_request_is_http10(r));
    assert_true(h1_request_keep_alive(r));
    assert_false(h1_request_has_body(r));
    assert_false(h1_request_expects_continue(r));
    h1_request_free(r);
}

static void methods_that_are_not_served_are_other(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum http_method method;
    } methods[] = {{"GET", HTTP_METHOD_GET},
                   {"HEAD", HTTP_METHOD_HEAD},
                   {"POST", HTTP_METHOD_POST},
                   {"OPTIONS", HTTP_METHOD_OPTIONS},
                   {"PUT", HTTP_METHOD_OTHER},
                   {"DELETE", HTTP_METHOD_OTHER},
                   {"get", HTTP_METHOD_OTHER},
                   {"GETS", HTTP_METHOD_OTHER},
                   {"CONNECT", HTTP_METHOD_OTHER},
                   {"PRI", HTTP_METHOD_OTHER},
                   {"DESCRIBE", HTTP_METHOD_OTHER},
                   {"BREW", HTTP_METHOD_OTHER},
                   {"!#$%&'*+-.^_`|~", HTTP_METHOD_OTHER}};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char bytes[128];
        size_t rest;
        snprintf(bytes, sizeof(bytes), "%s /sse?a HTTP/1.1\r\n" HOST "\r\n", methods[i].name);
        struct h1_request *r = read_complete(bytes, &rest);
        assert_int_equal(h1_request_view(r)->method, methods[i].method);
        assert_span(h1_request_view(r)->path, "/sse");
        assert_int_equal(h1_request_keep_alive(r), methods[i].method != HTTP_METHOD_OTHER);
        h1_request_free(r);
    }
}

static void other_methods_end_behind_their_head(void **state) {
    (void)state;
    size_t rest;
    struct h1_request *r =
        read_complete("PUT /sse HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\nabc", &rest);
    assert_int_equal(rest, 3);
    assert_false(h1_request_keep_alive(r));
    h1_request_free(r);
    r = read_complete("CONNECT a.example:443 HTTP/1.1\r\n" HOST "\r\nabc", &rest);
    assert_int_equal(rest, 3);
    assert_span(h1_request_view(r)->path, "a.example:443");
    h1_request_free(r);
}

static void targets_have_four_forms(void **state) {
    (void)state;
    static const char *const good[][4] = {
        {"GET", "/", "/", ""},
        {"GET", "/?", "/", ""},
        {"GET", "/a%20b?c=%ff?d", "/a%20b", "c=%ff?d"},
        {"GET", "//a/..?x|{}^`\"\\<>", "//a/..", "x|{}^`\"\\<>"},
        {"GET", "http://a.example/x?y", "/x", "y"},
        {"GET", "HTTPS://A.Example", "/", ""},
        {"GET", "http://a.example?y/z", "/", "y/z"},
        {"OPTIONS", "*", "*", ""},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char bytes[256];
        size_t rest;
        snprintf(bytes, sizeof(bytes), "%s %s HTTP/1.1\r\n" HOST "\r\n", good[i][0], good[i][1]);
        struct h1_request *r = read_complete(bytes, &rest);
        assert_span(h1_request_view(r)->path, good[i][2]);
        assert_span(h1_request_view(r)->query, good[i][3]);
        h1_request_free(r);
    }
    assert_refuses("GET * HTTP/1.1\r\n" HOST "\r\n", 400, "neither a path");
    assert_refuses("GET sse HTTP/1.1\r\n" HOST "\r\n", 400, "neither a path");
    assert_refuses("GET a.example:80 HTTP/1.1\r\n" HOST "\r\n", 400, "neither a path");
    assert_refuses("GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n", 400, "neither a path");
    assert_refuses("GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400, "neither a path");
    assert_refuses("GET http://u@a.example/ HTTP/1.1\r\n" HOST "\r\n", 400, "neither a path");
    assert_refuses("GET http://b.example/ HTTP/1.1\r\n" HOST "\r\n", 400, "different hosts");
    assert_refuses("GET /#x", 400, "%XX");
    assert_refuses("GET /gr\xc3", 400, "%XX");
}

static void connections_are_kept_as_the_client_says(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        bool kept;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t rest;
        struct h1_request *r = read_complete(cases[i].bytes, &rest);
        assert_int_equal(h1_request_keep_alive(r), cases[i].kept);
        h1_request_free(r);
    }
}

static void an_offered_upgrade_is_ignored(void **state) {
    (void)state;
    size_t rest;
    struct h1_request *r =
        read_complete("GET / HTTP/1.1\r\n" HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: "
                      "h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\nGET",
                      &rest);
    assert_int_equal(rest, 3);
    assert_true(h1_request_keep_alive(r));
    h1_request_free(r);
    r = read_complete("POST / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: websocket\r\n"
                      "Content-Length: 2\r\n\r\nabc",
                      &rest);
    assert_int_equal(rest, 1);
    assert_span(h1_request_view(r)->body, "ab");
    h1_request_free(r);
}

static void the_head_can_be_looked_at_before_the_body(void **state) {
    (void)state;
    static const char head[] =
        "POST /sse?topic=a HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
    struct h1_request *r = h1_request_new();
    assert_false(h1_request_has_begun(r));
    assert_int_equal(h1_request_feed(r, head, 0), 0);
    assert_false(h1_request_has_begun(r));
    assert_int_equal(h1_request_feed(r, head, 1), 1);
    assert_true(h1_request_has_begun(r));
    assert_int_equal(h1_request_state(r), H1_REQUEST_HEAD);
    assert_int_equal(h1_request_feed(r, head + 1, strlen(head) - 1), strlen(head) - 1);
    assert_int_equal(h1_request_state(r), H1_REQUEST_BODY);
    assert_int_equal(h1_request_view(r)->method, HTTP_METHOD_POST);
    assert_true(h1_request_expects_continue(r));
    assert_true(h1_request_has_body(r));
    assert_true(h1_request_keep_alive(r));
    assert_int_equal(h1_request_feed(r, "abcd", 4), 3);
    assert_int_equal(h1_request_state(r), H1_REQUEST_DONE);
    assert_int_equal(h1_request_feed(r, "d", 1), 0);
    h1_request_free(r);
}

static void http10_knows_no_continue_and_needs_no_host(void **state) {
    (void)state;
    size_t rest;
    struct h1_request *r = read_complete(
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", &rest);
    assert_true(h1_request_is_http10(r));
    assert_false(h1_request_expects_continue(r));
    h1_request_free(r);
}

static void bodies_end_where_they_say(void **state) {
    (void)state;
    static const struct {
        const char *headers;
        const char *sent;
        const char *body;
        size_t rest;
    } cases[] = {
        {"Content-Length: 0\r\n", "x", "", 1},
        {"Content-Length: 003\r\n", "abcPOST", "abc", 4},
        {"Transfer-Encoding: chunked\r\n", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nGET",
         "abc0123456789", 3},
        {"transfer-encoding: Chunked\r\n", "0\r\nX: y\r\n\r\n\r\n", "", 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char bytes[256];
        size_t rest;
        /* A GET may have a body too. */
        snprintf(bytes, sizeof(bytes), "%s / HTTP/1.1\r\n" HOST "%s\r\n%s",
                 i % 2 == 0 ? "POST" : "GET", cases[i].headers, cases[i].sent);
        struct h1_request *r = read_complete(bytes, &rest);
        assert_span(h1_request_view(r)->body, cases[i].body);
        assert_int_equal(rest, cases[i].rest);
        h1_request_free(r);
    }
}

static void lengths_that_could_be_read_twice_are_refused(void **state) {
    (void)state;
    assert_refuses_header("Content-Length: 3\r\nTransfer-Encoding: chunked", 400, "both");
    assert_refuses_header("Transfer-Encoding: chunked\r\nContent-Length: 3", 400, "both");
    assert_refuses_header("Content-Length: 3\r\nContent-Length: 3", 400, "more than one Content");
    assert_refuses_header("Content-Length: 3\r\ncontent-length: 4", 400, "more than one Content");
    static const char *const bad[] = {"",    "-1",  "+1",  "1.0",   "0x1",  "1,1", "1, 1",
                                      "1 1", "ten", "1e1", "\"1\"", "\xb2", "1;"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "Content-Length: %s", bad[i]);
        assert_refuses_header(line, 400, "not a number");
    }
    assert_refuses_header("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400,
                          "more than one Transfer");
    static const char *const unknown[] = {"gzip",  "gzip, chunked",    "chunked, gzip", "identity",
                                          "",      "chunked, chunked", "chunked;x",     "xchunked",
                                          "chunke"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "Transfer-Encoding: %s", unknown[i]);
        assert_refuses_header(line, 501, "chunked");
    }
    assert_refuses("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "HTTP/1.0");
    assert_refuses("PUT / HTTP/1.1\r\n" HOST "Content-Length: x\r\n\r\n", 400, "not a number");
}

static void one_host_is_needed(void **state) {
    (void)state;
    assert_refuses("GET / HTTP/1.1\r\n\r\n", 400, "no Host");
    assert_refuses("PUT / HTTP/1.1\r\n\r\n", 400, "no Host");
    assert_refuses_header("Host: a.example", 400, "more than one Host");
    assert_refuses("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "more than one Host");
    assert_refuses("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "not a host");
    assert_refuses("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "not a host");
    assert_refuses("GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", 400, "not a host");
}

static void bodies_over_a_mebibyte_are_refused(void **state) {
    (void)state;
    assert_refuses_header("Content-Length: 1048577", 413, "1 MiB");
    assert_refuses_header("Content-Length: 18446744073709551616", 413, "1 MiB");
    assert_refuses_header("Content-Length: 99999999999999999999999999999999999999", 413, "1 MiB");
    assert_refuses("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n100001", 413,
                   "1 MiB");
}

/* Read a request with a body of @len bytes in pieces of an odd size. */
static void assert_takes_body(const char *before, size_t len, const char *after) {
    struct buf bytes = BUF_INIT;
    buf_puts(&bytes, "POST / HTTP/1.1\r\n" HOST);
    buf_puts(&bytes, before);
    memset(buf_reserve(&bytes, len), 'x', len);
    bytes.len += len;
    buf_puts(&bytes, after);
    struct h1_request *r = h1_request_new();
    assert_int_equal(feed(r, bytes.data, bytes.len, 65521), bytes.len);
    assert_int_equal(h1_request_state(r), H1_REQUEST_DONE);
    assert_int_equal(h1_request_view(r)->body.len, len);
    assert_int_equal(h1_request_view(r)->body.data[len - 1], 'x');
    h1_request_free(r);
    buf_fini(&bytes);
}

static void bodies_of_a_mebibyte_are_taken(void **state) {
    (void)state;
    assert_takes_body("Content-Length: 1048576\r\n\r\n", REQUEST_BODY_MAX_BYTES, "");
    assert_takes_body("Transfer-Encoding: chunked\r\n\r\n100000\r\n", REQUEST_BODY_MAX_BYTES,
                      "\r\n0\r\n\r\n");
}

static void an_error_knows_the_headers_before_it(void **state) {
    (void)state;
    size_t rest;
    static const char bytes[] =
        "POST / HTTP/1.1\r\n" HOST "Origin: https://b.example\r\nContent-Length: 1048577\r\n\r\n";
    struct h1_request *r = read_bytes(bytes, strlen(bytes), &rest);
    assert_int_equal(h1_request_state(r), H1_REQUEST_FAILED);
    assert_span(request_header(h1_request_view(r), "Origin"), "https://b.example");
    h1_request_free(r);
    r = read_bytes("GET / HTTP/1.1\r\nOrigin: a\r\nOrigi\n", 34, &rest);
    assert_int_equal(h1_request_state(r), H1_REQUEST_FAILED);
    assert_span(request_header(h1_request_view(r), "Origin"), "a");
    assert_null(request_header(h1_request_view(r), "Origi").data);
    h1_request_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_shows_its_parts),
        cmocka_unit_test(methods_that_are_not_served_are_other),
        cmocka_unit_test(other_methods_end_behind_their_head),
        cmocka_unit_test(targets_have_four_forms),
        cmocka_unit_test(connections_are_kept_as_the_client_says),
        cmocka_unit_test(an_offered_upgrade_is_ignored),
        cmocka_unit_test(the_head_can_be_looked_at_before_the_body),
        cmocka_unit_test(http10_knows_no_continue_and_needs_no_host),
        cmocka_unit_test(bodies_end_where_they_say),
        cmocka_unit_test(lengths_that_could_be_read_twice_are_refused),
        cmocka_unit_test(one_host_is_needed),
        cmocka_unit_test(bodies_over_a_mebibyte_are_refused),
        cmocka_unit_test(bodies_of_a_mebibyte_are_taken),
        cmocka_unit_test(an_error_knows_the_headers_before_it),
    };
    return cmocka_run_group_tests_name("http/request", tests, NULL, NULL);
}
