/* A text/event-stream read as the standard says, however its bytes are cut. */
#include "publisher-cli/tail/event_stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "tests/unit/publisher-cli/tail/pieces.h"
#include "tests/unit/unit.h"

enum { LIMIT = 64 };

static void on_event(void *arg, const struct event_stream_event *e) {
    assert_int_equal(e->name[e->name_len], 0);
    assert_int_equal(e->data[e->data_len], 0);
    struct buf *seen = arg;
    buf_puts(seen, "[");
    buf_append(seen, e->name, e->name_len);
    buf_puts(seen, "|");
    buf_append(seen, e->data, e->data_len);
    buf_puts(seen, "]");
}

static void on_retry(void *arg, uint64_t ms) {
    buf_printf(arg, "(%" PRIu64 ")", ms);
}

static const struct event_stream_callbacks callbacks = {.on_event = on_event, .on_retry = on_retry};

/* What was seen of @bytes in pieces of @piece bytes, and the last id behind it. */
static void read_in_pieces(const char *bytes, size_t len, size_t piece, struct buf *seen) {
    struct event_stream s;
    event_stream_init(&s, LIMIT, &callbacks, seen);
    assert_int_equal(feed_in_pieces(&s, bytes, len, piece), RELAY_OK);
    buf_printf(seen, "#%s", event_stream_last_id(&s));
    event_stream_fini(&s);
}

static void check(const char *bytes, size_t len, const char *expected, size_t expected_len) {
    for (size_t piece = 1; piece <= len; piece++) {
        struct buf seen = BUF_INIT;
        read_in_pieces(bytes, len, piece, &seen);
        if (seen.len != expected_len || memcmp(seen.data, expected, expected_len) != 0)
            fail_msg("pieces of %zu: %s, and not %s", piece, seen.data, expected);
        buf_fini(&seen);
    }
}

#define CHECK(bytes, expected) check(bytes, sizeof(bytes) - 1, expected, sizeof(expected) - 1)

/* The examples that the standard itself gives. */
static void examples_of_the_standard(void **state) {
    (void)state;
    CHECK("data: YHOO\ndata: +2\ndata: 10\n\n", "[|YHOO\n+2\n10]#");
    CHECK(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third "
          "event\n",
          "[|first event][|second event]#");
    CHECK("data\n\ndata\ndata\n\ndata:", "[|][|\n]#");
    CHECK("data:test\n\ndata: test\n\n", "[|test][|test]#");
}

static void line_ends(void **state) {
    (void)state;
    CHECK("data: a\r\rdata: b\r\n\r\ndata: c\n\n", "[|a][|b][|c]#");
    CHECK("data: a\n\rdata: b\r\n\n", "[|a][|b]#");
    CHECK("data: a\r\ndata: b\rdata: c\n\r\n", "[|a\nb\nc]#");
    CHECK("\n\r\r\n\n", "#");
    CHECK("data: a\v\f\x1c\xc2\x85\xe2\x80\xa8\n\n", "[|a\v\f\x1c\xc2\x85\xe2\x80\xa8]#");
}

static void byte_order_mark(void **state) {
    (void)state;
    CHECK("\xef\xbb\xbf"
          "data: a\n\n",
          "[|a]#");
    CHECK("\xef\xbb\xbf\xef\xbb\xbf"
          "data: a\n\ndata: b\n\n",
          "[|b]#");
    CHECK("\n\xef\xbb\xbf"
          "data: a\n\n",
          "#");
    CHECK("\xef\xbb\xbf\n"
          "data: a\n\n",
          "[|a]#");
    CHECK("\xef\xbb"
          "data: a\n\n",
          "#");
}

static void names(void **state) {
    (void)state;
    CHECK("event: a\ndata: 1\n\ndata: 2\n\n", "[a|1][|2]#");
    CHECK("event: a\nevent: b\ndata: 1\n\n", "[b|1]#");
    CHECK("event: a\nevent\ndata: 1\n\n", "[|1]#");
    CHECK("event: a\n\ndata: 1\n\n", "[|1]#");
    CHECK("Data: x\nDATA: y\n data: z\ndata : w\ndatum: v\n\n", "#");
    CHECK(":\n: data: x\n:::\n\n", "#");
    CHECK("data: a: b\n\n", "[|a: b]#");
}

static void ids(void **state) {
    (void)state;
    CHECK("id: 1\ndata: a\n\n", "[|a]#1");
    CHECK("id: 1\n\n", "#1");
    CHECK("id: 1\n", "#");
    CHECK("id: 1\n\nid: 2\ndata: a\n", "#1");
    CHECK("id: 1\n\ndata: a\n\n", "[|a]#1");
    CHECK("id: 1\n\nid:\n\n", "#");
    CHECK("id: 1\n\nid: 2\0\ndata: a\n\n", "[|a]#1");
    CHECK("id: 1\nid: 2\n\n", "#2");
    CHECK("id:  1 \n\n", "# 1 ");
}

