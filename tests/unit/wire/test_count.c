/* Questions and answers about subscribers: what is written is read back, and nothing else is read.
 */
#include "relay/wire/count.h"

#include <string.h>

#include "tests/unit/unit.h"

static void test_a_question(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    struct count_question q;
    count_question_put(&text, "answer-0af", "a b", 3);
    assert_string_equal(text.data, "answer-0af a b");
    assert_true(count_question_read(text.data, text.len, &q));
    assert_string_equal(q.answer_to, "answer-0af");
    assert_int_equal(q.topic_len, 3);
    assert_memory_equal(q.topic, "a b", 3);
    buf_fini(&text);
}

/* An answer, above all, is no question: two relays would never come to an end. */
static void test_what_is_no_question(void **state) {
    (void)state;
    static const char *const all[] = {"",
                                      "answer-x",
                                      "answer-x ",
                                      "answer- t",
                                      "answer t",
                                      "count t",
                                      " t",
                                      "x t",
                                      "ANSWER-x t",
                                      "answer-\xc3 t",
                                      "answer-x *",
                                      "answer-x relay.y",
                                      "answer-0123456789012345678901234567890123456789 t"};
    struct count_question q;
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        assert_false(count_question_read(all[i], strlen(all[i]), &q));
    count_answer_put(&text, "sse-relay-0123456789ab", 7, "t", 1);
    assert_false(count_question_read(text.data, text.len, &q));
    buf_fini(&text);
}

static void test_an_answer(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    struct count_answer a;
    count_answer_put(&text, "node", 1234567, "a b", 3);
    assert_true(count_answer_read(text.data, text.len, &a));
    assert_int_equal(a.subscribers, 1234567);
    assert_int_equal(a.topic_len, 3);
    assert_memory_equal(a.topic, "a b", 3);
    buf_fini(&text);
}

static void test_what_is_no_answer(void **state) {
    (void)state;
    static const char *const all[] = {
        "", "node", "node 1", "node  t", "node x t", "node -1 t", "node 1234567890123456789 t"};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct count_answer a;
        assert_false(count_answer_read(all[i], strlen(all[i]), &a));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_question),
        cmocka_unit_test(test_what_is_no_question),
        cmocka_unit_test(test_an_answer),
        cmocka_unit_test(test_what_is_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
