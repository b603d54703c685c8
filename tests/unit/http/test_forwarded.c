/* Whose request it is, by what proxies wrote into its head. */
#include "relay/http/forwarded.h"

#include <string.h>

#include "relay/base/buf.h"
#include "relay/http/h1_request.h"
#include "tests/unit/unit.h"

#define XFF FORWARDED_X_FORWARDED_FOR
#define RFC FORWARDED_FORWARDED

/* Trusted: loopback, and 10.0.0.0/8. */
static struct ip_networks trusted;

static int trust(void **state) {
    (void)state;
    assert_null(ip_networks_add(&trusted, "loopback"));
    assert_null(ip_networks_add(&trusted, "10.0.0.0/8"));
    return 0;
}

static int trust_nobody(void **state) {
    (void)state;
    ip_networks_fini(&trusted);
    return 0;
}

/* The client of a request with these @lines, which came from @peer. */
static void comes_from(enum forwarded_header header, const char *peer, const char *lines,
                       const char *expected) {
    struct h1_request *r = h1_request_new();
    struct ip_address from = {0}, client;
    struct buf head = BUF_INIT;
    char text[IP_ADDRESS_TEXT];
    assert_true(strcmp(peer, "-") == 0 || ip_address_parse(peer, strlen(peer), &from));
    buf_printf(&head, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    assert_int_equal(h1_request_feed(r, head.data, head.len), head.len);
    assert_int_equal(h1_request_state(r), H1_REQUEST_DONE);
    client = forwarded_client(header, &trusted, h1_request_view(r), from);
    if (strcmp(ip_address_format(&client, text), expected) != 0)
        fail_msg("from %s, %s: %s and not %s", peer, lines, text, expected);
    buf_fini(&head);
    h1_request_free(r);
}

static void the_peer_stands_where_nothing_is_said(void **state) {
    (void)state;
    comes_from(XFF, "192.0.2.1", "", "192.0.2.1");
    comes_from(XFF, "10.0.0.1", "", "10.0.0.1");
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For:\r\n", "10.0.0.1");
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For: , ,\r\n", "10.0.0.1");
    comes_from(XFF, "-", "", "-");
}

static void only_a_trusted_peer_is_believed(void **state) {
    (void)state;
    comes_from(XFF, "192.0.2.1", "X-Forwarded-For: 198.51.100.7\r\n", "192.0.2.1");
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7");
    comes_from(XFF, "::1", "x-forwarded-for: 2001:db8::7\r\n", "2001:db8::7");
    comes_from(XFF, "-", "X-Forwarded-For: 198.51.100.7\r\n", "-");
    comes_from(RFC, "192.0.2.1", "Forwarded: for=198.51.100.7\r\n", "192.0.2.1");
    trusted.unix_sockets = true;
    comes_from(XFF, "-", "X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7");
    trusted.unix_sockets = false;
}

static void only_the_chosen_header_is_read(void **state) {
    static const char both[] = "X-Forwarded-For: 198.51.100.7\r\nForwarded: for=203.0.113.9\r\n";
    (void)state;
    comes_from(XFF, "10.0.0.1", both, "198.51.100.7");
    comes_from(RFC, "10.0.0.1", both, "203.0.113.9");
    comes_from(FORWARDED_NONE, "10.0.0.1", both, "10.0.0.1");
}

static void the_last_that_is_not_trusted_is_the_client(void **state) {
    (void)state;
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For: 1.1.1.1, 198.51.100.7\r\n", "198.51.100.7");
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For: 1.1.1.1,198.51.100.7 ,\t10.9.9.9\r\n",
               "198.51.100.7");
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3");
    comes_from(RFC, "10.0.0.1",
               "Forwarded: for=1.1.1.1, for=198.51.100.7;proto=http, for=10.0.0.2\r\n",
               "198.51.100.7");
}

static void several_fields_are_one_list(void **state) {
    (void)state;
    comes_from(XFF, "10.0.0.1",
               "X-Forwarded-For: 1.1.1.1, 198.51.100.7\r\nA: b\r\nX-Forwarded-For: 10.0.0.2\r\n",
               "198.51.100.7");
    comes_from(XFF, "10.0.0.1",
               "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For:\r\nX-Forwarded-For: 198.51.100.7\r\n",
               "198.51.100.7");
    comes_from(RFC, "10.0.0.1", "Forwarded: for=1.1.1.1\r\nForwarded: for=10.0.0.2\r\n", "1.1.1.1");
}

static void ports_and_brackets_are_taken_off(void **state) {
    (void)state;
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For: 198.51.100.7:1234\r\n", "198.51.100.7");
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For: [2001:db8::7]:1234\r\n", "2001:db8::7");
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For: [2001:db8::7]\r\n", "2001:db8::7");
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For: ::ffff:198.51.100.7\r\n", "198.51.100.7");
    comes_from(XFF, "10.0.0.1", "X-Forwarded-For: 1.1.1.1, ::ffff:10.1.1.1\r\n", "1.1.1.1");
    comes_from(RFC, "10.0.0.1", "Forwarded: For=\"[2001:db8:cafe::17]:4711\"\r\n",
               "2001:db8:cafe::17");
    comes_from(RFC, "10.0.0.1", "Forwarded: for=\"198.51.100.7:80\"\r\n", "198.51.100.7");
    comes_from(RFC, "10.0.0.1", "Forwarded: for=\"198.51.100.7:_p-1\"\r\n", "198.51.100.7");
    comes_from(RFC, "10.0.0.1", "Forwarded: for=\"198.51.100\\.7\"\r\n", "198.51.100.7");
    comes_from(RFC, "10.0.0.1",
               "Forwarded: by=10.0.0.1;for=198.51.100.7;host=\"a,b;for=1.1.1.1\"\r\n",
               "198.51.100.7");
}