static void retries(void **state) {
    (void)state;
    CHECK("retry: 1000\n", "(1000)#");
    CHECK("retry:0\nretry: 007\n", "(0)(7)#");
    CHECK("retry: -1\nretry: 1.5\nretry: 1 \nretry:  1\nretry: 1s\nretry:\nretry\n", "#");
    CHECK("retry: 18446744073709551615\n", "(18446744073709551615)#");
    CHECK("retry: 18446744073709551616\n", "(18446744073709551615)#");
    CHECK("retry: 99999999999999999999999999\n", "(18446744073709551615)#");
}

static void bytes_that_are_no_utf8(void **state) {
    (void)state;
    CHECK("data: a\xff"
          "b\n\n",
          "[|a\xef\xbf\xbd"
          "b]#");
    CHECK("event: \xe2\x82\ndata: \xed\xa0\x80\nid: \xf0\x9f\x98\n\n",
          "[\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd]#\xef\xbf\xbd");
    CHECK("data: \xe2\x82\xac\n\n", "[|\xe2\x82\xac]#");
    CHECK("data: a\0b\n\n", "[|a\0b]#");
}

/* Neither what was cut nor what an id was meant for is left over; the cursor is. */
static void another_stream(void **state) {
    (void)state;
    struct event_stream s;
    struct buf seen = BUF_INIT;
    event_stream_init(&s, LIMIT, &callbacks, &seen);
    const char *const cuts[] = {"id: 2\n", "event: x\ndata: y\n", "id: 2\nda", "data: z\r"};
    event_stream_feed(&s, "id: 1\n\n", 7);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        event_stream_feed(&s, cuts[i], strlen(cuts[i]));
        event_stream_restart(&s);
        event_stream_feed(&s, "\xef\xbb\xbf\ndata: a\n\n", 13);
        assert_string_equal(event_stream_last_id(&s), "1");
    }
    assert_string_equal(seen.data, "[|a][|a][|a][|a]");
    event_stream_fini(&s);
    buf_fini(&seen);
}

/* Repeats @piece until the stream has enough of it; returns how much it took. */
static size_t feed_until_full(const char *piece, struct buf *seen) {
    struct event_stream s;
    size_t len = strlen(piece), fed = 0;
    event_stream_init(&s, LIMIT, &callbacks, seen);
    while (fed < (1 << 20) && event_stream_feed(&s, piece, len) == RELAY_OK)
        fed += len;
    assert_int_equal(event_stream_feed(&s, "\n\ndata: a\n\n", 11), RELAY_EOVERFLOW);
    event_stream_restart(&s);
    assert_int_equal(event_stream_feed(&s, "data: a\n\n", 9), RELAY_OK);
    event_stream_fini(&s);
    return fed;
}

static void limits(void **state) {
    (void)state;
    static const char *const endless[] = {"x", ":", "data: ", "data\n", "data: x\n", "id: 1"};
    for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
        struct buf seen = BUF_INIT;
        size_t fed = feed_until_full(endless[i], &seen);
        assert_in_range(fed, LIMIT - 6, 8 * LIMIT);
        assert_string_equal(seen.data, "[|a]"); /* nothing of what was too long */
        buf_fini(&seen);
    }
}

static void as_much_as_the_limit_is_no_error(void **state) {
    (void)state;
    struct event_stream s;
    struct buf seen = BUF_INIT, line = BUF_INIT;
    event_stream_init(&s, LIMIT, &callbacks, &seen);
    buf_puts(&line, "data:");
    while (line.len < LIMIT)
        buf_putc(&line, 'x');
    assert_int_equal(event_stream_feed(&s, line.data, line.len), RELAY_OK);
    assert_int_equal(event_stream_feed(&s, "\ndata:xxxx\n\n", 12), RELAY_OK);
    assert_int_equal(seen.len, 3 + LIMIT);
    event_stream_fini(&s);
    buf_fini(&line);
    buf_fini(&seen);
}

/* Much of one line end: minutes, if each line looked through all that is behind it. */
static void line_ends_alone(void **state) {
    (void)state;
    enum { LEN = 8 * 1024 * 1024 };
    char *bytes = malloc(LEN);
    struct buf seen = BUF_INIT;
    for (int i = 0; i < 2; i++) {
        struct event_stream s;
        event_stream_init(&s, LIMIT, &callbacks, &seen);
        memset(bytes, "\r\n"[i], LEN);
        assert_int_equal(event_stream_feed(&s, bytes, LEN), RELAY_OK);
        event_stream_fini(&s);
    }
    assert_int_equal(seen.len, 0);
    buf_fini(&seen);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_standard),
        cmocka_unit_test(line_ends),
        cmocka_unit_test(byte_order_mark),
        cmocka_unit_test(names),
        cmocka_unit_test(ids),
        cmocka_unit_test(retries),
        cmocka_unit_test(bytes_that_are_no_utf8),
        cmocka_unit_test(another_stream),
        cmocka_unit_test(limits),
        cmocka_unit_test(as_much_as_the_limit_is_no_error),
        cmocka_unit_test(line_ends_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
