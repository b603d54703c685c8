/* The header of the PROXY protocol, byte by byte and at once. */
#include "relay/http/proxy_header.h"

#include <string.h>

#include "tests/unit/unit.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* Literals with their length, since version 2 has NULs. */
#define LITERAL(text) text, sizeof(text) - 1

/* Fed whole, and byte by byte with the same outcome. Returns how many bytes were taken. */
static size_t feed(struct proxy_header *h, const char *bytes, size_t len) {
    struct proxy_header slow = {0};
    size_t taken = 0, fast;
    *h = (struct proxy_header){0};
    fast = proxy_header_feed(h, bytes, len);
    while (taken < len && slow.state == PROXY_HEADER_READING)
        taken += proxy_header_feed(&slow, bytes + taken, 1);
    assert_int_equal(fast, taken);
    assert_int_equal(h->state, slow.state);
    assert_int_equal(h->named, slow.named);
    assert_true(ip_address_equal(&h->source, &slow.source));
    assert_true(h->state != PROXY_HEADER_READING || taken == len);
    return taken;
}

/* @header names @source ("-": nobody with an address; NULL: nobody), and takes not one byte of what
 * stands behind it. */
static void names(const char *header, size_t len, const char *source) {
    struct proxy_header h;
    char bytes[70000], text[IP_ADDRESS_TEXT];
    memcpy(bytes, header, len);
    memcpy(bytes + len, "GET / HTTP/1.1\r\n", 16);
    assert_int_equal(feed(&h, bytes, len + 16), len);
    assert_int_equal(h.state, PROXY_HEADER_DONE);
    assert_int_equal(h.named, source != NULL);
    if (source != NULL)
        assert_string_equal(ip_address_format(&h.source, text), source);
    for (size_t cut = 0; cut < len; cut++) { /* nothing less is a header */
        struct proxy_header part = {0};
        proxy_header_feed(&part, bytes, cut);
        assert_int_equal(part.state, PROXY_HEADER_READING);
    }
}

static void fails(const char *bytes, size_t len, enum proxy_header_state why) {
    struct proxy_header h;
    feed(&h, bytes, len);
    if (h.state != why)
        fail_msg("%.*s: state %d", (int)len, bytes, h.state);
    assert_false(h.named);
}

