/* Addresses, what limits count them by, and networks. */
#include "relay/base/ip_address.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "tests/unit/unit.h"

static struct ip_address address(const char *text) {
    struct ip_address a = {0};
    if (!ip_address_parse(text, strlen(text), &a))
        fail_msg("%s is refused", text);
    return a;
}

static uint64_t key(const char *text) {
    struct ip_address a = address(text);
    return ip_address_limit_key(&a);
}

static void text_becomes_an_address_and_text_again(void **state) {
    static const char *const texts[][2] = {
        {"127.0.0.1", "127.0.0.1"},
        {"255.255.255.255", "255.255.255.255"},
        {"0.0.0.0", "0.0.0.0"},
        {"::1", "::1"},
        {"::", "::"},
        {"2001:DB8:0:0::1", "2001:db8::1"},
        {"::ffff:10.1.2.3", "10.1.2.3"},
        {"::FFFF:0a01:0203", "10.1.2.3"},
        {"::10.1.2.3", "::10.1.2.3"},
        {"64:ff9b::1.2.3.4", "64:ff9b::102:304"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    char text[IP_ADDRESS_TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ip_address a = address(texts[i][0]);
        assert_string_equal(ip_address_format(&a, text), texts[i][1]);
    }
    assert_string_equal(ip_address_format(&(struct ip_address){0}, text), "-");
}

static void what_is_no_address_is_refused(void **state) {
    static const char *const bad[] = {
        "",         "1",         "1.2.3",         "1.2.3.4.5", "256.1.1.1",
        " ::1",     "::1 ",      "[::1]",         "fe80::1%a", "1.2.3.4:80",
        "unknown",  "_hidden",   "1:2:3:4:5:6:7", ":::",       "01.2.3.4",
        "g::1",     "localhost", "10.0.0.0/8",    "-1.2.3.4",  "0x7f.0.0.1",
        "1.2.3.4\n"};
    struct ip_address a = {.version = 9}, before = a;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (ip_address_parse(bad[i], strlen(bad[i]), &a))
            fail_msg("%s is accepted", bad[i]);
    assert_false(ip_address_parse("1.2.3.4\0", 8, &a));
    char longer[200];
    memset(longer, '1', sizeof(longer));
    assert_false(ip_address_parse(longer, sizeof(longer), &a));
    assert_memory_equal(&a, &before, sizeof(a));
    assert_true(ip_address_parse("1.2.3.45", 7, &a)); /* no further than it is told */
    assert_int_equal(a.bytes[3], 4);
}

static void a_socket_tells_its_own(void **state) {
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&storage;
    const struct sockaddr *sa = (const struct sockaddr *)&storage;
    struct ip_address expected = address("10.1.2.3"), got;
    (void)state;
    in->sin_family = AF_INET;
    memcpy(&in->sin_addr, expected.bytes, 4);
    got = ip_address_of(sa);
    assert_true(ip_address_equal(&got, &expected));

    memset(&storage, 0, sizeof(storage));
    in6->sin6_family = AF_INET6;
    memcpy(in6->sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\x02\x03", 16);
    got = ip_address_of(sa);
    assert_true(ip_address_equal(&got, &expected));
    in6->sin6_addr.s6_addr[0] = 0x20;
    got = ip_address_of(sa);
    assert_false(ip_address_equal(&got, &expected));
    assert_int_equal(got.version, 6);

    memset(&storage, 0, sizeof(storage));
    storage.ss_family = AF_UNIX;
    got = ip_address_of(sa);
    assert_int_equal(got.version, 0);
    assert_int_equal(ip_address_limit_key(&got), 0);
}

static void limits_count_ipv4_whole_and_ipv6_by_64_bits(void **state) {
    (void)state;
    assert_int_equal(key("10.0.0.1"), key("::ffff:10.0.0.1"));
    assert_int_not_equal(key("10.0.0.1"), key("10.0.0.2"));
    assert_int_not_equal(key("10.0.0.1"), key("11.0.0.1"));
    assert_int_equal(key("2001:db8::1"), key("2001:db8::ffff:ffff:ffff:ffff"));
    assert_int_not_equal(key("2001:db8::1"), key("2001:db8:0:1::1"));
    assert_int_not_equal(key("2001:db8::1"), key("2001:db9::1"));
    assert_int_not_equal(key("::1"), 0); /* 0 is nobody */
    assert_int_not_equal(key("0.0.0.0"), 0);
    assert_int_not_equal(key("0.0.0.1"), key("::1"));
}

static void contains(const char *networks, const char *text, bool expected) {
    struct ip_networks n = {0};
    struct ip_address a = address(text);
    assert_null(ip_networks_add(&n, networks));
    if (ip_networks_contain(&n, &a) != expected)
        fail_msg("%s in %s: %d", text, networks, !expected);
    ip_networks_fini(&n);
}

static void networks_contain_what_begins_so(void **state) {
    (void)state;
    contains("10.0.0.0/8", "10.255.0.1", true);
    contains("10.0.0.0/8", "11.0.0.0", false);
    contains("10.128.0.0/9", "10.128.0.0", true);
    contains("10.128.0.0/9", "10.127.255.255", false);
    contains("0.0.0.0/0", "1.2.3.4", true);
    contains("0.0.0.0/0", "::1", false);
    contains("::/0", "::1", true);
    contains("::/0", "1.2.3.4", false);
    contains("1.2.3.4", "1.2.3.4", true);
    contains("1.2.3.4/32", "1.2.3.5", false);
    contains("2001:db8::/33", "2001:db8:7fff::1", true);
    contains("2001:db8::/33", "2001:db8:8000::1", false);
    contains("2001:db8::1", "2001:db8::2", false);
    contains("::ffff:10.0.0.0/104", "10.9.9.9", true);
    contains("::ffff:10.0.0.1", "10.0.0.2", false);
    contains("loopback", "127.9.9.9", true);
    contains("loopback", "::1", true);
    contains("loopback", "10.0.0.1", false);
    contains("private", "10.0.0.1", true);
    contains("private", "172.31.255.255", true);
    contains("private", "172.32.0.0", false);
    contains("private", "192.168.1.1", true);
    contains("private", "fd00::1", true);
    contains("private", "fe80::1", true);
    contains("private", "2001:db8::1", false);
    contains("private", "127.0.0.1", false);
}

static void unix_is_who_has_no_address(void **state) {
    struct ip_networks n = {0};
    const struct ip_address none = {0};
    (void)state;
    assert_false(ip_networks_contain(&n, &none));
    assert_null(ip_networks_add(&n, "0.0.0.0/0"));
    assert_null(ip_networks_add(&n, "::/0"));
    assert_false(ip_networks_contain(&n, &none));
    assert_null(ip_networks_add(&n, "unix"));
    assert_true(ip_networks_contain(&n, &none));
    ip_networks_fini(&n);
    assert_false(ip_networks_contain(&n, &none));
}

static void what_is_no_network_is_refused(void **state) {
    static const char *const bad[] = {"",
                                      "Loopback",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/8 ",
                                      "10.0.0.0/08",
                                      "10.0.0.1/8",
                                      "::/129",
                                      "::1/64",
                                      "::ffff:10.0.0.0/95",
                                      "::ffff:10.0.0.1/104",
                                      "10.0.0.0/8,11.0.0.0/8",
                                      "proxy.example",
                                      "/8",
                                      "10.0.0.0/8/8"};
    struct ip_networks n = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (ip_networks_add(&n, bad[i]) == NULL)
            fail_msg("%s is accepted", bad[i]);
    assert_int_equal(n.len, 0);
    assert_null(n.items);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_becomes_an_address_and_text_again),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_socket_tells_its_own),
        cmocka_unit_test(limits_count_ipv4_whole_and_ipv6_by_64_bits),
        cmocka_unit_test(networks_contain_what_begins_so),
        cmocka_unit_test(unix_is_who_has_no_address),
        cmocka_unit_test(what_is_no_network_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
