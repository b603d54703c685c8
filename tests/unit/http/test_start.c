/* Where a stream begins: which parameter wins, what is no cursor, and what is refused. */
#include "relay/http/start.h"

#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/http/h1_request.h"
#include "tests/unit/unit.h"

/* Parse GET /sse?@query with a Last-Event-ID of @header (NULL: none). */
static int parse(const char *query, const char *header, struct cursor_request *out,
                 struct buf *why) {
    struct buf head = BUF_INIT;
    struct h1_request *r = h1_request_new();
    buf_printf(&head, "GET /sse?%s HTTP/1.1\r\nHost: a.example\r\n", query);
    if (header != NULL)
        buf_printf(&head, "Last-Event-ID: %s\r\n", header);
    buf_puts(&head, "\r\n");
    assert_int_equal(h1_request_feed(r, head.data, head.len), head.len);
    assert_int_equal(h1_request_state(r), H1_REQUEST_DONE);
    int rc = cursor_parse(h1_request_view(r), out, why);
    h1_request_free(r);
    buf_fini(&head);
    return rc;
}

static struct cursor_request read_cursor(const char *query, const char *header) {
    struct cursor_request c;
    struct buf why = BUF_INIT;
    memset(&c, 0x55, sizeof(c));
    if (parse(query, header, &c, &why) != RELAY_OK)
        fail_msg("%s: %s", query, why.data);
    assert_int_equal(why.len, 0);
    buf_fini(&why);
    return c;
}

static void assert_id(const char *query, const char *header, uint64_t seq) {
    struct cursor_request c = read_cursor(query, header);
    assert_int_equal(c.kind, CURSOR_ID);
    assert_string_equal(c.id.birth, "b1");
    assert_int_equal(c.id.epoch, 2);
    assert_int_equal(c.id.ms, 36);
    assert_int_equal(c.id.seq, seq);
}

static void assert_since(const char *query, enum cursor_kind kind, uint64_t ms) {
    struct cursor_request c = read_cursor(query, NULL);
    assert_int_equal(c.kind, kind);
    assert_int_equal(c.since_ms, ms);
}

static void nothing_asked_is_from_now_on(void **state) {
    (void)state;
    assert_int_equal(read_cursor("topic=a", NULL).kind, CURSOR_NONE);
    assert_int_equal(read_cursor("topic=a", "").kind, CURSOR_NONE);
    assert_int_equal(read_cursor("lastEventId=&x=1", "  ").kind, CURSOR_NONE);
    assert_int_equal(read_cursor("lastEventId", NULL).kind, CURSOR_NONE);
    assert_int_equal(read_cursor("eventid=b1.2.10-3&Since=1&LAST=1", NULL).kind, CURSOR_NONE);
    assert_int_equal(read_cursor("lastEventIds=b1.2.10-3&lastEvent=1", NULL).kind, CURSOR_NONE);
}

static void a_cursor_comes_as_header_or_in_the_query(void **state) {
    (void)state;
    assert_id("topic=a", "b1.2.10-3", 3);
    assert_id("lastEventId=b1.2.10-4", NULL, 4);
    assert_id("l%61stEventId=%62%31.2.10%2D5", NULL, 5);
    assert_id("lastEventId=b1.2.10-6", "", 6);
}

/* Whoever writes the parameter by hand spells it in one of these ways; to ignore it would be to
 * begin now, in silence. */
static void a_cursor_in_the_query_has_many_names(void **state) {
    (void)state;
    static const char *const names[] = {"lastEventId",   "lastEventID",      "Last-Event-ID",
                                        "last_event_id", "last-event-id",    "LAST_EVENT_ID",
                                        "lasteventid",   "last%2Devent%2Did"};
    struct buf query = BUF_INIT;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        buf_reset(&query);
        buf_printf(&query, "topic=a&%s=b1.2.10-7", names[i]);
        assert_id(query.data, NULL, 7);
    }
    assert_id("last_event_id=b1.2.10-1&lastEventId=b1.2.10-2", NULL, 2);
    buf_fini(&query);
}

static void the_header_wins_and_a_cursor_overrides_the_rest(void **state) {
    (void)state;
    assert_id("lastEventId=b1.2.10-4", "b1.2.10-3", 3);
    assert_id("lastEventId=junk&since=1h&last=5", "b1.2.10-3", 3);
    assert_id("since=1h&last=5&lastEventId=b1.2.10-7", NULL, 7);
    assert_id("since=junk&last=-1", "b1.2.10-3", 3);
    assert_int_equal(read_cursor("lastEventId=b1.2.10-4", "junk").kind, CURSOR_BAD);
    /* A library that appends the cursor to a URL that has one already means the later. */
    assert_id("lastEventId=b1.2.10-1&topic=a&lastEventId=b1.2.10-9", NULL, 9);
}

