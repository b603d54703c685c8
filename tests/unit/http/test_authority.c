/* Hosts and ports. */
#include "relay/http/authority.h"

#include <string.h>

#include "tests/unit/unit.h"

static void assert_splits(const char *text, const char *host, const char *port) {
    struct span h, p;
    if (!authority_split(span_of(text), &h, &p))
        fail_msg("%s is refused", text);
    assert_int_equal(h.len, strlen(host));
    assert_memory_equal(h.data, host, h.len);
    assert_int_equal(p.len, strlen(port));
    assert_memory_equal(p.data, port, p.len);
}

static void hosts_and_ports_come_apart(void **state) {
    (void)state;
    assert_splits("", "", "");
    assert_splits("a", "a", "");
    assert_splits("a.b-c_d~%20", "a.b-c_d~%20", "");
    assert_splits("A.example:8080", "A.example", "8080");
    assert_splits("a:", "a", "");
    assert_splits("127.0.0.1:1", "127.0.0.1", "1");
    assert_splits("[::1]", "[::1]", "");
    assert_splits("[::ffff:1.2.3.4]:65535", "[::ffff:1.2.3.4]", "65535");
    struct span host = span_of("x"), port = host;
    assert_true(authority_split((struct span){NULL, 0}, &host, &port));
    assert_int_equal(host.len + port.len, 0);
}

static void what_is_no_authority_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        ":80",  "a b", " a",   "a/",   "a:b",    "a:1b",     "a:1:2",   "u@a",     "a,b",
        "a;b",  "::1", "[::1", "::1]", "[]",     "[::1]x",   "[a.]]",   "[::1]:x", "a\xc3",
        "a\\b", "a?b", "a#b",  "a\tb", "[v1.x]", "a:123456", "[::1]80", "<a>",     "[",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct span h, p;
        if (authority_split(span_of(bad[i]), &h, &p))
            fail_msg("%s is accepted", bad[i]);
    }
    struct span h, p;
    assert_false(authority_split((struct span){"a\0b", 3}, &h, &p));
}

static void spans_compare_without_case(void **state) {
    (void)state;
    assert_true(span_equals_nocase(span_of("aBc"), span_of("AbC")));
    assert_true(span_equals_nocase((struct span){NULL, 0}, span_of("")));
    assert_false(span_equals_nocase(span_of("a"), span_of("ab")));
    assert_false(span_equals_nocase(span_of("a"), span_of("b")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_and_ports_come_apart),
        cmocka_unit_test(what_is_no_authority_is_refused),
        cmocka_unit_test(spans_compare_without_case),
    };
    return cmocka_run_group_tests_name("http/authority", tests, NULL, NULL);
}
