/* What an address to listen on, an origin, a host and a Redis URL may be. */
#include <stdio.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/config/check.h"
#include "relay/config/config.h"
#include "tests/unit/unit.h"

struct check_case {
    const char *value;
    const char *result; /* the value as it is kept; NULL: refused */
};

static void assert_checks(const char *(*check)(char *), const struct check_case *cases,
                          size_t len) {
    for (size_t i = 0; i < len; i++) {
        char value[300];
        snprintf(value, sizeof(value), "%s", cases[i].value);
        const char *wrong = check(value);
        if ((wrong == NULL) != (cases[i].result != NULL))
            fail_msg("\"%s\": %s", cases[i].value, wrong == NULL ? "accepted" : wrong);
        if (wrong == NULL)
            assert_string_equal(value, cases[i].result);
    }
}

#define ASSERT_CHECKS(check, cases) assert_checks(check, cases, sizeof(cases) / sizeof((cases)[0]))

static void test_addresses(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum listen_kind kind;
        const char *host, *path;
        unsigned port;
    } good[] = {
        {"127.0.0.1:8080", LISTEN_TCP, "127.0.0.1", NULL, 8080},
        {"relay.example:0", LISTEN_TCP, "relay.example", NULL, 0},
        {"[::1]:65535", LISTEN_TCP, "::1", NULL, 65535},
        {"[fe80::1%eth0]:80", LISTEN_TCP, "fe80::1%eth0", NULL, 80},
        {":8080", LISTEN_TCP, NULL, NULL, 8080},
        {"http://127.0.0.1:80/", LISTEN_TCP, "127.0.0.1", NULL, 80},
        {"https://:8443", LISTEN_TCP, NULL, NULL, 8443},
        {"https://[::1]:8443/", LISTEN_TCP, "::1", NULL, 8443},
        {"proxy+:8080", LISTEN_TCP, NULL, NULL, 8080},
        {"proxy+http://[::1]:80", LISTEN_TCP, "::1", NULL, 80},
        {"proxy+https://localhost:8443/", LISTEN_TCP, "localhost", NULL, 8443},
        {"proxy+unix:/run/relay.sock", LISTEN_UNIX, NULL, "/run/relay.sock", 0},
        {"unix:/run/relay.sock", LISTEN_UNIX, NULL, "/run/relay.sock", 0},
        {"unix:///run/relay.sock", LISTEN_UNIX, NULL, "/run/relay.sock", 0},
        {"unix:relay.sock", LISTEN_UNIX, NULL, "relay.sock", 0},
    };
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "has no port"},
        {"8080", "has no port"},
        {"localhost", "has no port"},
        {"[::1]", "has no port"},
        {"localhost:", "has no valid port (0 to 65535)"},
        {"localhost:65536", "has no valid port (0 to 65535)"},
        {"localhost:+80", "has no valid port (0 to 65535)"},
        {"localhost:000080", "has no valid port (0 to 65535)"},
        {"localhost:http", "has no valid port (0 to 65535)"},
        {"::1:8080", "holds an IPv6 address without brackets"},
        {"http://localhost", "has no port"},
        {"https://", "has no port"},
        {"https:///", "has no port"},
        {"https://localhost:80/x", "has no valid port (0 to 65535)"},
        {"ftp://localhost:80", "holds an IPv6 address without brackets"},
        {"[]:80", "holds no valid IPv6 address in brackets"},
        {"[localhost]:80", "holds no valid IPv6 address in brackets"},
        {"[::1%]:80", "holds no valid IPv6 address in brackets"},
        {"[::1:80", "holds no valid IPv6 address in brackets"},
        {"a b:80", "holds a character that no host name has"},
        {"*:80", "holds a character that no host name has"},
        {"proxy+", "has no port"},
        {"proxy+proxy+:80", "holds a character that no host name has"},
        {"https+proxy://:80", "holds an IPv6 address without brackets"},
        {"proxy:80:80", "holds an IPv6 address without brackets"},
        {"unix:", "has no path"},
        {"unix://", "has no path"},
    };
    const char *why;
    struct listen_address a;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(listen_address_parse(good[i].text, &a, &why), RELAY_OK);
        assert_int_equal(a.kind, good[i].kind);
        assert_string_equal(a.text, good[i].text);
        assert_int_equal(a.port, good[i].port);
        assert_int_equal(a.tls, strstr(good[i].text, "https") != NULL);
        assert_int_equal(a.proxied, strncmp(good[i].text, "proxy+", 6) == 0);
        assert_int_equal(a.host == NULL, good[i].host == NULL);
        assert_int_equal(a.path == NULL, good[i].path == NULL);
        if (a.host != NULL)
            assert_string_equal(a.host, good[i].host);
        if (a.path != NULL)
            assert_string_equal(a.path, good[i].path);
        listen_address_fini(&a);
        listen_address_fini(&a);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(listen_address_parse(bad[i].text, &a, &why), RELAY_EINVAL);
        assert_string_equal(why, bad[i].why);
    }
    char path[200];
    snprintf(path, sizeof(path), "unix:/%0150d", 0);
    assert_int_equal(listen_address_parse(path, &a, &why), RELAY_EINVAL);
    assert_string_equal(why, "has a path that is too long for a socket");
}

static void test_origins(void **state) {
    (void)state;
    static const struct check_case cases[] = {
        {"https://App.Example:443", "https://app.example"},
        {"https://app.example:80", "https://app.example:80"},
        {"http://a:80", "http://a"},
        {"http://a:443", "http://a:443"},
        {"https://[::1]:8443", "https://[::1]:8443"},
        {"https://[::1]", "https://[::1]"},
        {"capacitor://localhost", "capacitor://localhost"},
        {"*", "*"},
        {"", NULL},
        {"null", NULL},
        {"app.example", NULL},
        {"://a", NULL},
        {"ht tp://a", NULL},
        {"https://", NULL},
        {"https://a/", NULL},
        {"https://a/b", NULL},
        {"https://a?b=c", NULL},
        {"https://a#b", NULL},
        {"https://u@a", NULL},
        {"https://a:", NULL},
        {"https://a:b", NULL},
        {"https://a:65536", NULL},
        {"https://*.a", NULL},
        {"https://a b", NULL},
        {"https://::1", NULL},
    };
    ASSERT_CHECKS(check_origin, cases);
}

static void test_hosts(void **state) {
    (void)state;
    static const struct check_case cases[] = {
        {"Relay.Test", "relay.test"}, {"10.0.0.1", "10.0.0.1"},
        {"[::1]", "[::1]"},           {"", NULL},
        {"relay.test:8080", NULL},    {"http://relay.test", NULL},
        {"[::1]:80", NULL},           {"::1", NULL},
        {"relay.test/", NULL},        {"*", NULL},
    };
    ASSERT_CHECKS(check_host, cases);
}

static void test_redis_and_prefix(void **state) {
    (void)state;
    static const struct check_case urls[] = {
        {"redis://u:p@H:1/2", "redis://u:p@H:1/2"}, /* left as it is: a password keeps its case */
        {"unix:/tmp/a", "unix:/tmp/a"},
        {"", NULL},
        {"localhost:6379", NULL},
    };
    static const struct check_case prefixes[] = {
        {"a.b-C_1", "a.b-C_1"}, {"", NULL}, {"a b", NULL}, {"a:b", NULL}, {"{a}", NULL},
    };
    ASSERT_CHECKS(check_redis, urls);
    ASSERT_CHECKS(check_prefix, prefixes);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_redis_and_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
