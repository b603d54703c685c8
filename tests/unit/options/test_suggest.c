/* What was probably meant. */
#include "relay/options/suggest.h"

#include <string.h>

#include "tests/unit/unit.h"

static const char *const words[] = {"history", "retry", "every", "ttl", "key", NULL};

static const char *nearest(const char *wanted) {
    struct suggestion n;
    const char *found = NULL;
    suggest_init(&n, wanted);
    for (const char *const *word = words; *word != NULL; word++)
        if (suggest_try(&n, *word))
            found = *word;
    return found;
}

static void test_slips(void **state) {
    (void)state;
    assert_string_equal(nearest("histroy"), "history");
    assert_string_equal(nearest("histor"), "history");
    assert_string_equal(nearest("rettry"), "retry");
    assert_string_equal(nearest("evry"), "every");
    assert_string_equal(nearest("tlt"), "ttl"); /* a swap is one slip */
    assert_string_equal(nearest("rtery"), "retry");
    assert_string_equal(nearest("key"), "key");
}

static void test_nothing_near(void **state) {
    (void)state;
    assert_null(nearest("prefix"));
    assert_null(nearest("k"));
    assert_null(nearest(""));
    assert_null(nearest("historyhistoryhistoryhistoryhistoryhistory"));
}

static void test_long_words(void **state) {
    (void)state;
    struct suggestion n;
    suggest_init(&n, "a");
    assert_false(suggest_try(&n, "0123456789012345678901234567890123456789"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slips),
        cmocka_unit_test(test_nothing_near),
        cmocka_unit_test(test_long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
