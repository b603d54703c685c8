/* Query strings, and the topics that they name. */
#include "relay/http/query.h"

#include <stdio.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/http/authority.h"
#include "tests/unit/unit.h"

static void assert_span(struct span s, const char *expected) {
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.data, expected, s.len);
}

static void parameters_come_one_by_one(void **state) {
    (void)state;
    struct span rest = span_of("&a=b&&c&=d&e=&f=g=h&"), name, value;
    assert_true(query_next(&rest, &name, &value));
    assert_span(name, "a");
    assert_span(value, "b");
    assert_true(query_next(&rest, &name, &value));
    assert_span(name, "c");
    assert_null(value.data);
    assert_true(query_next(&rest, &name, &value));
    assert_span(name, "");
    assert_span(value, "d");
    assert_true(query_next(&rest, &name, &value));
    assert_span(name, "e");
    assert_span(value, "");
    assert_non_null(value.data);
    assert_true(query_next(&rest, &name, &value));
    assert_span(name, "f");
    assert_span(value, "g=h");
    assert_false(query_next(&rest, &name, &value));
    struct span none = {NULL, 0};
    assert_false(query_next(&none, &name, &value));
}

static void assert_decodes(const char *raw, const char *expected, size_t len) {
    struct buf out = BUF_INIT;
    buf_puts(&out, "before ");
    assert_int_equal(query_decode(span_of(raw), &out), RELAY_OK);
    assert_int_equal(out.len, strlen("before ") + len);
    assert_memory_equal(out.data + strlen("before "), expected, len + 1);
    buf_fini(&out);
}

static void values_are_decoded(void **state) {
    (void)state;
    assert_decodes("", "", 0);
    assert_decodes("a+b%20c%2B%2b", "a b c++", 7);
    assert_decodes("%00%ff%FF%aF", "\0\xff\xff\xaf", 4);
    assert_decodes("\xc3\xa4;=?", "\xc3\xa4;=?", 5);
}

static void broken_escapes_change_nothing(void **state) {
    (void)state;
    static const char *const bad[] = {"%",   "a%",   "%4",  "a%4",  "%g0",
                                      "%0g", "%%20", "%2 ", "b%-1", "%0x"};
    struct buf out = BUF_INIT;
    buf_puts(&out, "before");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(query_decode(span_of(bad[i]), &out), RELAY_EINVAL);
        assert_string_equal(out.data, "before");
        assert_int_equal(out.len, strlen("before"));
    }
    buf_fini(&out);
}

static void names_compare_decoded(void **state) {
    (void)state;
    assert_true(query_name_is(span_of("topic"), "topic"));
    assert_true(query_name_is(span_of("t%6Fpi%63"), "topic"));
    assert_true(query_name_is(span_of(""), ""));
    assert_true(query_name_is((struct span){NULL, 0}, ""));
    assert_false(query_name_is(span_of("topics"), "topic"));
    assert_false(query_name_is(span_of("topi"), "topic"));
    assert_false(query_name_is(span_of("Topic"), "topic"));
    assert_false(query_name_is(span_of("topic%"), "topic"));
    assert_false(query_name_is(span_of("topic%00"), "topic"));
}

/* The topics of @query, joined by '|'. */
static void assert_topics(const char *query, const char *expected) {
    struct topic_list list;
    struct buf why = BUF_INIT, joined = BUF_INIT;
    if (topic_list_parse(span_of(query), 10, &list, &why) != RELAY_OK)
        fail_msg("%s: %s", query, why.data);
    for (size_t i = 0; i < list.len; i++) {
        buf_puts(&joined, i > 0 ? "|" : "");
        buf_append(&joined, list.topics[i].data, list.topics[i].len);
    }
    assert_string_equal(joined.data, expected);
    assert_int_equal(why.len, 0);
    topic_list_fini(&list);
    buf_fini(&joined);
    buf_fini(&why);
}

static void topics_are_split_and_topic_is_not(void **state) {
    (void)state;
    assert_topics("topic=a", "a");
    assert_topics("topics=a", "a");
    assert_topics("topics=a,b%2Cc", "a|b|c");
    assert_topics("topic=a,b%2cc", "a,b,c");
    assert_topics("topics=a,+b+,%20%20c%20d", "a|b|c d");
    assert_topics("topic=+a+", " a ");
    assert_topics("x=1&topic=a&lastEventId=%&topics=b,c&topic=d&as=json", "a|b|c|d");
    assert_topics("t%6fpic=gr%C3%BC%C3%9Fe+x", "gr\xc3\xbc\xc3\x9f"
                                               "e x");
}

