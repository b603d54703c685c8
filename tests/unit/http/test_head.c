/* The head's grammar: every byte that could be read in two ways is refused as soon as it is seen.
 */
#include "relay/http/head.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

#define LINE "GET / HTTP/1.1\r\n"

/* The status of what is wrong with the head, which must show at its very last byte; 0: nothing, and
 * it is not complete; 1: nothing, and it is complete. */
static int read_head(const char *bytes, size_t len, const char **why) {
    struct head h;
    head_init(&h);
    for (size_t i = 0; i < len; i++) {
        assert_false(h.complete);
        assert_null(h.fault);
        assert_int_equal(head_feed(&h, bytes + i, 1), 1);
    }
    int status = h.fault != NULL ? h.fault->status : h.complete;
    *why = h.fault != NULL ? h.fault->why : "accepted";
    head_fini(&h);
    return status;
}

static void assert_refuses_bytes(const char *bytes, size_t len, int status, const char *part) {
    const char *why;
    int got = read_head(bytes, len, &why);
    if (got != status || strstr(why, part) == NULL)
        fail_msg("%d \"%s\" instead of %d \"%s\": %.*s", got, why, status, part, (int)len, bytes);
}

#define assert_refuses(literal, status, part)                                                      \
    assert_refuses_bytes(literal, sizeof(literal) - 1, status, part)

static void assert_accepts(const char *bytes) {
    const char *why;
    if (read_head(bytes, strlen(bytes), &why) != 1)
        fail_msg("\"%s\": %s", why, bytes);
}

static void junk_is_refused_at_its_first_byte(void **state) {
    (void)state;
    assert_refuses("\x16", 400, "control"); /* TLS */
    assert_refuses("\0", 400, "control");
    assert_refuses(" ", 400, "not an HTTP/1.1 request");
    assert_refuses("{", 400, "not an HTTP/1.1 request");
    assert_refuses("\x80", 400, "not an HTTP/1.1 request");
    assert_refuses("\n", 400, "line feed");
    assert_refuses("GET\r", 400, "not an HTTP/1.1 request");
    assert_refuses("GET\t", 400, "control");
    assert_refuses("GE(", 400, "not an HTTP/1.1 request");
    assert_refuses("SSH-2.0-x\r", 400, "not an HTTP/1.1 request");
}

static void one_empty_line_may_stand_before(void **state) {
    (void)state;
    assert_accepts("\r\n" LINE "\r\n");
    assert_refuses("\r\n\r", 400, "carriage return");
    assert_refuses("\rG", 400, "carriage return");
}

static void the_request_line_has_three_parts(void **state) {
    (void)state;
    assert_refuses("GET  ", 400, "%XX");
    assert_refuses("GET /\r", 400, "version");
    assert_refuses("GET / \r", 400, "version");
    assert_refuses("GET /  ", 400, "version");
    assert_refuses("GET /\t", 400, "control");
    assert_refuses("GET /\x7f", 400, "control");
    assert_refuses("GET / h", 400, "version");
    assert_refuses("GET / HTTP/1,", 400, "version");
    assert_refuses("GET / HTTP/1.1 ", 400, "version");
    assert_refuses("GET / HTTP/1.10", 400, "version");
    assert_refuses("GET / HTTP/1\r", 400, "version");
    assert_refuses("GET / HTTP/1.1\n", 400, "line feed");
    assert_refuses("GET / HTTP/1.1\rX", 400, "carriage return");
}

static void two_versions_are_spoken(void **state) {
    (void)state;
    assert_accepts("GET / HTTP/1.1\r\n\r\n");
    assert_accepts("GET / HTTP/1.0\r\n\r\n");
    assert_refuses("GET / HTTP/1.2\r", 505, "HTTP/1.1");
    assert_refuses("GET / HTTP/0.9\r", 505, "HTTP/1.1");
    assert_refuses("GET / HTTP/3.0\r", 505, "HTTP/1.1");
    assert_refuses("PRI * HTTP/2.0\r", 505, "HTTP/1.1");
}

