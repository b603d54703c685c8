/* ISO 8601: what is read, to the millisecond, and what is refused with which words. */
#include "relay/base/timestamp.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/unit/unit.h"

static void assert_reads(const char *text, uint64_t expected) {
    uint64_t ms = 0;
    const char *wrong = timestamp_parse(text, &ms);
    if (wrong != NULL || ms != expected)
        fail_msg("%s: %s, %llu", text, wrong != NULL ? wrong : "read", (unsigned long long)ms);
}

static void times_in_all_their_forms(void **state) {
    (void)state;
    assert_reads("1970-01-01T00:00:00Z", 0);
    assert_reads("2023-11-14T22:13:20Z", 1700000000000);
    assert_reads("2023-11-14T22:13Z", 1699999980000);
    assert_reads("2023-11-14 22:13:20.5Z", 1700000000500);
    assert_reads("2023-11-14t22:13:20.123456z", 1700000000123);
    assert_reads("2023-11-15T00:13:20+02:00", 1700000000000);
    assert_reads("2023-11-15T00:13:20 02:00", 1700000000000); /* a `+` in a URL */
    assert_reads("2023-11-14T16:43:20-05:30", 1700000000000);
    assert_reads("2024-02-29T00:00:00Z", 1709164800000);
    assert_reads("9999-12-31T23:59:59.999Z", 253402300799999);
    assert_reads("2016-12-31T23:59:60Z", 1483228799000);
}

/* Every day of two centuries, beside the C library. */
static void days_are_those_of_the_calendar(void **state) {
    (void)state;
    for (time_t day = 0; day < 200 * 366; day++) {
        time_t at = day * 86400;
        struct tm tm;
        char text[32];
        gmtime_r(&at, &tm);
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
        assert_reads(text, (uint64_t)at * 1000);
    }
}

static void what_is_none_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *wrong;
    } cases[] = {{"", "is no date"},
                 {"2023", "is no date"},
                 {"2023-13-01T00:00Z", "is no date"},
                 {"2023-02-29T00:00Z", "is no date"},
                 {"1969-12-31T23:59Z", "is no date"},
                 {"23-11-14T22:13Z", "is no date"},
                 {"2023-11-14", "has no time behind the date"},
                 {"2023-11-14T", "has no time such as"},
                 {"2023-11-14T24:00Z", "has no time such as"},
                 {"2023-11-14T22:13:20.Z", "has no time such as"},
                 {"2023-11-14T22:13:20", "has no time zone"},
                 {"2023-11-14T22:13:20CET", "has no time zone"},
                 {"2023-11-14T22:13:20+0200", "has no time zone"},
                 {"2023-11-14T22:13:20Z ", "has no time zone"},
                 {"1970-01-01T00:00:00+01:00", "is before 1970"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t ms = 5;
        const char *wrong = timestamp_parse(cases[i].text, &ms);
        if (wrong == NULL || strstr(wrong, cases[i].wrong) == NULL || ms != 5)
            fail_msg("%s: %s", cases[i].text, wrong != NULL ? wrong : "read");
    }
}

static void a_time_is_written_as_it_is_read(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    uint64_t ms;
    timestamp_put(&text, 1700000000999);
    assert_string_equal(text.data, "2023-11-14T22:13:20Z");
    assert_null(timestamp_parse(text.data, &ms));
    assert_int_equal(ms, 1700000000000);
    buf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_in_all_their_forms),
        cmocka_unit_test(days_are_those_of_the_calendar),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(a_time_is_written_as_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