static void a_line_names_the_client(void **state) {
    (void)state;
    names(LITERAL("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), "192.0.2.1");
    names(LITERAL("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255");
    names(LITERAL("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0");
    names(LITERAL("PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), "2001:db8::1");
    names(LITERAL("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.1 1 2\r\n"), "192.0.2.1");
    names(LITERAL("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
          "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    names(LITERAL("PROXY UNKNOWN\r\n"), NULL);
}

static void an_unknown_line_may_hold_anything(void **state) {
    (void)state;
    names(LITERAL("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
          NULL); /* the longest line there is */
    names(LITERAL("PROXY UNKNOWN a\0b  c\xff\r\n"), NULL);
}

static void a_line_that_is_wrong_is_refused(void **state) {
    static const char *const lines[] = {
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 x\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.1 56324 443\r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 056 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 123456\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100 1 2\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP4 ::ffff:192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP5 ::1 ::1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWN\rx\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1\r2\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        fails(lines[i], strlen(lines[i]), PROXY_HEADER_MALFORMED);
}

static void a_line_has_an_end(void **state) {
    char line[PROXY_HEADER_LINE + 1];
    struct proxy_header h;
    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    fails(line, PROXY_HEADER_LINE - 1, PROXY_HEADER_READING);
    fails(line, PROXY_HEADER_LINE, PROXY_HEADER_MALFORMED);
    line[PROXY_HEADER_LINE - 1] = '\r';
    line[PROXY_HEADER_LINE] = '\n';
    assert_int_equal(feed(&h, line, sizeof(line)), PROXY_HEADER_LINE);
    assert_int_equal(h.state, PROXY_HEADER_MALFORMED);
}

#define IPV4 "\xc0\0\2\1\xc6\x33\x64\1\xdb\4\1\xbb"
#define IPV6                                                                                       \
    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"                                                       \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1\0\2"

static void a_binary_header_names_the_client(void **state) {
    (void)state;
    names(LITERAL(SIGNATURE "\x21\x11\0\x0c" IPV4), "192.0.2.1");
    names(LITERAL(SIGNATURE "\x21\x12\0\x0c" IPV4), "192.0.2.1"); /* a client by HTTP/3 */
    names(LITERAL(SIGNATURE "\x21\x21\0\x24" IPV6), "2001:db8::7");
    names(LITERAL(SIGNATURE "\x21\x22\0\x24" IPV6), "2001:db8::7");
    names(LITERAL(SIGNATURE "\x21\x11\0\x14" IPV4 "\3\0\5abcde"), "192.0.2.1"); /* extensions */
    names(LITERAL(SIGNATURE "\x21\x21\0\x27" IPV6 "\4\0\0"), "2001:db8::7");
    names(LITERAL(SIGNATURE "\x21\x11\0\x0d" IPV4 "\3"), "192.0.2.1"); /* not looked at */
}

static void a_binary_header_may_name_nobody(void **state) {
    (void)state;
    names(LITERAL(SIGNATURE "\x20\0\0\0"), NULL);
    names(LITERAL(SIGNATURE "\x20\x11\0\x0c" IPV4), NULL);
    names(LITERAL(SIGNATURE "\x20\xff\0\2xx"), NULL); /* LOCAL: the family is ignored */
    names(LITERAL(SIGNATURE "\x21\0\0\0"), NULL);
    names(LITERAL(SIGNATURE "\x21\0\0\3abc"), NULL);
    names(LITERAL(SIGNATURE "\x21\x10\0\x0c" IPV4), NULL);
    names(LITERAL(SIGNATURE "\x21\1\0\x0c" IPV4), NULL);
}

static void a_client_of_a_unix_socket_has_no_address(void **state) {
    char bytes[16 + 216] = SIGNATURE "\x21\x31\0\xd8/run/client.sock";
    (void)state;
    names(bytes, sizeof(bytes), "-");
    bytes[13] = 0x32;
    names(bytes, sizeof(bytes), "-");
}

/* 64 KiB of extensions keep no more memory than none. */
static void extensions_are_skipped_whatever_their_length(void **state) {
    static char bytes[16 + 65535];
    struct proxy_header h;
    (void)state;
    memcpy(bytes, SIGNATURE "\x21\x11\xff\xff" IPV4, 28);
    assert_int_equal(feed(&h, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(h.state, PROXY_HEADER_DONE);
    assert_int_equal(h.source.bytes[0], 0xc0);
    assert_int_equal(feed(&h, bytes, sizeof(bytes) - 1), sizeof(bytes) - 1);
    assert_int_equal(h.state, PROXY_HEADER_READING);
}

static void a_binary_header_that_is_wrong_is_refused(void **state) {
    (void)state;
    fails(LITERAL(SIGNATURE "\x11\x11\0\x0c" IPV4), PROXY_HEADER_MALFORMED); /* version */
    fails(LITERAL(SIGNATURE "\x31\x11\0\x0c" IPV4), PROXY_HEADER_MALFORMED);
    fails(LITERAL(SIGNATURE "\x22\x11\0\x0c" IPV4), PROXY_HEADER_MALFORMED); /* command */
    fails(LITERAL(SIGNATURE "\x21\x41\0\x0c" IPV4), PROXY_HEADER_MALFORMED); /* family */
    fails(LITERAL(SIGNATURE "\x21\x13\0\x0c" IPV4), PROXY_HEADER_MALFORMED); /* transport */
    fails(LITERAL(SIGNATURE "\x21\x11\0\x0b" IPV4), PROXY_HEADER_MALFORMED); /* too short for it */
    fails(LITERAL(SIGNATURE "\x21\x21\0\x0c" IPV4), PROXY_HEADER_MALFORMED);
    fails(LITERAL(SIGNATURE "\x21\x31\0\x24" IPV6), PROXY_HEADER_MALFORMED);
    fails(LITERAL(SIGNATURE "\x21\x11\0\0"), PROXY_HEADER_MALFORMED);
}

static void something_else_is_missing_it(void **state) {
    (void)state;
    fails(LITERAL("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), PROXY_HEADER_MISSING);
    fails(LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), PROXY_HEADER_MISSING);
    fails(LITERAL("POST / HTTP/1.1\r\n"), PROXY_HEADER_MISSING);
    fails(LITERAL("PROXYTCP4"), PROXY_HEADER_MISSING);
    fails(LITERAL("proxy TCP4"), PROXY_HEADER_MISSING);
    fails(LITERAL("\x16\3\1\2\0\1\0\1\xfc\3\3"), PROXY_HEADER_MISSING);
    fails(LITERAL("\r\nPROXY UNKNOWN\r\n"), PROXY_HEADER_MISSING);
    fails(LITERAL("\r\n\r\n\0\r\nQUIX\n"), PROXY_HEADER_MISSING);
    fails(LITERAL("\r\n\r\n\r\n"), PROXY_HEADER_MISSING);
    fails(LITERAL("\0"), PROXY_HEADER_MISSING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_names_the_client),
        cmocka_unit_test(an_unknown_line_may_hold_anything),
        cmocka_unit_test(a_line_that_is_wrong_is_refused),
        cmocka_unit_test(a_line_has_an_end),
        cmocka_unit_test(a_binary_header_names_the_client),
        cmocka_unit_test(a_binary_header_may_name_nobody),
        cmocka_unit_test(a_client_of_a_unix_socket_has_no_address),
        cmocka_unit_test(extensions_are_skipped_whatever_their_length),
        cmocka_unit_test(a_binary_header_that_is_wrong_is_refused),
        cmocka_unit_test(something_else_is_missing_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