static void fields_have_one_reading(void **state) {
    (void)state;
    assert_accepts(LINE "a:\r\nb: \r\nc:d\r\n!#$%&'*+-.^_`|~09: \t\"\x80\xff\" \t\r\n\r\n");
    assert_refuses(LINE " ", 400, "folded");
    assert_refuses(LINE "a: b\r\n ", 400, "folded");
    assert_refuses(LINE "a: b\r\n\t", 400, "folded");
    assert_refuses(LINE "a ", 400, "and its colon");
    assert_refuses(LINE "a\t", 400, "and its colon");
    assert_refuses(LINE ":", 400, "no valid name");
    assert_refuses(LINE "a\r", 400, "no valid name");
    assert_refuses(LINE "a(", 400, "no valid name");
    assert_refuses(LINE "\xc3", 400, "no valid name");
    assert_refuses(LINE "a\0", 400, "control");
    assert_refuses(LINE "a: \0", 400, "control");
    assert_refuses(LINE "a: \x01", 400, "control");
    assert_refuses(LINE "a: \x0b", 400, "control");
    assert_refuses(LINE "a: \x7f", 400, "control");
}

static void lines_end_with_both_bytes(void **state) {
    (void)state;
    assert_refuses(LINE "\n", 400, "line feed");
    assert_refuses(LINE "a: b\n", 400, "line feed");
    assert_refuses(LINE "a\n", 400, "line feed");
    assert_refuses(LINE "a: b\r ", 400, "carriage return");
    assert_refuses(LINE "a: b\r\r", 400, "carriage return");
    assert_refuses(LINE "a: b\r\n\rX", 400, "carriage return");
}

static void a_hundred_fields_are_taken(void **state) {
    (void)state;
    struct buf bytes = BUF_INIT;
    const char *why;
    buf_puts(&bytes, LINE);
    for (int i = 0; i < REQUEST_MAX_HEADERS; i++)
        buf_printf(&bytes, "x-%d: y\r\n", i);
    assert_int_equal(read_head(bytes.data, bytes.len, &why), 0);
    buf_putc(&bytes, 'x');
    assert_refuses_bytes(bytes.data, bytes.len, 431, "100");
    bytes.len--;
    buf_puts(&bytes, "\r\n");
    assert_accepts(bytes.data);
    buf_fini(&bytes);
}

static void a_head_of_16_kib_is_taken(void **state) {
    (void)state;
    struct buf bytes = BUF_INIT;
    buf_puts(&bytes, LINE "a: ");
    size_t filling = REQUEST_HEAD_MAX_BYTES - bytes.len - strlen("\r\n\r\n");
    memset(buf_reserve(&bytes, filling), 'x', filling);
    bytes.len += filling;
    buf_puts(&bytes, "\r\n\r\n");
    assert_int_equal(bytes.len, REQUEST_HEAD_MAX_BYTES);
    assert_accepts(bytes.data);
    bytes.len -= strlen("\r\n\r\n");
    buf_puts(&bytes, "x\r\n\r");
    assert_refuses_bytes(bytes.data, bytes.len, 431, "16 KiB");
    buf_fini(&bytes);
}

static void places_point_at_what_was_read(void **state) {
    (void)state;
    static const char bytes[] = "\r\nPOST /x?y HTTP/1.0\r\nName: \t a b \t\r\n\r\nmore";
    struct head h;
    head_init(&h);
    assert_int_equal(head_feed(&h, bytes, strlen(bytes)), strlen(bytes) - strlen("more"));
    assert_true(h.complete);
    assert_int_equal(head_span(&h, h.method).len, 4);
    assert_memory_equal(head_span(&h, h.method).data, "POST", 4);
    assert_int_equal(head_span(&h, h.target).len, 4);
    assert_memory_equal(head_span(&h, h.target).data, "/x?y", 4);
    assert_memory_equal(h.version, "HTTP/1.0", 8);
    assert_int_equal(h.fields_len, 1);
    assert_int_equal(head_span(&h, h.fields[0].name).len, 4);
    assert_memory_equal(head_span(&h, h.fields[0].name).data, "Name", 4);
    assert_int_equal(head_span(&h, h.fields[0].value).len, 3);
    assert_memory_equal(head_span(&h, h.fields[0].value).data, "a b", 3);
    head_fini(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(junk_is_refused_at_its_first_byte),
        cmocka_unit_test(one_empty_line_may_stand_before),
        cmocka_unit_test(the_request_line_has_three_parts),
        cmocka_unit_test(two_versions_are_spoken),
        cmocka_unit_test(fields_have_one_reading),
        cmocka_unit_test(lines_end_with_both_bytes),
        cmocka_unit_test(a_hundred_fields_are_taken),
        cmocka_unit_test(a_head_of_16_kib_is_taken),
        cmocka_unit_test(places_point_at_what_was_read),
    };
    return cmocka_run_group_tests_name("http/head", tests, NULL, NULL);
}