static void quotes_hold_what_separates(void **state) {
    (void)state;
    comes_from(RFC, "10.0.0.1", "Forwarded: for=1.1.1.1, for=198.51.100.7;host=\"a\\\",b\"\r\n",
               "198.51.100.7");
    comes_from(RFC, "10.0.0.1", "Forwarded: for=1.1.1.1, for=198.51.100.7;host=\"a\\\\\"\r\n",
               "198.51.100.7");
}

/* The address that was reached stands; nothing before the rubbish is believed. */
static void what_is_no_address_ends_the_walk(void **state) {
    static const char *const nodes[] = {"unknown",
                                        "_hidden",
                                        "a",
                                        "198.51.100",
                                        "198.51.100.7:",
                                        "198.51.100.7:x",
                                        "198.51.100.7:1:2",
                                        "[2001:db8::7",
                                        "[2001:db8::7]x",
                                        "[2001:db8::7]:",
                                        "[198.51.100.7]",
                                        "2001:db8::7]:1",
                                        "198.51.100.7:123456",
                                        "fe80::1%eth0",
                                        "[]",
                                        "[:",
                                        "198.51.100.7:_",
                                        "\"198.51.100.7\"x",
                                        "1.1.1.1 2.2.2.2",
                                        "localhost",
                                        "-",
                                        ":"};
    (void)state;
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        struct buf lines = BUF_INIT;
        buf_printf(&lines, "X-Forwarded-For: 1.1.1.1, %s\r\n", nodes[i]);
        comes_from(XFF, "10.0.0.1", lines.data, "10.0.0.1");
        buf_reset(&lines);
        buf_printf(&lines, "X-Forwarded-For: 1.1.1.1, %s, 10.0.0.2\r\n", nodes[i]);
        comes_from(XFF, "10.0.0.1", lines.data, "10.0.0.2");
        buf_reset(&lines);
        buf_printf(&lines, "Forwarded: for=1.1.1.1, for=%s\r\n", nodes[i]);
        comes_from(RFC, "10.0.0.1", lines.data, "10.0.0.1");
        buf_fini(&lines);
    }
}

static void what_is_no_element_ends_the_walk(void **state) {
    static const char *const elements[] = {"for",
                                           "for=",
                                           "for=\"\"",
                                           "for=\"",
                                           "for=\"198.51.100.7",
                                           "for=198.51.100.7;for=198.51.100.7",
                                           "for=198.51.100.7;x",
                                           "proto=https",
                                           "=198.51.100.7",
                                           "for =198.51.100.7",
                                           "forr=198.51.100.7",
                                           "for=\"198.51.100.7\\\"",
                                           "for=\"198.\"51.100.7\"",
                                           "198.51.100.7"};
    (void)state;
    for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
        struct buf lines = BUF_INIT;
        buf_printf(&lines, "Forwarded: %s\r\n", elements[i]);
        comes_from(RFC, "10.0.0.1", lines.data, "10.0.0.1");
        buf_fini(&lines);
    }
}

/* Whatever a client sends in front, it has no way around what the proxy writes behind it. */
static void a_client_cannot_hide_what_the_proxy_wrote(void **state) {
    static const char *const sent[] = {
        "for=\"",   "for=\"1.1.1.1", "for=\"\\", "\"",  "\\\"",         "for=\\", "for=1.1.1.1;\"",
        "\"a\"b\"", "for=\"a\\\"b",  ";;;\"",    ",,,", "for=10.0.0.2", "\",\"",  "for=\"a,b"};
    (void)state;
    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
        struct buf lines = BUF_INIT;
        buf_printf(&lines, "Forwarded: %s, for=198.51.100.7\r\n", sent[i]);
        comes_from(RFC, "10.0.0.1", lines.data, "198.51.100.7");
        buf_reset(&lines);
        buf_printf(&lines, "Forwarded: %s, for=\"[2001:db8::7]:1\";proto=https;host=\"a\"\r\n",
                   sent[i]);
        comes_from(RFC, "10.0.0.1", lines.data, "2001:db8::7");
        buf_reset(&lines);
        buf_printf(&lines, "Forwarded: %s\r\nForwarded: for=198.51.100.7\r\n", sent[i]);
        comes_from(RFC, "10.0.0.1", lines.data, "198.51.100.7");
        buf_reset(&lines);
        buf_printf(&lines, "X-Forwarded-For: %s, 198.51.100.7\r\n", sent[i]);
        comes_from(XFF, "10.0.0.1", lines.data, "198.51.100.7");
        buf_fini(&lines);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_peer_stands_where_nothing_is_said),
        cmocka_unit_test(only_a_trusted_peer_is_believed),
        cmocka_unit_test(only_the_chosen_header_is_read),
        cmocka_unit_test(the_last_that_is_not_trusted_is_the_client),
        cmocka_unit_test(several_fields_are_one_list),
        cmocka_unit_test(ports_and_brackets_are_taken_off),
        cmocka_unit_test(quotes_hold_what_separates),
        cmocka_unit_test(what_is_no_address_ends_the_walk),
        cmocka_unit_test(what_is_no_element_ends_the_walk),
        cmocka_unit_test(a_client_cannot_hide_what_the_proxy_wrote),
    };
    return cmocka_run_group_tests(tests, trust, trust_nobody);
}
