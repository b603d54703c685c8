/* Names in Redis. */
#include "relay/wire/names.h"

#include <ctype.h>
#include <string.h>

#include "relay/wire/topic.h"
#include "tests/unit/unit.h"

static void a_prefix_is_letters_digits_and_three_signs(void **state) {
    (void)state;
    char longest[NAMES_PREFIX_MAX_BYTES + 2];
    for (int c = 1; c < 256; c++) {
        char prefix[] = {'a', (char)c, '\0'};
        bool allowed = c < 128 && (isalnum(c) || strchr("_.-", c) != NULL);
        assert_int_equal(names_prefix_check(prefix) == NULL, allowed);
    }
    memset(longest, 'x', sizeof(longest));
    longest[NAMES_PREFIX_MAX_BYTES + 1] = '\0';
    assert_non_null(names_prefix_check(longest));
    longest[NAMES_PREFIX_MAX_BYTES] = '\0';
    assert_null(names_prefix_check(longest));
    assert_null(names_prefix_check("sse"));
    assert_non_null(names_prefix_check(""));
}

static void a_channel_leads_back_to_its_topic(void **state) {
    (void)state;
    static const char *const topics[] = {"a", "orders.42", "a:b", ":", "sse:sse", "gr\xc3\xbc"};
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        struct buf channel = BUF_INIT;
        const char *topic = NULL;
        size_t len = 0;
        names_channel(&channel, "sse", topics[i], strlen(topics[i]));
        assert_memory_equal(channel.data, "sse:", 4);
        assert_string_equal(channel.data + 4, topics[i]);
        assert_true(names_topic_of_channel("sse", channel.data, channel.len, &topic, &len));
        assert_ptr_equal(topic, channel.data + 4);
        assert_int_equal(len, strlen(topics[i]));
        assert_false(names_topic_of_channel("ss", channel.data, channel.len, &topic, &len));
        assert_false(names_topic_of_channel("ssex", channel.data, channel.len, &topic, &len));
        buf_fini(&channel);
    }
}

static void other_channels_have_no_topic(void **state) {
    (void)state;
    static const char *const channels[] = {
        "", "s", "sse", "sse:", "sse.a", "SSE:a", ":a", " sse:a"};
    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        const char *topic = "untouched";
        size_t len = 99;
        assert_false(names_topic_of_channel("sse", channels[i], strlen(channels[i]), &topic, &len));
        assert_string_equal(topic, "untouched");
        assert_int_equal(len, 99);
    }
}

static void names_are_appended(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    buf_puts(&b, ">");
    names_channel(&b, "p", "topic", 3);
    buf_puts(&b, ">");
    names_probe_channel(&b, "p", "0123abcd");
    assert_string_equal(b.data, ">p:top>p:relay.0123abcd");
    buf_fini(&b);
}

static void no_topic_has_the_channel_of_a_probe(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    const char *topic;
    size_t len;
    names_probe_channel(&b, "sse", "node");
    assert_true(names_topic_of_channel("sse", b.data, b.len, &topic, &len));
    assert_non_null(topic_check(topic, len));
    buf_fini(&b);
}

static void keys_carry_the_tag(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    names_clock(&out, "sse", "0");
    names_log(&out, ",p", "12", "a:b", 3);
    names_last(&out, ",sse", "0", "ax", 1);
    names_once(&out, ",sse", "0", "k", 1);
    names_bars(&out, ",sse", "0");
    assert_string_equal(out.data, "sse:{0}:clock,p:{12}:log:a:b,sse:{0}:last:a,sse:{0}:once:k,"
                                  "sse:{0}:bars");
    buf_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_is_letters_digits_and_three_signs),
        cmocka_unit_test(a_channel_leads_back_to_its_topic),
        cmocka_unit_test(other_channels_have_no_topic),
        cmocka_unit_test(names_are_appended),
        cmocka_unit_test(no_topic_has_the_channel_of_a_probe),
        cmocka_unit_test(keys_carry_the_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