static void what_is_no_id_is_a_bad_cursor_and_no_error(void **state) {
    (void)state;
    static const char *const bad[] = {"0",
                                      "-",
                                      "b1.2.10",
                                      "B1.2.10-3",
                                      "b1.02.10-3",
                                      "b1.2.10-3,b1.2.10-4",
                                      "..-",
                                      "42",
                                      "../../etc/passwd",
                                      "\xc3\xa4",
                                      "b1.2.10-zzzzzzzzzzzzzzzz"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(read_cursor("since=1h", bad[i]).kind, CURSOR_BAD);
    static const char *const bad_query[] = {"%", "%00", "b1.2.10-3+", "b1.2.10-3%00", "+", "%zz"};
    for (size_t i = 0; i < sizeof(bad_query) / sizeof(bad_query[0]); i++) {
        struct buf query = BUF_INIT;
        buf_printf(&query, "last=3&lastEventId=%s", bad_query[i]);
        assert_int_equal(read_cursor(query.data, NULL).kind, CURSOR_BAD);
        buf_fini(&query);
    }
}

static void ten_kilobytes_are_a_bad_cursor(void **state) {
    (void)state;
    struct buf id = BUF_INIT, query = BUF_INIT;
    buf_puts(&id, "b1.2.10-3");
    while (id.len < 10 * 1024)
        buf_putc(&id, '3');
    assert_int_equal(read_cursor("topic=a", id.data).kind, CURSOR_BAD);
    buf_printf(&query, "lastEventId=%s", id.data);
    assert_int_equal(read_cursor(query.data, NULL).kind, CURSOR_BAD);
    buf_fini(&query);
    buf_fini(&id);
}

static void since_is_a_time_or_a_duration(void **state) {
    (void)state;
    assert_since("since=0", CURSOR_SINCE, 0);
    assert_since("since=1699999999999", CURSOR_SINCE, 1699999999999);
    assert_since("since=253402300799999", CURSOR_SINCE, 253402300799999);
    assert_since("since=2023-11-14T22:13:20Z", CURSOR_SINCE, 1700000000000);
    assert_since("since=2023-11-15T00:13:20%2B02:00", CURSOR_SINCE, 1700000000000);
    assert_since("since=2023-11-15T00:13:20+02:00", CURSOR_SINCE, 1700000000000);
    assert_since("since=500ms", CURSOR_AGO, 500);
    assert_since("since=30s", CURSOR_AGO, 30000);
    assert_since("since=10m", CURSOR_AGO, 600000);
    assert_since("since=1h&last=3", CURSOR_AGO, 3600000);
    assert_since("last=3&since=%32d", CURSOR_AGO, 2 * 86400000);
    assert_since("since=1h&since=0s", CURSOR_AGO, 0);
    assert_since("since=999999999999999d", CURSOR_AGO, UINT64_MAX);
}

static void last_is_a_number_of_events(void **state) {
    (void)state;
    struct cursor_request c = read_cursor("last=1", NULL);
    assert_int_equal(c.kind, CURSOR_LAST);
    assert_int_equal(c.last, 1);
    c = read_cursor("last=7&last=10000", NULL);
    assert_int_equal(c.kind, CURSOR_LAST);
    assert_int_equal(c.last, CURSOR_LAST_MAX);
    assert_int_equal(read_cursor("last=0", NULL).kind, CURSOR_NONE);
}

static void assert_refuses(const char *query, const char *sentence) {
    struct cursor_request c, before;
    struct buf why = BUF_INIT;
    memset(&c, 0x55, sizeof(c));
    before = c;
    assert_int_equal(parse(query, NULL, &c, &why), RELAY_EINVAL);
    assert_memory_equal(&c, &before, sizeof(c));
    if (strstr(why.data, sentence) == NULL)
        fail_msg("%s: \"%s\" instead of \"%s\"", query, why.data, sentence);
    buf_fini(&why);
}

static void wrong_numbers_are_refused_with_a_sentence(void **state) {
    (void)state;
    static const char *const since[] = {"",    "m",     "-5m",  "+5m", "10x",  "10M",
                                        "1+h", "1h30m", "1.5h", "%zz", "5%00", "5m%00"};
    static const char *const last[] = {"",  "-1",   "1000001", "9999999999999999", "1s", "1.5",
                                       "a", "0x10", "3%00"};
    struct buf query = BUF_INIT;
    for (size_t i = 0; i < sizeof(since) / sizeof(since[0]); i++) {
        buf_reset(&query);
        buf_printf(&query, "since=%s&last=5", since[i]);
        assert_refuses(query.data, "`since` is a duration");
    }
    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        buf_reset(&query);
        buf_printf(&query, "last=%s", last[i]);
        assert_refuses(query.data, "`last` is a number of events");
    }
    assert_refuses("since=1700000000", "this looks like seconds");
    assert_refuses("since=1", "this looks like seconds");
    assert_refuses("since=1700000000000000", "is a duration"); /* 16 digits */
    assert_refuses("since=999999999999999", "this looks like microseconds");
    assert_refuses("since=2023-11-14", "has no time behind the date");
    assert_refuses("since=2023-11-14T22:13:20", "has no time zone");
    assert_refuses("since", "`since` is a duration");
    assert_refuses("lastEventId=&last=x", "`last` is a number of events");
    buf_fini(&query);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_asked_is_from_now_on),
        cmocka_unit_test(a_cursor_comes_as_header_or_in_the_query),
        cmocka_unit_test(a_cursor_in_the_query_has_many_names),
        cmocka_unit_test(the_header_wins_and_a_cursor_overrides_the_rest),
        cmocka_unit_test(what_is_no_id_is_a_bad_cursor_and_no_error),
        cmocka_unit_test(ten_kilobytes_are_a_bad_cursor),
        cmocka_unit_test(since_is_a_time_or_a_duration),
        cmocka_unit_test(last_is_a_number_of_events),
        cmocka_unit_test(wrong_numbers_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests_name("http/cursor", tests, NULL, NULL);
}
