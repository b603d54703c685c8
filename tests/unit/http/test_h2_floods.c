/* How many frames of a kind a client may send, and how fast. */
#include "relay/http/h2_floods.h"

#include "tests/unit/unit.h"

/* How many of @kind pass at one moment. */
static unsigned burst(struct h2_floods *f, enum http_flood kind, uint64_t now_ms) {
    unsigned n = 0;
    while (n < 100000 && h2_floods_pass(f, kind, now_ms))
        n++;
    return n;
}

static void test_a_burst_passes_and_no_more(void **state) {
    struct h2_floods f = {0};
    (void)state;
    assert_int_equal(burst(&f, HTTP_FLOOD_RESET, 1000), 500);
    assert_int_equal(burst(&f, HTTP_FLOOD_PING, 1000), 200); /* a bucket of its own */
    assert_int_equal(burst(&f, HTTP_FLOOD_SETTINGS, 1000), 50);
    assert_int_equal(burst(&f, HTTP_FLOOD_EMPTY, 1000), 100);
    assert_int_equal(burst(&f, HTTP_FLOOD_OTHER, 1000), 2000);
    assert_false(h2_floods_pass(&f, HTTP_FLOOD_RESET, 1000));
}

/* A steady rate within the limit passes for ever, one above it does not. */
static void test_rate(void **state) {
    struct h2_floods slow = {0}, fast = {0};
    (void)state;
    for (uint64_t n = 0; n < 100000; n++)
        assert_true(h2_floods_pass(&slow, HTTP_FLOOD_PING, 1000 + n * 50)); /* 20 a second */
    uint64_t passed = 0;
    while (passed < 100000 && h2_floods_pass(&fast, HTTP_FLOOD_PING, 1000 + passed * 25))
        passed++;
    assert_in_range(passed, 390, 410); /* it fills by a half of what comes */
}

static void test_cause_is_given(void **state) {
    struct h2_floods f = {0};
    (void)state;
    for (int n = 0; n < 100000; n++) {
        assert_true(h2_floods_pass(&f, HTTP_FLOOD_OTHER, 1000));
        assert_true(h2_floods_pass(&f, HTTP_FLOOD_OTHER, 1000));
        h2_floods_allow(&f, HTTP_FLOOD_OTHER, 2);
    }
    h2_floods_allow(&f, HTTP_FLOOD_OTHER, 1000000); /* what is given beyond that is not saved up */
    assert_int_equal(burst(&f, HTTP_FLOOD_OTHER, 1000), 2000);
}

static void test_continuations_are_of_one_head(void **state) {
    struct h2_floods f = {0};
    (void)state;
    for (int head = 0; head < 1000; head++) {
        h2_floods_allow(&f, HTTP_FLOOD_CONTINUATION, H2_CONTINUATIONS_MAX);
        for (int n = 0; n < H2_CONTINUATIONS_MAX; n++)
            assert_true(h2_floods_pass(&f, HTTP_FLOOD_CONTINUATION, 1000));
    }
    assert_false(h2_floods_pass(&f, HTTP_FLOOD_CONTINUATION, 1000000)); /* no time mends that */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_passes_and_no_more),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_cause_is_given),
        cmocka_unit_test(test_continuations_are_of_one_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
