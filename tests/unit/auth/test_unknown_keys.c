/* Names that no key has. */
#include "relay/auth/unknown_keys.h"

#include <stdio.h>

#include "tests/unit/unit.h"

enum { START_MS = 5000 };

static uint64_t since(struct unknown_keys *u, unsigned n, uint64_t now_ms) {
    char kid[24];
    int len = snprintf(kid, sizeof(kid), "name %u", n);
    return unknown_keys_since(u, kid, (size_t)len, now_ms);
}

static void a_name_is_as_old_as_its_first_token(void **state) {
    (void)state;
    struct unknown_keys u;
    unknown_keys_init(&u);
    assert_int_equal(since(&u, 1, START_MS), START_MS);
    assert_int_equal(since(&u, 2, START_MS + 1), START_MS + 1);
    assert_int_equal(since(&u, 1, START_MS + 2), START_MS);
    uint64_t later_ms = START_MS + UNKNOWN_KEYS_KEEP_MS;
    assert_int_equal(since(&u, 1, later_ms - 1), START_MS);
    assert_int_equal(since(&u, 1, later_ms), later_ms);
    assert_int_equal(since(&u, 1, later_ms + 1), later_ms);
}

static void names_that_are_made_up_push_the_oldest_out(void **state) {
    (void)state;
    struct unknown_keys u;
    unknown_keys_init(&u);
    for (unsigned n = 0; n < UNKNOWN_KEYS_MAX; n++)
        since(&u, n, START_MS + n);
    for (unsigned n = 0; n < UNKNOWN_KEYS_MAX; n++)
        assert_int_equal(since(&u, n, START_MS + 1000), START_MS + n);
    since(&u, UNKNOWN_KEYS_MAX, START_MS + 1000);
    assert_int_equal(since(&u, 1, START_MS + 1001), START_MS + 1);
    assert_int_equal(since(&u, 0, START_MS + 1002), START_MS + 1002);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_as_old_as_its_first_token),
        cmocka_unit_test(names_that_are_made_up_push_the_oldest_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
