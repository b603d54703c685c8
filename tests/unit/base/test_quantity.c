/* Numbers with a unit: what each unit is worth, and what is wrong with everything else. */
#include "relay/base/quantity.h"
#include "tests/unit/unit.h"

static void test_worth(void **state) {
    (void)state;
    static const struct {
        const struct unit *units;
        const char *text;
        uint64_t value;
    } all[] = {
        {quantity_plain, "0", 0},
        {quantity_plain, "007", 7},
        {quantity_time, "0", 0}, /* the only one that needs no unit */
        {quantity_time, "500ms", 500},
        {quantity_time, "3s", 3000},
        {quantity_time, "2m", 120000},
        {quantity_time, "1h", 3600000},
        {quantity_time, "7d", UINT64_C(604800000)},
        {quantity_time_ms, "5", 5},
        {quantity_time_ms, "5s", 5000},
        {quantity_bytes, "1000", 1000},
        {quantity_bytes, "16KiB", 16384},
        {quantity_bytes, "2MiB", 2097152},
        {quantity_bytes, "1GiB", UINT64_C(1073741824)},
        {quantity_plain, "999999999999999", UINT64_C(999999999999999)},
        {quantity_time, "999999999999999d", UINT64_MAX}, /* does not fit */
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        uint64_t value = 42;
        assert_null(quantity_parse(all[i].text, all[i].units, &value));
        assert_true(value == all[i].value);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const struct unit *units;
        const char *text, *wrong;
    } all[] = {
        {quantity_time, "5", "has no unit"},
        {quantity_time, "", "is not a whole number"},
        {quantity_time, "s", "is not a whole number"},
        {quantity_time, "-1s", "is not a whole number"},
        {quantity_time, " 1s", "is not a whole number"},
        {quantity_time, "1.5s", "does not end in a unit that is known"},
        {quantity_time, "1S", "does not end in a unit that is known"},
        {quantity_time, "1s ", "does not end in a unit that is known"},
        {quantity_time, "0KiB", "does not end in a unit that is known"},
        {quantity_plain, "1s", "does not end in a unit that is known"},
        {quantity_bytes, "1KB", "does not end in a unit that is known"},
        {quantity_plain, "1000000000000000", "is out of range"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        uint64_t value = 42;
        assert_string_equal(quantity_parse(all[i].text, all[i].units, &value), all[i].wrong);
        assert_true(value == 42);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worth),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
