/* Who may ask: CORS, publishing from a browser, the Host of a loopback listener. */
#include "relay/http/origin.h"

#include <stdio.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/http/h1_request.h"
#include "tests/unit/unit.h"

/* A request with this Host and, unless NULL, this Origin. */
static struct h1_request *request_of(const char *host, const char *origin) {
    char bytes[512];
    snprintf(bytes, sizeof(bytes), "POST / HTTP/1.1\r\nHost: %s\r\n%s%s\r\n\r\n", host,
             origin != NULL ? "Origin: " : "No-Origin: ", origin != NULL ? origin : "");
    struct h1_request *r = h1_request_new();
    assert_int_equal(h1_request_feed(r, bytes, strlen(bytes)), strlen(bytes));
    assert_int_equal(h1_request_state(r), H1_REQUEST_DONE);
    return r;
}

static char *listed[] = {"https://a.example", "http://b.example:8080", "app://local"};
static char *anybody[] = {"*"};
static const struct origin_policy nobody = {NULL, 0, NULL, 0};
static const struct origin_policy some = {listed, 3, NULL, 0};
static const struct origin_policy all = {anybody, 1, NULL, 0};

typedef void (*put_fn)(const struct origin_policy *, const struct request *, struct fields *);

/* What @put adds, as lines. */
static void put_lines(put_fn put, const struct origin_policy *p, const struct request *r,
                      struct buf *lines) {
    struct fields fields = {0};
    put(p, r, &fields);
    buf_puts(lines, "");
    for (size_t i = 0; i < fields.len; i++)
        buf_printf(lines, "%s: %.*s\r\n", fields.list[i].name, (int)fields.list[i].value.len,
                   fields.list[i].value.data);
}

static void assert_puts(put_fn put, const struct origin_policy *p, const char *origin,
                        const char *expected) {
    struct h1_request *r = request_of("relay.example", origin);
    struct buf headers = BUF_INIT;
    put_lines(put, p, h1_request_view(r), &headers);
    assert_string_equal(headers.data != NULL ? headers.data : "", expected);
    buf_fini(&headers);
    h1_request_free(r);
}

static void put_preflight(const struct origin_policy *p, const struct request *r,
                          struct fields *fields) {
    origin_put_preflight(p, r, "GET, HEAD", fields);
}

static void a_listed_origin_may_read_with_credentials(void **state) {
    (void)state;
    assert_puts(origin_put_cors, &some, "https://a.example",
                "Vary: Origin\r\nAccess-Control-Allow-Origin: https://a.example\r\n"
                "Access-Control-Allow-Credentials: true\r\n"
                "Access-Control-Expose-Headers: Retry-After, WWW-Authenticate\r\n");
    assert_puts(origin_put_cors, &some, "app://local",
                "Vary: Origin\r\nAccess-Control-Allow-Origin: app://local\r\n"
                "Access-Control-Allow-Credentials: true\r\n"
                "Access-Control-Expose-Headers: Retry-After, WWW-Authenticate\r\n");
}

static void anybody_may_read_without_credentials(void **state) {
    (void)state;
    static const char expected[] =
        "Vary: Origin\r\nAccess-Control-Allow-Origin: *\r\n"
        "Access-Control-Expose-Headers: Retry-After, WWW-Authenticate\r\n";
    assert_puts(origin_put_cors, &all, "https://c.example", expected);
    assert_puts(origin_put_cors, &all, "null", expected);
}

static void others_may_not_read(void **state) {
    (void)state;
    static const char *const foreign[] = {
        "https://c.example",
        "http://a.example",
        "https://a.example:444",
        "https://a.example.evil",
        "https://xa.example",
        "https://a.example@evil",
        "https://b.example:8080",
        "http://b.example",
        "null",
        "https://a.example/",
        "*",
        "",
        "https://a.example, https://a.example",
    };
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        assert_puts(origin_put_cors, &some, foreign[i], "Vary: Origin\r\n");
        assert_puts(put_preflight, &some, foreign[i], "");
    }
    assert_puts(origin_put_cors, &nobody, "https://a.example", "Vary: Origin\r\n");
    assert_puts(origin_put_cors, &all, NULL, "Vary: Origin\r\n");
    struct buf headers = BUF_INIT;
    put_lines(origin_put_cors, &all, NULL, &headers);
    assert_string_equal(headers.data, "Vary: Origin\r\n");
    buf_fini(&headers);
}

static void a_preflight_says_what_is_allowed(void **state) {
    (void)state;
    static const char expected[] = "Access-Control-Allow-Methods: GET, HEAD\r\n"
                                   "Access-Control-Max-Age: 7200\r\n";
    assert_puts(put_preflight, &some, "https://a.example", expected);
    assert_puts(put_preflight, &all, "https://c.example", expected);
    assert_puts(put_preflight, &all, NULL, "");
    assert_puts(put_preflight, &nobody, "https://a.example", "");
}

/* What a page asks for, it may send: there is no list that anybody would have to keep up to date.
 */
