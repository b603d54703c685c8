/* Random numbers for jitter: ranges, and that they vary. */
#include "relay/base/rng.h"

#include <string.h>

#include "tests/unit/unit.h"

enum { ROUNDS = 20000 };

static void below_stays_below_and_reaches_everything(void **state) {
    (void)state;
    struct rng r;
    unsigned hits[7] = {0};
    rng_init(&r);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t n = rng_below(&r, 7);
        assert_true(n < 7);
        hits[n]++;
    }
    for (int i = 0; i < 7; i++) /* one in seven each; the bounds are 20 standard deviations off */
        assert_in_range(hits[i], ROUNDS / 7 / 2, ROUNDS / 7 * 2);
    assert_int_equal(rng_below(&r, 1), 0);
    assert_int_equal(rng_below(&r, 0), 0);
}

static void two_generators_differ(void **state) {
    (void)state;
    struct rng a, b;
    rng_init(&a);
    rng_init(&b);
    int same = 0;
    for (int i = 0; i < 8; i++)
        same += rng_below(&a, UINT64_MAX) == rng_below(&b, UINT64_MAX);
    assert_int_equal(same, 0);
}

static void jitter_moves_both_ways_and_not_too_far(void **state) {
    (void)state;
    struct rng r;
    uint64_t lowest = UINT64_MAX, highest = 0;
    rng_init(&r);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t n = rng_jitter(&r, 1000, 20);
        lowest = n < lowest ? n : lowest;
        highest = n > highest ? n : highest;
    }
    assert_in_range(lowest, 800, 850);
    assert_in_range(highest, 1150, 1200);
    assert_int_equal(rng_jitter(&r, 1000, 0), 1000);
    assert_int_equal(rng_jitter(&r, 0, 20), 0);
}

static void backoff_doubles_up_to_its_limit(void **state) {
    (void)state;
    struct rng r;
    rng_init(&r);
    for (int i = 0; i < ROUNDS / 10; i++) {
        uint64_t whole = 100;
        for (unsigned attempt = 0; attempt < 10; attempt++) {
            uint64_t n = rng_backoff_ms(&r, attempt, 100, 2000);
            assert_in_range(n, whole / 2, whole);
            whole = whole * 2 < 2000 ? whole * 2 : 2000;
        }
        assert_in_range(rng_backoff_ms(&r, UINT32_MAX, 100, 2000), 1000, 2000);
        assert_in_range(rng_backoff_ms(&r, 0, 5000, 2000), 1000, 2000);
    }
}

static void hex_has_its_length_and_varies(void **state) {
    (void)state;
    struct rng r;
    char a[17], b[17];
    rng_init(&r);
    memset(a, 'X', sizeof(a));
    rng_hex(&r, a, 16);
    rng_hex(&r, b, 16);
    assert_int_equal(strlen(a), 16);
    assert_int_equal(strspn(a, "0123456789abcdef"), 16);
    assert_string_not_equal(a, b);
    rng_hex(&r, a, 0);
    assert_string_equal(a, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(below_stays_below_and_reaches_everything),
        cmocka_unit_test(two_generators_differ),
        cmocka_unit_test(jitter_moves_both_ways_and_not_too_far),
        cmocka_unit_test(backoff_doubles_up_to_its_limit),
        cmocka_unit_test(hex_has_its_length_and_varies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
