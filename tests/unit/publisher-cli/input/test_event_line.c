/* Lines of NDJSON: each member's meaning, and a sentence for everything that is wrong. */
#include <string.h>

#include "publisher-cli/input/event_line.h"
#include "relay/base/err.h"
#include "tests/unit/unit.h"

static void assert_bytes(const char *got, size_t len, const char *wanted) {
    assert_int_equal(len, strlen(wanted));
    assert_memory_equal(got, wanted, len);
}

static int read_text(struct event_line *l, const char *text) {
    return event_line_read(l, text, strlen(text));
}

static void test_members(void **state) {
    (void)state;
    struct event_line l;
    event_line_init(&l);
    assert_int_equal(
        read_text(
            &l,
            " {\"topics\":[\"a\",\"\\u00fc\"] , \"data\":\"d\\n\",\"event\":\"e\",\"key\":\"k\","
            "\"retry\":\"5s\",\"history\":7,\"ttl\":90000,\"live\":false,"
            "\"time\":1700000000123,\"id\":[\"any\"]} "),
        RELAY_OK);
    assert_int_equal(l.given.topics_count, 2);
    assert_bytes(l.topics[0].name, l.topics[0].len, "a");
    assert_bytes(l.topics[1].name, l.topics[1].len, "\xc3\xbc");
    assert_bytes(l.given.event.data, l.given.event.data_len, "d\n");
    assert_bytes(l.given.event.name, l.given.event.name_len, "e");
    assert_bytes(l.given.key, l.given.key_len, "k");
    assert_int_equal(l.given.event.retry_ms, 5000);
    assert_int_equal(l.given.history, 7);
    assert_int_equal(l.given.ttl_ms, 90000);
    assert_true(l.given.has_live && !l.given.is_live && l.given.has_time);
    assert_int_equal(l.given.time_ms, 1700000000123);

    /* The next line knows nothing of it, and null is as good as absent. */
    assert_int_equal(read_text(&l, "{\"topic\":\"t\",\"event\":null,\"key\":null,\"retry\":null,"
                                   "\"live\":null,\"time\":null,\"data\":null}"),
                     RELAY_OK);
    assert_int_equal(l.given.topics_count, 1);
    assert_bytes(l.given.event.data, l.given.event.data_len, "null");
    assert_true(l.given.event.name == NULL && l.given.key == NULL && l.given.event.retry_ms == 0);
    assert_true(l.given.history == 0 && l.given.ttl_ms == 0 && !l.given.has_live &&
                !l.given.has_time);
    event_line_fini(&l);
}

static void test_data(void **state) {
    (void)state;
    static const char *const all[][2] = {
        {"\"\"", ""},          {"\"text\"", "text"},
        {" 1.50 ", "1.50"},    {"12345678901234567890123", "12345678901234567890123"},
        {"[ 1, 2 ]", "[1,2]"}, {"{ \"b\" : 1, \"a\" : \" \" }", "{\"b\":1,\"a\":\" \"}"},
        {"false", "false"},
    };
    struct event_line l;
    event_line_init(&l);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct buf text = BUF_INIT;
        buf_printf(&text, "{\"data\":%s}", all[i][0]);
        assert_int_equal(event_line_read(&l, text.data, text.len), RELAY_OK);
        assert_bytes(l.given.event.data, l.given.event.data_len, all[i][1]);
        assert_int_equal(l.given.topics_count, 0);
        buf_fini(&text);
    }
    event_line_fini(&l);
}

