/* Ids of durable events and their order. */
#include "relay/wire/id.h"

#include <string.h>

#include "relay/base/err.h"
#include "relay/base/rng.h"
#include "tests/unit/unit.h"

/* 2^64 - 1 */
#define LARGEST "3w5e11264sgsf"

static void an_id_is_read(void **state) {
    (void)state;
    struct event_id id;
    assert_int_equal(id_parse("b1rth.1.m2z9xk-10", 17, &id), RELAY_OK);
    assert_string_equal(id.birth, "b1rth");
    assert_true(id.epoch == 1);
    assert_true(id.ms == UINT64_C(1335260936)); /* 22, 2, 35, 9, 33, 20 */
    assert_true(id.seq == 36);
}

static void numbers_reach_64_bits_and_no_further(void **state) {
    (void)state;
    struct event_id id;
    const char *text = "a." LARGEST "." LARGEST "-" LARGEST;
    assert_int_equal(id_parse(text, strlen(text), &id), RELAY_OK);
    assert_true(id.epoch == UINT64_MAX && id.ms == UINT64_MAX && id.seq == UINT64_MAX);
    static const char *const beyond[] = {"a.3w5e11264sgsg.0-0", "a.0.3w5e11264sgsg-0",
                                         "a.0.0-3w5e11264sgsg", "a.0.0-zzzzzzzzzzzzz",
                                         "a.0.0-10000000000000"};
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
        assert_int_equal(id_parse(beyond[i], strlen(beyond[i]), &id), RELAY_EINVAL);
}

static void anything_else_is_refused_and_changes_nothing(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",          "-",        "0",         "a",
        "a.1",       "a.1.2",    "a.1.2-",    "a.1.-3",
        "a..2-3",    ".1.2-3",   "a.1.2-3 ",  " a.1.2-3",
        "a.1.2-3-4", "a.1.2.3",  "a-1.2-3",   "A.1.2-3",
        "a.1.2-Z",   "a.+1.2-3", "a.-1.2-3",  "a.01.2-3",
        "a.1.00-3",  "a.1.2-03", "a_b.1.2-3", "\xc3\xa4.1.2-3",
        "a.1.2-3\n", "a.1.2:3",  "a.1.2-3.",  "12345678901234567.1.2-3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct event_id id, before;
        memset(&id, 0x5a, sizeof(id));
        before = id;
        if (id_parse(bad[i], strlen(bad[i]), &id) != RELAY_EINVAL)
            fail_msg("\"%s\" was accepted", bad[i]);
        assert_memory_equal(&id, &before, sizeof(id));
    }
    assert_int_equal(id_parse("a.1.2-3\0", 8, &(struct event_id){.epoch = 0}), RELAY_EINVAL);
}

static void no_byte_behind_the_length_is_read(void **state) {
    (void)state;
    struct event_id id;
    assert_int_equal(id_parse("a.1.2-34", 7, &id), RELAY_OK);
    assert_true(id.seq == 3);
    for (size_t len = 0; len < 7; len++)
        assert_int_equal(id_parse("a.1.2-34", len, &id), RELAY_EINVAL);
}

static void assert_same_after_writing(const struct event_id *id) {
    struct buf text = BUF_INIT;
    struct event_id again;
    buf_puts(&text, ">");
    id_format(&text, id);
    assert_true(text.len - 1 <= ID_TEXT_MAX_BYTES);
    assert_int_equal(strspn(text.data + 1, "0123456789abcdefghijklmnopqrstuvwxyz.-"), text.len - 1);
    assert_int_equal(id_parse(text.data + 1, text.len - 1, &again), RELAY_OK);
    assert_string_equal(again.birth, id->birth);
    assert_true(again.epoch == id->epoch && again.ms == id->ms && again.seq == id->seq);
    assert_int_equal(id_compare(&again, id), 0);
    buf_fini(&text);
}

static void what_is_written_is_read_back(void **state) {
    (void)state;
    struct rng r = {.state = 7}; /* the same ids in every run */
    struct event_id id = {
        .birth = "0123456789abcdef", .epoch = UINT64_MAX, .ms = UINT64_MAX, .seq = UINT64_MAX};
    assert_same_after_writing(&id);
    id = (struct event_id){.birth = "z"};
    assert_same_after_writing(&id);
    for (int i = 0; i < 20000; i++) {
        rng_hex(&r, id.birth, 1 + (size_t)rng_below(&r, ID_BIRTH_MAX_BYTES));
        id.epoch = rng_below(&r, UINT64_MAX) >> rng_below(&r, 64);
        id.ms = rng_below(&r, UINT64_MAX) >> rng_below(&r, 64);
        id.seq = rng_below(&r, UINT64_MAX) >> rng_below(&r, 64);
        assert_same_after_writing(&id);
    }
}

static void the_text_is_the_documented_one(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    struct event_id id = {.birth = "k3", .epoch = 35, .ms = 36, .seq = 0};
    id_format(&text, &id);
    assert_string_equal(text.data, "k3.z.10-0");
    buf_fini(&text);
}

/* As numbers: "z" is 35 and before "10", though not as text. */
static void ids_are_ordered_by_epoch_then_ms_then_seq(void **state) {
    (void)state;
    static const char *const ordered[] = {
        "a.0.0-0",  "a.0.0-9",    "a.0.0-z",           "a.0.0-10",
        "a.0.1-0",  "a.0.z-zzzz", "a.0.10-0",          "a.1.0-0",
        "a.1.0-1",  "a.z.5-5",    "a.10.0-0",          "a.10.0-1",
        "a.10.1-0", "a.10.1-2",   "a." LARGEST ".0-0", "a." LARGEST ".0-" LARGEST};
    size_t n = sizeof(ordered) / sizeof(ordered[0]);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            struct event_id a, b;
            assert_int_equal(id_parse(ordered[i], strlen(ordered[i]), &a), RELAY_OK);
            assert_int_equal(id_parse(ordered[j], strlen(ordered[j]), &b), RELAY_OK);
            int order = id_compare(&a, &b);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_read),
        cmocka_unit_test(numbers_reach_64_bits_and_no_further),
        cmocka_unit_test(anything_else_is_refused_and_changes_nothing),
        cmocka_unit_test(no_byte_behind_the_length_is_read),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(the_text_is_the_documented_one),
        cmocka_unit_test(ids_are_ordered_by_epoch_then_ms_then_seq),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
