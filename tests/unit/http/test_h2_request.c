/* A request of HTTP/2: from fields to what routing sees, and what is refused. */
#include "relay/http/h2_request.h"

#include <string.h>

#include "relay/http/authority.h"
#include "tests/unit/unit.h"

static void field(struct h2_request *r, const char *name, const char *value) {
    h2_request_field(r, span_of(name), span_of(value));
}

/* A GET of @path with @more, pairs that end with NULL. */
static struct h2_request *request(const char *path, const char *const *more) {
    struct h2_request *r = h2_request_new();
    field(r, ":method", "GET");
    field(r, ":scheme", "http");
    field(r, ":path", path);
    for (; more != NULL && *more != NULL; more += 2)
        field(r, more[0], more[1]);
    h2_request_head(r);
    return r;
}

static void assert_span(struct span s, const char *text) {
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.data, text, s.len);
}

static void assert_refused(struct h2_request *r, int status) {
    assert_non_null(r->fault);
    assert_int_equal(r->fault->status, status);
    h2_request_free(r);
}

static const char *const authority[] = {":authority", "localhost:8080", NULL};

static void test_whole(void **state) {
    const char *const more[] = {
        ":authority", "localhost:8080", "last-event-id",  "x.1.a-0", "cookie", "a=1", "cookie",
        "b=2",        "host",           "LOCALHOST:8080", NULL};
    struct h2_request *r = request("/sse?topic=a", more);
    struct span value;
    (void)state;
    assert_null(r->fault);
    assert_int_equal(r->view.method, HTTP_METHOD_GET);
    assert_span(r->view.path, "/sse");
    assert_span(r->view.query, "topic=a");
    assert_span(request_header(&r->view, "Last-Event-ID"), "x.1.a-0");
    assert_span(request_header(&r->view, "Cookie"), "a=1; b=2");
    assert_int_equal(request_fields(&r->view, "Host", &value), 1);
    assert_span(value, "localhost:8080");
    assert_true(h2_request_body(r, "ab", 2) && h2_request_body(r, "c", 1));
    assert_span(r->view.body, "abc");
    h2_request_free(r);
}

static void test_host(void **state) {
    const char *const host[] = {"host", "localhost", NULL};
    const char *const other[] = {":authority", "localhost", "host", "other", NULL};
    const char *const user[] = {":authority", "me@localhost", NULL};
    (void)state;
    struct h2_request *r = request("/", host); /* enough by RFC 9113, section 8.3.1 */
    assert_null(r->fault);
    h2_request_free(r);
    assert_refused(request("/", NULL), 400);
    assert_refused(request("/", other), 400);
    assert_refused(request("/", user), 400);
}

/* The bytes move as fields come, also those of a pseudo-header; the Host that was there is compared
 * where they are now. */
static void test_bytes_that_move(void **state) {
    static char path[8 * 1024];
    struct h2_request *r = h2_request_new();
    (void)state;
    memset(path, 'p', sizeof(path) - 1);
    path[0] = '/';
    field(r, ":method", "GET");
    field(r, ":authority", "localhost");
    field(r, ":path", path);
    field(r, "host", "localhost");
    h2_request_head(r);
    assert_null(r->fault);
    assert_span(r->view.path, path);
    h2_request_free(r);
}

static void test_target(void **state) {
    (void)state;
    assert_refused(request("/a b", authority), 400);
    assert_refused(request("/a#b", authority), 400);
    assert_refused(request("/\xc3\xbc", authority), 400);
}

/* CONNECT has no path; its authority is none of ours. */
static void test_connect(void **state) {
    struct h2_request *r = h2_request_new();
    (void)state;
    field(r, ":method", "CONNECT");
    field(r, ":authority", "there.example:443");
    h2_request_head(r);
    assert_null(r->fault);
    assert_int_equal(r->view.method, HTTP_METHOD_OTHER);
    assert_span(r->view.path, "there.example:443");
    h2_request_free(r);
}

/* Each of a list's fields counts 32 bytes more than it has. */
static void test_limits(void **state) {
    static char large[REQUEST_HEAD_MAX_BYTES + 1];
    (void)state;
    struct h2_request *r = h2_request_new();
    size_t fixed = 7 + 3 + 5 + 1 + 10 + 9 + 1 + 4 * 32; /* :method :path :authority x */
    field(r, ":method", "GET");
    field(r, ":path", "/");
    field(r, ":authority", "localhost");
    memset(large, 'v', REQUEST_HEAD_MAX_BYTES - fixed);
    field(r, "x", large);
    h2_request_head(r);
    assert_null(r->fault);
    field(r, "y", "");
    assert_refused(r, 431);
    const char *more[2 * REQUEST_MAX_HEADERS + 3] = {":authority", "localhost"};
    for (int i = 1; i <= REQUEST_MAX_HEADERS; i++) {
        more[2 * i] = "x";
        more[2 * i + 1] = "y";
    }
    assert_refused(request("/", more), 431);
}

static void test_body(void **state) {
    static char bytes[REQUEST_BODY_MAX_BYTES];
    const char *const long_one[] = {":authority", "localhost", "content-length", "1048577", NULL};
    (void)state;
    assert_refused(request("/", long_one), 413);
    struct h2_request *r = request("/", authority);
    assert_true(h2_request_body(r, bytes, sizeof(bytes)));
    assert_false(h2_request_body(r, "x", 1));
    assert_refused(r, 413);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_bytes_that_move),
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
