/* The pace: the rate holds over any time, and nothing is made up for in a flood. */
#include "publisher-cli/input/pace.h"
#include "tests/unit/unit.h"

enum { SECOND_US = 1000000 };

/* How many go from @from_us to @to_us when somebody asks every @step_us. */
static unsigned count(struct pace *p, uint64_t from_us, uint64_t to_us, uint64_t step_us) {
    unsigned taken = 0;
    for (uint64_t now = from_us; now < to_us; now += step_us)
        while (pace_take(p, now))
            taken++;
    return taken;
}

static void test_rates(void **state) {
    (void)state;
    static const double rates[] = {0.5, 1, 30, 1000, 250000};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct pace p;
        pace_init(&p, rates[i], 7 * SECOND_US);
        double taken = count(&p, 7 * SECOND_US, 107 * SECOND_US, 1000);
        double slack = 2 + rates[i] / 1000; /* one step */
        assert_true(taken >= rates[i] * 100 - slack && taken <= rates[i] * 100 + slack);
    }
}

static void test_first_at_once(void **state) {
    (void)state;
    struct pace p;
    pace_init(&p, 2, 0);
    assert_true(pace_take(&p, 0));
    assert_false(pace_take(&p, 0));
    assert_int_equal(pace_wait_ms(&p), 501);
    assert_false(pace_take(&p, 499999));
    assert_true(pace_take(&p, 500001));
}

static void test_no_flood(void **state) {
    (void)state;
    struct pace p;
    pace_init(&p, 1000, 0);
    assert_int_equal(count(&p, 60 * SECOND_US, 60 * SECOND_US + 1, 1), 50);
    pace_init(&p, 1, 0);
    assert_int_equal(count(&p, 60 * SECOND_US, 60 * SECOND_US + 1, 1), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_first_at_once),
        cmocka_unit_test(test_no_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
