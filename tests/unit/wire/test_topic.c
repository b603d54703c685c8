/* The rules for topics, event names, retry and data. */
#include "relay/wire/topic.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

typedef const char *(*check_fn)(const char *s, size_t len);

static void assert_accepts(check_fn check, const char *s) {
    const char *why = check(s, strlen(s));
    if (why != NULL)
        fail_msg("\"%s\" %s", s, why);
}

/* @reason is a part of the sentence that must come back. */
static void assert_refuses(check_fn check, const char *s, size_t len, const char *reason) {
    const char *why = check(s, len);
    if (why == NULL || strstr(why, reason) == NULL)
        fail_msg("\"%.*s\" (%zu bytes): \"%s\" instead of \"%s\"", (int)len, s, len,
                 why ? why : "accepted", reason);
}

static void topics_are_utf8_with_nearly_anything_in_it(void **state) {
    (void)state;
    static const char *const good[] = {
        "a",        "orders.42",  "with space",       "a,b", "sse:x",  "-",
        "/?&#%\"'", "relay",      "relays.x",         ".",   "RELAY.", "a relay.",
        "\xc2\xa0", "gr\xc3\xbc", "\xf0\x9f\x98\x80", "[x]", "sse1 -"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_accepts(topic_check, good[i]);
}

static void topics_that_break_a_rule_are_refused(void **state) {
    (void)state;
    assert_refuses(topic_check, "", 0, "is empty");
    assert_refuses(topic_check, NULL, 0, "is empty");
    assert_refuses(topic_check, "a*", 2, "patterns");
    assert_refuses(topic_check, "{a", 2, "patterns");
    assert_refuses(topic_check, "a}", 2, "patterns");
    assert_refuses(topic_check, "relay.", 6, "relay.");
    assert_refuses(topic_check, "relay.live", 10, "relay.");
    assert_refuses(topic_check, "a\xff", 2, "UTF-8");
    assert_refuses(topic_check, "\xc3", 1, "UTF-8");
    assert_refuses(topic_check, "\xed\xa0\x80", 3, "UTF-8");
    assert_refuses(topic_check, "a\0b", 3, "control");
    assert_refuses(topic_check, "a\n", 2, "control");
    assert_refuses(topic_check, "\x7f", 1, "control");
    assert_refuses(topic_check, "\xc2\x80", 2, "control");
    assert_refuses(topic_check, "\xc2\x9f", 2, "control");
}

static void event_names_are_nearly_as_free(void **state) {
    (void)state;
    static const char *const good[] = {"",  "message", "errors", "opened", "Error",   "relay",
                                       "*", "{}",      "a b",    "a: b",   "\xc3\xa4"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_accepts(event_name_check, good[i]);
    assert_null(event_name_check(NULL, 0));
}

static void event_names_that_break_a_rule_are_refused(void **state) {
    (void)state;
    assert_refuses(event_name_check, "error", 5, "EventSource");
    assert_refuses(event_name_check, "open", 4, "EventSource");
    assert_refuses(event_name_check, "relay.live", 10, "relay.");
    assert_refuses(event_name_check, "a\rb", 3, "control");
    assert_refuses(event_name_check, "a\nb", 3, "control");
    assert_refuses(event_name_check, "\0", 1, "control");
    assert_refuses(event_name_check, "\xc2\x85", 2, "control");
    assert_refuses(event_name_check, "\xc0\x80", 2, "UTF-8");
}

static void names_have_a_longest(void **state) {
    (void)state;
    char text[TOPIC_MAX_BYTES + 1];
    memset(text, 'x', sizeof(text));
    assert_null(topic_check(text, TOPIC_MAX_BYTES));
    assert_refuses(topic_check, text, TOPIC_MAX_BYTES + 1, "256");
    assert_null(event_name_check(text, EVENT_NAME_MAX_BYTES));
    assert_refuses(event_name_check, text, EVENT_NAME_MAX_BYTES + 1, "128");
}

static void the_limits_are_those_of_the_sentences(void **state) {
    (void)state;
    assert_int_equal(TOPIC_MAX_BYTES, 256);
    assert_int_equal(EVENT_NAME_MAX_BYTES, 128);
    assert_int_equal(RETRY_MIN_MS, 100);
    assert_int_equal(RETRY_MAX_MS, 3600000);
    assert_int_equal(DATA_MAX_BYTES, 1048576);
}

static void retry_has_bounds(void **state) {
    (void)state;
    assert_non_null(retry_check(0));
    assert_non_null(retry_check(99));
    assert_null(retry_check(100));
    assert_null(retry_check(3600000));
    assert_non_null(retry_check(3600001));
    assert_non_null(retry_check((UINT64_C(1) << 32) + 1000));
    assert_non_null(retry_check(UINT64_MAX));
}

static void data_is_any_utf8_up_to_its_limit(void **state) {
    (void)state;
    char *text = calloc(1, DATA_MAX_BYTES + 1);
    assert_non_null(text);
    assert_null(data_check(NULL, 0));
    assert_null(data_check("\r\n\0\x7f\xc2\x9b", 6));
    assert_null(data_check(text, DATA_MAX_BYTES));
    assert_refuses(data_check, text, DATA_MAX_BYTES + 1, "1 MiB");
    text[DATA_MAX_BYTES - 1] = '\xc3';
    assert_refuses(data_check, text, DATA_MAX_BYTES, "UTF-8");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_are_utf8_with_nearly_anything_in_it),
        cmocka_unit_test(topics_that_break_a_rule_are_refused),
        cmocka_unit_test(event_names_are_nearly_as_free),
        cmocka_unit_test(event_names_that_break_a_rule_are_refused),
        cmocka_unit_test(names_have_a_longest),
        cmocka_unit_test(the_limits_are_those_of_the_sentences),
        cmocka_unit_test(retry_has_bounds),
        cmocka_unit_test(data_is_any_utf8_up_to_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