static void test_relays_own(void **state) {
    (void)state;
    struct event_line l;
    event_line_init(&l);
    assert_int_equal(read_text(&l, "{\"event\":\"relay.reset\"}"), RELAY_OK);
    assert_true(event_line_is_relays(&l));
    assert_int_equal(read_text(&l, "{\"event\":\"relayed\",\"data\":1}"), RELAY_OK);
    assert_false(event_line_is_relays(&l));
    event_line_fini(&l);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const all[][2] = {
        {"", "the line is not a JSON object"},
        {"[1]", "the line is not a JSON object"},
        {"\"a\"", "the line is not a JSON object"},
        {"{\"data\":1", "the line is not JSON: a comma or an end is missing at byte 10"},
        {"{\"data\":1,}", "the line is not JSON: a string is missing at byte 11"},
        {"{\"data\":1} x", "the line is not JSON: something follows the object at byte 12"},
        {"{\"data\" 1}", "the line is not JSON: a colon is missing at byte 9"},
        {"{\"data\":}", "the line is not JSON: a value is missing at byte 9"},
        {"{\"topic\":\"t\"}", "the line has no data"},
        {"{}", "the line has no data"},
        {"{\"data\":1,\"evnt\":2}", "the member \"evnt\" is not known"},
        {"{\"data\":1,\"a\\nb\":2}", "a member is not known"},
        {"{\"data\":1,\"data\":2}", "the member \"data\" is there twice"},
        {"{\"topic\":1}", "\"topic\" is not a string"},
        {"{\"topic\":\"\"}", "the topic is empty"},
        {"{\"topic\":\"relay.x\"}",
         "the topic begins with relay., which is kept for the relay's own"},
        {"{\"topics\":\"a\"}", "\"topics\" is not an array of strings"},
        {"{\"topics\":[\"a\",2]}", "\"topics\" is not a string"},
        {"{\"topics\":[\"a\",\"a\"]}", "a topic is named twice"},
        {"{\"topics\":[\"a\"", "the line is not JSON: a comma or an end is missing at byte 15"},
        {"{\"topic\":\"a\",\"topics\":[\"b\"]}", "the line has both topic and topics"},
        {"{\"event\":\"error\"}", "\"event\" is error or open, which EventSource uses itself"},
        {"{\"event\":2}", "\"event\" is not a string"},
        {"{\"key\":\"\"}", "\"key\" is empty"},
        {"{\"retry\":99}", "\"retry\" is not between 100 and 3600000 milliseconds"},
        {"{\"retry\":-1}", "\"retry\" is not a whole number"},
        {"{\"retry\":1.5}", "\"retry\" is not a whole number"},
        {"{\"retry\":\"5\"}", "\"retry\" has no unit"},
        {"{\"history\":0}", "\"history\" is no number from 1 to 10000000"},
        {"{\"history\":\"7\"}", "\"history\" is not a whole number"},
        {"{\"ttl\":999}", "\"ttl\" is no time of 1s or more"},
        {"{\"live\":1}", "\"live\" is neither true nor false"},
        {"{\"time\":\"now\"}", "\"time\" is not a whole number"},
        {"{\"data\":\"\xff\"}", "the line is not valid UTF-8"},
    };
    struct event_line l;
    event_line_init(&l);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        assert_int_equal(read_text(&l, all[i][0]), RELAY_EINVAL);
        assert_string_equal(l.why.data, all[i][1]);
    }
    event_line_fini(&l);
}

static void test_sizes(void **state) {
    (void)state;
    struct event_line l;
    struct buf text = BUF_INIT;
    event_line_init(&l);
    for (int more = 0; more < 2; more++) {
        buf_reset(&text);
        buf_puts(&text, "{\"data\":\"\\u0061");
        for (int i = 1; i < DATA_MAX_BYTES + more; i++)
            buf_putc(&text, 'a');
        buf_puts(&text, "\"}");
        int rc = event_line_read(&l, text.data, text.len);
        assert_int_equal(rc, more == 0 ? RELAY_OK : RELAY_EINVAL);
    }
    assert_string_equal(l.why.data, "\"data\" is longer than 1 MiB");
    buf_reset(&text);
    buf_puts(&text, "{\"data\":1,\"topics\":[\"t\"");
    for (int i = 0; i < EVENT_LINE_TOPICS_MAX; i++)
        buf_printf(&text, ",\"%d\"", i);
    buf_puts(&text, "]}");
    assert_int_equal(event_line_read(&l, text.data, text.len), RELAY_EINVAL);
    assert_string_equal(l.why.data, "the line names more than 256 topics");
    buf_fini(&text);
    event_line_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),    cmocka_unit_test(test_data),
        cmocka_unit_test(test_relays_own), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
