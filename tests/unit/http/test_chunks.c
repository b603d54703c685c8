/* The chunked coding: decoded, or refused at the first byte that could be read in two ways. */
#include "relay/http/chunks.h"

#include <stdio.h>
#include <string.h>

#include "relay/http/request.h"
#include "tests/unit/unit.h"

/* Feed pieces of @step bytes; returns how many were taken. */
static size_t feed(struct chunks *c, const char *bytes, size_t len, size_t step, struct buf *out) {
    size_t taken = 0;
    while (taken < len && !c->complete && c->fault == NULL) {
        size_t n = len - taken < step ? len - taken : step;
        size_t more = chunks_feed(c, bytes + taken, n, out);
        assert_in_range(more, 1, n);
        taken += more;
    }
    return taken;
}

static void assert_decodes(const char *bytes, const char *expected, size_t rest) {
    for (size_t step = 1; step <= strlen(bytes); step++) {
        struct chunks c = {0};
        struct buf out = BUF_INIT;
        assert_int_equal(feed(&c, bytes, strlen(bytes), step, &out), strlen(bytes) - rest);
        assert_null(c.fault);
        assert_true(c.complete);
        assert_int_equal(out.len, strlen(expected));
        if (out.len > 0)
            assert_memory_equal(out.data, expected, out.len);
        buf_fini(&out);
    }
}

/* Refused with its last byte, and not before. */
static void assert_refuses_bytes(const char *bytes, size_t len) {
    struct chunks c = {0};
    struct buf out = BUF_INIT;
    size_t taken = feed(&c, bytes, len, 1, &out);
    if (c.fault == NULL || taken != len)
        fail_msg("%s after %zu of %zu bytes: %s", c.fault != NULL ? c.fault->why : "no fault",
                 taken, len, bytes);
    assert_int_equal(c.fault->status, 400);
    buf_fini(&out);
}

#define assert_refuses(literal) assert_refuses_bytes(literal, sizeof(literal) - 1)

static void chunks_become_their_data(void **state) {
    (void)state;
    assert_decodes("0\r\n\r\n", "", 0);
    assert_decodes("3\r\nabc\r\n0\r\n\r\n", "abc", 0);
    assert_decodes("003\r\na\r\n\r\nA\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n",
                   "a\r\n01234567890123456789", 0);
    assert_decodes("1\r\nx\r\n0\r\n\r\n0\r\n\r\n", "x", 5);
}

static void extensions_and_trailers_are_read_over(void **state) {
    (void)state;
    assert_decodes("1;a=b;c=\"d\te\"\r\nx\r\n0;f\r\n\r\nGET", "x", 3);
    assert_decodes("1\r\nx\r\n0\r\nA: b\r\nContent-Length: 5\r\n\r\nGET", "x", 3);
}

static void everything_else_is_refused(void **state) {
    (void)state;
    assert_refuses("\r");
    assert_refuses("\n");
    assert_refuses("g");
    assert_refuses(" ");
    assert_refuses("-");
    assert_refuses("3 ");
    assert_refuses("0x");
    assert_refuses("3\n");
    assert_refuses("3\rX");
    assert_refuses("3;a\n");
    assert_refuses("3;\0");
    assert_refuses("3;a\rX");
    assert_refuses("3\r\nabcX");
    assert_refuses("3\r\nabc\n");
    assert_refuses("3\r\nabc\rX");
    assert_refuses("3\r\nabc\r\n\r");
    assert_refuses("0\r\n\n");
    assert_refuses("0\r\n\rX");
    assert_refuses("0\r\nA: b\n");
    assert_refuses("0\r\nA: b\rC");
    assert_refuses("0\r\nA: \0");
    assert_refuses("0\r\n ");
    assert_refuses("0\r\nA: b\r\n\t");
}

static void assert_too_large(const char *bytes, size_t decoded, const char *part) {
    struct chunks c = {0};
    struct buf out = BUF_INIT;
    memset(buf_reserve(&out, decoded), 'x', decoded);
    out.len = decoded;
    feed(&c, bytes, strlen(bytes), 1, &out);
    assert_non_null(c.fault);
    assert_int_equal(c.fault->status, 413);
    assert_non_null(strstr(c.fault->why, part));
    assert_int_equal(out.len, decoded);
    buf_fini(&out);
}

static void a_size_beyond_the_limit_is_refused_before_its_data(void **state) {
    (void)state;
    assert_too_large("100001", 0, "1 MiB");
    assert_too_large("FFFFFFFFFFFFFFFFF", 0, "1 MiB");
    assert_too_large("1", REQUEST_BODY_MAX_BYTES, "1 MiB");
    assert_too_large("11", REQUEST_BODY_MAX_BYTES - 16, "1 MiB");
}

/* @unit again and again, until it is refused. */
static void assert_bounded(const char *begin, const char *unit) {
    struct chunks c = {0};
    struct buf out = BUF_INIT;
    size_t taken = feed(&c, begin, strlen(begin), 1, &out);
    while (c.fault == NULL && taken < 4 * (size_t)REQUEST_BODY_MAX_BYTES)
        taken += feed(&c, unit, strlen(unit), strlen(unit), &out);
    assert_non_null(c.fault);
    assert_int_equal(c.fault->status, 413);
    assert_non_null(strstr(c.fault->why, "coding"));
    buf_fini(&out);
}

static void coding_without_data_is_bounded(void **state) {
    (void)state;
    assert_bounded("", "1\r\nx\r\n");
    assert_bounded("", "00000000000000000");
    assert_bounded("1;", "an extension without end");
    assert_bounded("0\r\n", "Trailer: x\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_become_their_data),
        cmocka_unit_test(extensions_and_trailers_are_read_over),
        cmocka_unit_test(everything_else_is_refused),
        cmocka_unit_test(a_size_beyond_the_limit_is_refused_before_its_data),
        cmocka_unit_test(coding_without_data_is_bounded),
    };
    return cmocka_run_group_tests_name("http/chunks", tests, NULL, NULL);
}
