/* When keys are fetched. */
#include "relay/jwks/schedule.h"

#include "tests/unit/unit.h"

enum { START_MS = 1000000 };

static struct rng rng = {.state = 1};

/* One that has just fetched, at START_MS. */
static struct jwks_schedule fetched(const uint64_t *max_age_ms) {
    struct jwks_schedule s;
    jwks_schedule_init(&s, START_MS);
    jwks_schedule_began(&s, START_MS);
    jwks_schedule_done(&s, START_MS, max_age_ms, &rng);
    return s;
}

static void the_first_is_due_at_once_and_one_runs_at_a_time(void **state) {
    (void)state;
    struct jwks_schedule s;
    jwks_schedule_init(&s, START_MS);
    assert_true(jwks_schedule_is_due(&s, START_MS));
    jwks_schedule_began(&s, START_MS);
    assert_false(jwks_schedule_is_due(&s, START_MS + 3600 * 1000));
}

static void keys_are_fetched_before_they_are_old(void **state) {
    (void)state;
    const uint64_t minute = 60 * 1000, no = 0, ten = 10 * minute, day = 24 * 60 * minute;
    const struct {
        const uint64_t *said;
        uint64_t age_ms;
    } cases[] = {{NULL, JWKS_AGE_DEFAULT_MS},
                 {&no, JWKS_AGE_MIN_MS},
                 {&ten, 10 * minute},
                 {&day, JWKS_AGE_MAX_MS}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (unsigned n = 0; n < 1000; n++) {
            struct jwks_schedule s = fetched(cases[i].said);
            assert_true(s.due_ms > START_MS + cases[i].age_ms / 100 * 69);
            assert_true(s.due_ms < START_MS + cases[i].age_ms / 100 * 91);
        }
}

static void failures_wait_longer_and_longer(void **state) {
    (void)state;
    struct jwks_schedule s = fetched(NULL);
    uint64_t now_ms = s.due_ms;
    for (unsigned n = 0; n < 100; n++) {
        jwks_schedule_began(&s, now_ms);
        jwks_schedule_failed(&s, now_ms, &rng);
        assert_true(s.due_ms > now_ms && s.due_ms <= now_ms + 2 * JWKS_RETRY_MAX_MS);
        if (n == 0)
            assert_true(s.due_ms <= now_ms + 2 * JWKS_RETRY_FIRST_MS);
        if (n > 20)
            assert_true(s.due_ms >= now_ms + JWKS_RETRY_MAX_MS / 4);
        now_ms = s.due_ms;
    }
    jwks_schedule_began(&s, now_ms);
    jwks_schedule_done(&s, now_ms, NULL, &rng);
    jwks_schedule_began(&s, s.due_ms);
    now_ms = s.began_ms;
    jwks_schedule_failed(&s, now_ms, &rng);
    assert_true(s.due_ms <= now_ms + 2 * JWKS_RETRY_FIRST_MS);
}

static void an_unknown_key_asks_at_once_and_no_more_than_that(void **state) {
    (void)state;
    struct jwks_schedule s = fetched(NULL);
    jwks_schedule_want(&s, START_MS + 1);
    assert_int_equal(s.due_ms, START_MS + JWKS_WANTED_EVERY_MS);
    s = fetched(NULL);
    jwks_schedule_want(&s, START_MS + 2 * JWKS_WANTED_EVERY_MS);
    assert_true(jwks_schedule_is_due(&s, START_MS + 2 * JWKS_WANTED_EVERY_MS));
    /* A failure is no reason to ask sooner. */
    jwks_schedule_began(&s, START_MS);
    jwks_schedule_failed(&s, START_MS, &rng);
    uint64_t due_ms = s.due_ms;
    jwks_schedule_want(&s, START_MS);
    assert_int_equal(s.due_ms, due_ms);
}

static void a_key_that_is_asked_for_during_a_fetch_is_fetched_after_it(void **state) {
    (void)state;
    struct jwks_schedule s = fetched(NULL);
    jwks_schedule_began(&s, START_MS);
    jwks_schedule_want(&s, START_MS + 5);
    jwks_schedule_done(&s, START_MS + 10, NULL, &rng);
    assert_int_equal(s.due_ms, START_MS + JWKS_WANTED_EVERY_MS);
    jwks_schedule_began(&s, s.due_ms);
    jwks_schedule_done(&s, s.began_ms, NULL, &rng);
    assert_true(s.due_ms > s.began_ms + JWKS_WANTED_EVERY_MS);
}

static void an_operator_need_not_wait(void **state) {
    (void)state;
    struct jwks_schedule s = fetched(NULL);
    jwks_schedule_hurry(&s, START_MS + 1);
    assert_true(jwks_schedule_is_due(&s, START_MS + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_due_at_once_and_one_runs_at_a_time),
        cmocka_unit_test(keys_are_fetched_before_they_are_old),
        cmocka_unit_test(failures_wait_longer_and_longer),
        cmocka_unit_test(an_unknown_key_asks_at_once_and_no_more_than_that),
        cmocka_unit_test(a_key_that_is_asked_for_during_a_fetch_is_fetched_after_it),
        cmocka_unit_test(an_operator_need_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
