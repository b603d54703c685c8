/* Who may ask: CORS, publishing from a browser, the Host of a loopback listener. */
#include "relay/http/origin.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

/* A request with this Host and, unless NULL, this Origin. */
static struct request *request_of(const char *host, const char *origin) {
    char bytes[512];
    snprintf(bytes, sizeof(bytes), "POST / HTTP/1.1\r\nHost: %s\r\n%s%s\r\n\r\n", host,
             origin != NULL ? "Origin: " : "No-Origin: ", origin != NULL ? origin : "");
    struct request *r = request_new();
    assert_int_equal(request_feed(r, bytes, strlen(bytes)), strlen(bytes));
    assert_int_equal(request_state(r), REQUEST_DONE);
    return r;
}

static char *listed[] = {"https://a.example", "http://b.example:8080", "app://local"};
static char *anybody[] = {"*"};
static const struct origin_policy nobody = {NULL, 0, NULL, 0};
static const struct origin_policy some = {listed, 3, NULL, 0};
static const struct origin_policy all = {anybody, 1, NULL, 0};

typedef void (*put_fn)(const struct origin_policy *, const struct request *, struct buf *);

static void assert_puts(put_fn put, const struct origin_policy *p, const char *origin,
                        const char *expected) {
    struct request *r = request_of("relay.example", origin);
    struct buf headers = BUF_INIT;
    put(p, r, &headers);
    assert_string_equal(headers.data != NULL ? headers.data : "", expected);
    buf_fini(&headers);
    request_free(r);
}

static void a_listed_origin_may_read_with_credentials(void **state) {
    (void)state;
    assert_puts(origin_put_cors, &some, "https://a.example",
                "Vary: Origin\r\nAccess-Control-Allow-Origin: https://a.example\r\n"
                "Access-Control-Allow-Credentials: true\r\n"
                "Access-Control-Expose-Headers: Retry-After\r\n");
    assert_puts(origin_put_cors, &some, "app://local",
                "Vary: Origin\r\nAccess-Control-Allow-Origin: app://local\r\n"
                "Access-Control-Allow-Credentials: true\r\n"
                "Access-Control-Expose-Headers: Retry-After\r\n");
}

static void anybody_may_read_without_credentials(void **state) {
    (void)state;
    static const char expected[] = "Vary: Origin\r\nAccess-Control-Allow-Origin: *\r\n"
                                   "Access-Control-Expose-Headers: Retry-After\r\n";
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
        assert_puts(origin_put_preflight, &some, foreign[i], "");
    }
    assert_puts(origin_put_cors, &nobody, "https://a.example", "Vary: Origin\r\n");
    assert_puts(origin_put_cors, &all, NULL, "Vary: Origin\r\n");
    struct buf headers = BUF_INIT;
    origin_put_cors(&all, NULL, &headers);
    assert_string_equal(headers.data, "Vary: Origin\r\n");
    buf_fini(&headers);
}

static void a_preflight_says_what_is_allowed(void **state) {
    (void)state;
    static const char expected[] = "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"
                                   "Access-Control-Allow-Headers: Last-Event-ID, Content-Type, "
                                   "Authorization, Cache-Control\r\n"
                                   "Access-Control-Max-Age: 3600\r\n";
    assert_puts(origin_put_preflight, &some, "https://a.example", expected);
    assert_puts(origin_put_preflight, &all, "https://c.example", expected);
    assert_puts(origin_put_preflight, &all, NULL, "");
    assert_puts(origin_put_preflight, &nobody, "https://a.example", "");
}

static void assert_may_publish(const struct origin_policy *p, const char *host, const char *origin,
                               bool expected) {
    struct request *r = request_of(host, origin);
    if (origin_may_publish(p, r) != expected)
        fail_msg("Host: %s, Origin: %s", host, origin != NULL ? origin : "none");
    request_free(r);
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
    struct request *r = request_of(host, NULL);
    if (origin_host_is_local(p, r) != expected)
        fail_msg("Host: %s", host);
    request_free(r);
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
    struct request *r = request_new();
    request_feed(r, bytes, strlen(bytes));
    assert_true(origin_host_is_local(&nobody, r));
    assert_false(origin_may_publish(&nobody, r));
    request_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listed_origin_may_read_with_credentials),
        cmocka_unit_test(anybody_may_read_without_credentials),
        cmocka_unit_test(others_may_not_read),
        cmocka_unit_test(a_preflight_says_what_is_allowed),
        cmocka_unit_test(programs_and_the_own_page_may_publish),
        cmocka_unit_test(listed_origins_may_publish),
        cmocka_unit_test(names_of_this_machine_are_local),
        cmocka_unit_test(allowed_hosts_are_local_too),
        cmocka_unit_test(http10_without_a_host_is_local_and_nobodys_own),
    };
    return cmocka_run_group_tests_name("http/origin", tests, NULL, NULL);
}
