/* Deleting a topic: what the script answers. What it does is tested against a real Redis. */
#include "relay/wire/delete_script.h"

#include <string.h>

#include "relay/base/err.h"
#include "tests/unit/unit.h"

#define ID "b1rth.1.m2z9xk-10"

static void test_answers(void **state) {
    (void)state;
    struct delete_answer a;
    assert_int_equal(delete_answer_parse("1 1234 " ID, 7 + strlen(ID), &a), RELAY_OK);
    assert_true(a.found && a.announced);
    assert_int_equal(a.entries, 1234);
    assert_int_equal(a.id_len, strlen(ID));
    assert_memory_equal(a.id, ID, a.id_len);
    assert_int_equal(delete_answer_parse("0 0 " ID, 4 + strlen(ID), &a), RELAY_OK);
    assert_true(a.found && !a.announced && a.entries == 0);
    assert_int_equal(delete_answer_parse("none", 4, &a), RELAY_OK);
    assert_false(a.found);
}

static void test_what_is_none(void **state) {
    (void)state;
    static const char *const all[] = {"",          "1",           "1 2",
                                      "none ",     "non",         "2 1 " ID,
                                      "1 x " ID,   "1 -1 " ID,    "1  " ID,
                                      " 1 1 " ID,  "1 1 " ID " ", "1 1 " ID " " ID,
                                      "1 1 birth", "11 1 " ID,    "1 99999999999999999999 " ID};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct delete_answer a = {.entries = 7};
        assert_int_equal(delete_answer_parse(all[i], strlen(all[i]), &a), RELAY_EINVAL);
        assert_int_equal(a.entries, 7);
    }
}

/* The text of the one is the body of a function of the other, so that there is one of it. */
static void test_the_script_holds_both(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    delete_script_put(&text);
    assert_memory_equal(text.data, "local function publish(KEYS, ARGV)\n", 35);
    assert_non_null(strstr(text.data, "\nend\n-- Deletes a topic's log"));
    buf_reset(&text);
    delete_script_put_void(&text, "p");
    assert_string_equal(text.data, "p:relay.nobody");
    buf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_the_script_holds_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
