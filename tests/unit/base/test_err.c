/* The texts of the error codes. */
#include "relay/base/err.h"

#include <string.h>

#include "tests/unit/unit.h"

static void every_code_has_a_text_of_its_own(void **state) {
    (void)state;
    const char *unknown = relay_strerror(1);
    for (int a = RELAY_EADDRINUSE; a <= RELAY_OK; a++) {
        assert_string_not_equal(relay_strerror(a), unknown);
        assert_true(strlen(relay_strerror(a)) > 0);
        for (int b = RELAY_EADDRINUSE; b < a; b++)
            assert_string_not_equal(relay_strerror(a), relay_strerror(b));
    }
}

static void an_unknown_code_has_a_text_too(void **state) {
    (void)state;
    assert_string_equal(relay_strerror(-9999), relay_strerror(1));
    assert_string_equal(relay_strerror(1), "unknown error");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_text_of_its_own),
        cmocka_unit_test(an_unknown_code_has_a_text_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