static void the_same_topic_counts_once(void **state) {
    (void)state;
    assert_topics("topic=a&topics=a,b,a&topic=b", "a|b");
    assert_topics("topics=a,a,a,a,a,a,a,a,a,a,a,a", "a");
    struct topic_list list;
    struct buf why = BUF_INIT;
    assert_int_equal(topic_list_parse(span_of("topics=a,a,b&x=y&topic=c"), 9, &list, &why),
                     RELAY_OK);
    assert_int_equal(list.len, 3);
    assert_int_equal(list.positions[0], 1);
    assert_int_equal(list.positions[1], 3); /* as whoever wrote the query counts */
    assert_int_equal(list.positions[2], 4);
    topic_list_fini(&list);
}

static void assert_refuses(const char *query, size_t max, const char *sentence) {
    struct topic_list list = {.len = 7};
    struct buf why = BUF_INIT;
    assert_int_equal(topic_list_parse(span_of(query), max, &list, &why),
                     strstr(sentence, "one too many") != NULL ? RELAY_EOVERFLOW : RELAY_EINVAL);
    if (strstr(why.data, sentence) == NULL)
        fail_msg("%s: \"%s\" instead of \"%s\"", query, why.data, sentence);
    assert_int_equal(list.len, 7);
    buf_fini(&why);
}

static void what_is_wrong_is_named_by_its_position(void **state) {
    (void)state;
    assert_refuses("topics=a,,b", 10, "Topic 2 is empty.");
    assert_refuses("topics=a,", 10, "Topic 2 is empty.");
    assert_refuses("topics=a,+,b", 10, "Topic 2 is empty.");
    assert_refuses("topics=,a", 10, "Topic 1 is empty.");
    assert_refuses("topics=", 10, "Topic 1 is empty.");
    assert_refuses("topic", 10, "Topic 1 is empty.");
    assert_refuses("topic=a&topic=", 10, "Topic 2 is empty.");
    assert_refuses("topic=a&topics=a,b&topic=%ff", 10, "Topic 4 is not valid UTF-8.");
    assert_refuses("topic=%0a", 10, "Topic 1 holds a control character.");
    assert_refuses("topic=a&topics=b,%", 10, "Topic 2 holds a '%'");
    assert_refuses("topics=a,b,c", 2, "Topic 3 is one too many");
    assert_refuses("topic=a&topic=a&topic=b", 1, "Topic 3 is one too many");
}

static void no_topic_is_told_how(void **state) {
    (void)state;
    assert_refuses("", 10, "?topic=NAME");
    assert_refuses("Topic=a&top%69=b&x=topic", 10, "?topic=NAME");
}

static void hundreds_of_topics_stay_in_place(void **state) {
    (void)state;
    struct buf query = BUF_INIT, why = BUF_INIT;
    struct topic_list list;
    for (int i = 0; i < 500; i++)
        buf_printf(&query, i % 3 == 0 ? "&topic=t%%2b%d" : "&topics=t%%2b%d", i);
    assert_int_equal(topic_list_parse((struct span){query.data, query.len}, 500, &list, &why),
                     RELAY_OK);
    assert_int_equal(list.len, 500);
    for (size_t i = 0; i < 500; i++) {
        char expected[16];
        snprintf(expected, sizeof(expected), "t+%zu", i);
        assert_span(list.topics[i], expected);
    }
    topic_list_fini(&list);
    assert_int_equal(topic_list_parse((struct span){query.data, query.len}, 499, &list, &why),
                     RELAY_EOVERFLOW);
    buf_fini(&query);
    buf_fini(&why);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_come_one_by_one),
        cmocka_unit_test(values_are_decoded),
        cmocka_unit_test(broken_escapes_change_nothing),
        cmocka_unit_test(names_compare_decoded),
        cmocka_unit_test(topics_are_split_and_topic_is_not),
        cmocka_unit_test(the_same_topic_counts_once),
        cmocka_unit_test(what_is_wrong_is_named_by_its_position),
        cmocka_unit_test(no_topic_is_told_how),
        cmocka_unit_test(hundreds_of_topics_stay_in_place),
    };
    return cmocka_run_group_tests_name("http/query", tests, NULL, NULL);
}
