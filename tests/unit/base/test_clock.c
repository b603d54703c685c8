/* The clocks. */
#include "relay/base/clock.h"

#include <time.h>

#include "tests/unit/unit.h"

static void monotonic_time_never_goes_back(void **state) {
    (void)state;
    uint64_t last = clock_mono_us();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_mono_us();
        assert_true(now >= last);
        last = now;
    }
}

static void milliseconds_and_microseconds_are_one_clock(void **state) {
    (void)state;
    uint64_t before = clock_mono_us() / 1000;
    uint64_t now = clock_mono_ms();
    uint64_t after = clock_mono_us() / 1000;
    assert_in_range(now, before, after);
}

static void wall_time_is_unix_time(void **state) {
    (void)state;
    time_t before = time(NULL);
    uint64_t now = clock_wall_ms() / 1000;
    time_t after = time(NULL);
    /* time(2) may read a coarser clock, which is one tick behind at the turn of a second */
    assert_in_range(now, (uint64_t)before, (uint64_t)after + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_never_goes_back),
        cmocka_unit_test(milliseconds_and_microseconds_are_one_clock),
        cmocka_unit_test(wall_time_is_unix_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
