/* URLs of Redis: every form that is read, and a sentence without the secret for every other. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/redis/url.h"
#include "tests/unit/unit.h"

struct good {
    const char *text;
    struct redis_url url;
    const char *described;
};

static void assert_text(const char *got, const char *wanted) {
    if (wanted == NULL)
        assert_null(got);
    else
        assert_string_equal(got, wanted);
}

static void check_good(const struct good *g) {
    struct redis_url url;
    struct buf described = BUF_INIT;
    const char *why;
    assert_int_equal(redis_url_parse(g->text, &url, &why), RELAY_OK);
    assert_text(url.host, g->url.host);
    assert_text(url.path, g->url.path);
    assert_text(url.user, g->url.user);
    assert_text(url.password, g->url.password);
    assert_int_equal(url.port, g->url.port);
    assert_int_equal(url.db, g->url.db);
    redis_url_describe(&url, &described);
    assert_string_equal(described.data, g->described);
    buf_fini(&described);
    redis_url_fini(&url);
    assert_null(url.password);
}

static void test_tcp(void **state) {
    (void)state;
    static const struct good urls[] = {
        {"redis://h", {.host = "h", .port = 6379}, "redis://h:6379"},
        {"valkey://h:1/2", {.host = "h", .port = 1, .db = 2}, "redis://h:1/2"},
        {"redis://h/", {.host = "h", .port = 6379}, "redis://h:6379"},
        {"redis://h:1", {.host = "h", .port = 1}, "redis://h:1"},
        {"redis://h:65535/15", {.host = "h", .port = 65535, .db = 15}, "redis://h:65535/15"},
        {"redis://127.0.0.1?db=3",
         {.host = "127.0.0.1", .port = 6379, .db = 3},
         "redis://127.0.0.1:6379/3"},
        {"redis://[::1]", {.host = "::1", .port = 6379}, "redis://[::1]:6379"},
        {"redis://[fe80::1%25eth0]:7",
         {.host = "fe80::1%eth0", .port = 7},
         "redis://[fe80::1%eth0]:7"},
        {"redis://[::1]:7/2", {.host = "::1", .port = 7, .db = 2}, "redis://[::1]:7/2"},
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        check_good(&urls[i]);
}

static void test_secrets(void **state) {
    (void)state;
    static const struct good urls[] = {
        {"redis://:pw@h", {.host = "h", .port = 6379, .password = "pw"}, "redis://h:6379"},
        {"redis://me:pw@h:1/2",
         {.host = "h", .port = 1, .db = 2, .user = "me", .password = "pw"},
         "redis://h:1/2"},
        {"redis://:p@w@h", {.host = "h", .port = 6379, .password = "p@w"}, "redis://h:6379"},
        {"redis://:a%2Fb%3a%25c@h",
         {.host = "h", .port = 6379, .password = "a/b:%c"},
         "redis://h:6379"},
        {"redis://:a#b@h", {.host = "h", .port = 6379, .password = "a#b"}, "redis://h:6379"},
        {"redis://:a%40%3A%2F%23%3F@h",
         {.host = "h", .port = 6379, .password = "a@:/#?"},
         "redis://h:6379"},
        {"redis://:a:b@h", {.host = "h", .port = 6379, .password = "a:b"}, "redis://h:6379"},
        {"redis://:@h", {.host = "h", .port = 6379, .password = ""}, "redis://h:6379"},
        {"redis://h?user=me&password=p%26w",
         {.host = "h", .port = 6379, .user = "me", .password = "p&w"},
         "redis://h:6379"},
        {"unix:/s?password=pw&db=4",
         {.path = "/s", .port = 6379, .db = 4, .password = "pw"},
         "unix:/s?db=4"},
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        check_good(&urls[i]);
}

static void test_unix(void **state) {
    (void)state;
    static const struct good urls[] = {
        {"unix:/run/redis.sock", {.path = "/run/redis.sock", .port = 6379}, "unix:/run/redis.sock"},
        {"unix:///run/r", {.path = "/run/r", .port = 6379}, "unix:/run/r"},
        {"redis+unix:///run/r?db=1", {.path = "/run/r", .port = 6379, .db = 1}, "unix:/run/r?db=1"},
        {"unix:/a%20b", {.path = "/a b", .port = 6379}, "unix:/a b"},
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        check_good(&urls[i]);
}

struct bad {
    const char *text;
    const char *why; /* a part of the sentence */
};

/* Every text with a secret has this one. */
#define SECRET "hunter2"

static void check_bad(const struct bad *b) {
    struct redis_url url = {.port = 77};
    const char *why = NULL;
    assert_int_equal(redis_url_parse(b->text, &url, &why), RELAY_EINVAL);
    assert_non_null(strstr(why, b->why));
    assert_null(strstr(why, SECRET));
    assert_int_equal(url.port, 77); /* changed on success only */
}

static void test_refused(void **state) {
    (void)state;
    char long_path[300] = "unix:/";
    memset(long_path + 6, 'p', 200);
    const struct bad urls[] = {
        {"", "does not begin"},
        {"localhost:6379", "does not begin"},
        {"http://" SECRET "@h", "does not begin"},
        {"rediss://:" SECRET "@h", "TLS"},
        {"redis-sentinel://:" SECRET "@h", "Sentinel"},
        {"redis://", "no host"},
        {"redis://:" SECRET "@", "no host"},
        {"redis://:6379", "no host"},
        {"redis://h:", "port"},
        {"redis://h:0", "port"},
        {"redis://h:65536", "port"},
        {"redis://h:12345678901234567890", "port"},
        {"redis://h:6379x", "port"},
        {"redis://:" SECRET "/x@h", "percent-encoded"}, /* an unescaped slash in a password */
        {"redis://:1/" SECRET "@h", "percent-encoded"},
        {"redis://me:" SECRET "?@h", "percent-encoded"},
        {"valkey://:?" SECRET "@h", "percent-encoded"},
        {"valkeys://h", "TLS"},
        {"redis+sentinel://h", "Sentinel"},
        {"redis://h/x", "database"},
        {"redis://h/-1", "database"},
        {"redis://h/0/1", "database"},
        {"redis://h?db=", "database"},
        {"redis://[::1", "IPv6"},
        {"redis://[::1]6379", "IPv6"},
        {"redis://me@h", "user without a password"},
        {"redis://h?user=me", "user without a password"},
        {"redis://:" SECRET "%@h", "%25"},
        {"redis://:" SECRET "%4@h", "%"},
        {"redis://:" SECRET "%zz@h", "%"},
        {"redis://:" SECRET "%00@h", "%"},
        {"redis://h?passwort=" SECRET, "parameter"},
        {"unix:", "absolute path"},
        {"unix:relative", "absolute path"},
        {"unix://host/path", "absolute path"},
        {"unix:/s?x", "parameter"},
        {long_path, "too long"},
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        check_bad(&urls[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
