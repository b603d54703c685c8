/* What was done, in words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/publish/tally.h"
#include "relay/base/mem.h"
#include "tests/unit/unit.h"

static void check_summary(const struct tally *t, uint64_t us, const char *wanted) {
    struct buf text = BUF_INIT;
    tally_put_summary(t, us, &text);
    assert_string_equal(text.data, wanted);
    buf_fini(&text);
}

static void test_summary(void **state) {
    (void)state;
    struct tally *t = mem_zalloc(sizeof(*t));
    check_summary(t, 3000, "published 0 events in 3 ms");
    t->published = 199998;
    tally_topic(t, "a", 1);
    check_summary(t, 2100000, "published 199,998 events to 1 topic in 2.1 s (95,200/s)");
    tally_topic(t, "a", 1);
    tally_topic(t, "b", 1);
    t->skipped = t->failed = 1;
    check_summary(t, 2100000,
                  "published 199,998 events to 2 topics in 2.1 s (95,200/s); 1 skipped, 1 failed");
    t->skipped = t->failed = 0;
    t->published = t->duplicates = t->found = t->lost = t->doubled = t->overtaken = 1;
    check_summary(
        t, 0,
        "published 1 event to 2 topics in 0 ms; 1 of them published before, 1 of them "
        "found stored when sent again, 1 published or not, which is not known, 1 perhaps "
        "there twice, since the connection was lost, 1 behind later ones, since Redis was "
        "busy");
    free(t);
}

static void test_topics(void **state) {
    (void)state;
    struct tally *t = mem_zalloc(sizeof(*t));
    struct buf text = BUF_INIT;
    char name[16];
    t->published = 20000;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 10000; i++) {
            snprintf(name, sizeof(name), "t%d", i);
            tally_topic(t, name, strlen(name));
            if (i == TALLY_TOPICS_MAX - 1 && round == 0)
                assert_int_equal(t->topics_count, TALLY_TOPICS_MAX);
        }
    tally_put_summary(t, 1000000, &text);
    assert_string_equal(text.data,
                        "published 20,000 events to more than 4,096 topics in 1.0 s (20,000/s)");
    buf_fini(&text);
    free(t);
}

static void check(void (*put)(struct buf *out, uint64_t n), uint64_t n, const char *wanted) {
    struct buf text = BUF_INIT;
    put(&text, n);
    assert_string_equal(text.data, wanted);
    buf_fini(&text);
}

static void put_rate(struct buf *out, uint64_t n) {
    tally_put_rate(out, (double)n / 1000);
}

static void test_numbers(void **state) {
    (void)state;
    check(tally_put_number, 0, "0");
    check(tally_put_number, 999, "999");
    check(tally_put_number, 1000, "1,000");
    check(tally_put_number, UINT64_MAX, "18,446,744,073,709,551,615");
    check(tally_put_time, 999999, "999 ms");
    check(tally_put_time, 59900000, "59.9 s");
    check(tally_put_time, 61000000, "1:01 min");
    check(tally_put_time, UINT64_C(7380000000), "2:03 h");
    check(put_rate, 500, "0.5/s");
    check(put_rate, 12400, "12/s");
    check(put_rate, 999400, "999/s");
    check(put_rate, 95238000, "95,200/s");
    check(put_rate, 1234567000, "1,230,000/s");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