static void a_preflight_allows_the_headers_that_are_asked_for(void **state) {
    (void)state;
    static const struct {
        const char *asked, *allowed; /* NULL: none */
    } cases[] = {{"last-event-id,traceparent,baggage,sentry-trace,x-requested-with",
                  "last-event-id,traceparent,baggage,sentry-trace,x-requested-with"},
                 {"datastar-request, idempotency-key", "datastar-request, idempotency-key"},
                 {"", NULL},
                 {"a;b", NULL},
                 {"a: b", NULL},
                 {"\"a\"", NULL},
                 {"a\xc3\xa4", NULL}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf bytes = BUF_INIT, headers = BUF_INIT, expected = BUF_INIT;
        buf_printf(&bytes,
                   "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n"
                   "Access-Control-Request-Headers: %s\r\n\r\n",
                   cases[i].asked);
        struct h1_request *r = h1_request_new();
        h1_request_feed(r, bytes.data, bytes.len);
        assert_int_equal(h1_request_state(r), H1_REQUEST_DONE);
        put_lines(put_preflight, &some, h1_request_view(r), &headers);
        buf_puts(&expected, "Access-Control-Allow-Methods: GET, HEAD\r\n");
        if (cases[i].allowed != NULL)
            buf_printf(&expected, "Access-Control-Allow-Headers: %s\r\n", cases[i].allowed);
        buf_puts(&expected, "Access-Control-Max-Age: 7200\r\n");
        assert_string_equal(headers.data, expected.data);
        buf_reset(&headers);
        put_lines(put_preflight, &nobody, h1_request_view(r), &headers);
        assert_int_equal(headers.len, 0);
        buf_fini(&bytes);
        buf_fini(&headers);
        buf_fini(&expected);
        h1_request_free(r);
    }
}

static void assert_may_publish(const struct origin_policy *p, const char *host, const char *origin,
                               bool expected) {
    struct h1_request *r = request_of(host, origin);
    if (origin_may_publish(p, h1_request_view(r)) != expected)
        fail_msg("Host: %s, Origin: %s", host, origin != NULL ? origin : "none");
    h1_request_free(r);
}

static void programs_and_the_own_page_may_publish(void **state) {
    (void)state;
    assert_may_publish(&nobody, "a.example", NULL, true);
    assert_may_publish(&nobody, "a.example", "https://a.example", true);
    assert_may_publish(&nobody, "a.example", "http://A.Example", true);
    assert_may_publish(&nobody, "a.example:443", "https://a.example", true);
    assert_may_publish(&nobody, "a.example", "http://a.example:80", true);
    assert_may_publish(&nobody, "a.example:8080", "http://a.example:8080", true);
    assert_may_publish(&nobody, "[::1]:8080", "http://[::1]:8080", true);
    assert_may_publish(&nobody, "a.example", "null", false);
    assert_may_publish(&nobody, "a.example", "", false);
    assert_may_publish(&nobody, "a.example", "https://b.example", false);
    assert_may_publish(&nobody, "a.example:8080", "http://a.example", false);
    assert_may_publish(&nobody, "a.example:8080", "http://a.example:8081", false);
    assert_may_publish(&nobody, "a.example:80", "https://a.example", false);
    assert_may_publish(&nobody, "a.example", "app://a.example", false);
    assert_may_publish(&nobody, "", "http://", false);
}

static void listed_origins_may_publish(void **state) {
    (void)state;
    assert_may_publish(&some, "relay.example", "https://a.example:443", true);
    assert_may_publish(&some, "relay.example", "https://c.example", false);
    assert_may_publish(&all, "relay.example", "https://c.example", true);
    assert_may_publish(&all, "relay.example", "null", false);
}

static void assert_local(const struct origin_policy *p, const char *host, bool expected) {
    struct h1_request *r = request_of(host, NULL);
    if (origin_host_is_local(p, h1_request_view(r)) != expected)
        fail_msg("Host: %s", host);
    h1_request_free(r);
}

static void names_of_this_machine_are_local(void **state) {
    (void)state;
    static const char *const local[] = {"localhost", "LocalHost:8080", "a.localhost",
                                        "127.0.0.1", "127.0.0.1:80",   "127.255.0.9",
                                        "[::1]",     "[::1]:8080",     "[0:0:0:0:0:0:0:1]"};
    static const char *const foreign[] = {
        "a.example",      "xlocalhost", ".localhost.evil", "localhost.evil",
        "127.0.0.1.evil", "128.0.0.1",  "127.1",           "0.0.0.0",
        "[::2]",          "",           "10.0.0.1",        ".localhost"};
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        assert_local(&nobody, local[i], true);
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        assert_local(&nobody, foreign[i], false);
}

static void allowed_hosts_are_local_too(void **state) {
    (void)state;
    char *names[] = {"Relay.example"};
    struct origin_policy p = {NULL, 0, names, 1};
    assert_local(&p, "relay.example", true);
    assert_local(&p, "RELAY.EXAMPLE:8080", true);
    assert_local(&p, "x.relay.example", false);
}

static void http10_without_a_host_is_local_and_nobodys_own(void **state) {
    (void)state;
    static const char bytes[] = "GET / HTTP/1.0\r\nOrigin: http://a.example\r\n\r\n";
    struct h1_request *r = h1_request_new();
    h1_request_feed(r, bytes, strlen(bytes));
    assert_true(origin_host_is_local(&nobody, h1_request_view(r)));
    assert_false(origin_may_publish(&nobody, h1_request_view(r)));
    h1_request_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listed_origin_may_read_with_credentials),
        cmocka_unit_test(anybody_may_read_without_credentials),
        cmocka_unit_test(others_may_not_read),
        cmocka_unit_test(a_preflight_says_what_is_allowed),
        cmocka_unit_test(a_preflight_allows_the_headers_that_are_asked_for),
        cmocka_unit_test(programs_and_the_own_page_may_publish),
        cmocka_unit_test(listed_origins_may_publish),
        cmocka_unit_test(names_of_this_machine_are_local),
        cmocka_unit_test(allowed_hosts_are_local_too),
        cmocka_unit_test(http10_without_a_host_is_local_and_nobodys_own),
    };
    return cmocka_run_group_tests_name("http/origin", tests, NULL, NULL);
}
