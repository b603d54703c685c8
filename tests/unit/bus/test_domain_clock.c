/* Where a cursor stands, case by case; that it is right in all of them is tests/simulation's. */
#include "relay/bus/domain_clock.h"
#include "relay/bus/ring.h"

#include <string.h>

#include "relay/wire/reset.h"
#include "tests/unit/unit.h"

#define AT(epoch_, ms_, seq_)                                                                      \
    { .birth = "b", .epoch = (epoch_), .ms = (ms_), .seq = (seq_) }

/* Epochs 1, 70 and 90 of this history; others were begun by servers whose last epochs were lost. */
static struct event_id notes[] = {AT(70, 2000, 5), AT(1, 1000, 0), AT(90, 3000, 0)};
static const struct domain_clock domain = {
    .position = AT(90, 4000, 9), .notes = notes, .notes_len = 3, .exists = true, .known = true};

static void check(const struct event_id *cursor, unsigned reasons, const struct event_id *wanted) {
    struct event_id pos;
    assert_int_equal(domain_clock_place(&domain, cursor, &pos), reasons);
    assert_string_equal(pos.birth, wanted->birth);
    assert_int_equal(pos.epoch, wanted->epoch);
    assert_int_equal(pos.ms, wanted->ms);
    assert_int_equal(pos.seq, wanted->seq);
}

static void a_cursor_of_what_was_kept_stays(void **state) {
    (void)state;
    static const struct event_id kept[] = {AT(0, 0, 0),     AT(1, 1000, 0),  AT(1, 1500, 7),
                                           AT(1, 2000, 5),  AT(70, 2000, 5), AT(70, 2500, 0),
                                           AT(70, 3000, 0), AT(90, 3000, 0), AT(90, 4000, 9)};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        check(&kept[i], 0, &kept[i]);
}

static void a_cursor_beyond_what_was_kept_is_set_back(void **state) {
    (void)state;
    static const struct {
        struct event_id cursor, pos;
    } all[] = {{AT(1, 2000, 6), AT(1, 2000, 5)},
               {AT(1, 9000, 0), AT(1, 2000, 5)},
               {AT(70, 3000, 1), AT(70, 3000, 0)},
               {AT(90, 4000, 10), AT(90, 4000, 9)},
               {AT(90, 4001, 0), AT(90, 4000, 9)}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        check(&all[i].cursor, RESET_FAILOVER, &all[i].pos);
}

/* Wherever it stands, since its numbers are of another history: to the end of the epoch of ours
 * that was there then, so that the place is one of ours. */
static void a_cursor_of_a_lost_epoch_is_told(void **state) {
    (void)state;
    static const struct {
        struct event_id cursor, pos;
    } all[] = {{AT(60, 1500, 0), AT(1, 2000, 5)},  {AT(60, 2000, 5), AT(1, 2000, 5)},
               {AT(60, 9000, 0), AT(1, 2000, 5)},  {AT(71, 2600, 0), AT(70, 3000, 0)},
               {AT(89, 9000, 0), AT(70, 3000, 0)}, {AT(91, 3500, 0), AT(90, 4000, 9)},
               {AT(91, 4000, 9), AT(90, 4000, 9)}, {AT(500, 9000, 0), AT(90, 4000, 9)}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        check(&all[i].cursor, RESET_FAILOVER, &all[i].pos);
}

static void a_cursor_of_another_birth_goes_on_from_now(void **state) {
    (void)state;
    static const struct event_id other = {.birth = "other", .epoch = 70, .ms = 2500};
    check(&other, RESET_BIRTH, &domain.position);
}

/* Epochs before `noted` ended nobody knows where, the first one too, whose own note stays. */
static void a_cursor_of_an_epoch_whose_end_is_not_noted_is_told(void **state) {
    (void)state;
    struct domain_clock d = domain;
    d.noted = 70;
    struct event_id pos;
    static const struct event_id first = AT(1, 1500, 7), kept = AT(70, 2500, 0), zero = AT(0, 0, 0);
    assert_int_equal(domain_clock_place(&d, &first, &pos), RESET_FAILOVER);
    assert_int_equal(pos.ms, 2000);
    assert_int_equal(domain_clock_place(&d, &kept, &pos), 0);
    assert_int_equal(domain_clock_place(&d, &zero, &pos), 0);
}

/* Up to where keys were evicted, a topic of which nothing is left may have had events. */
static void evicted_keys_may_have_been_forgotten(void **state) {
    (void)state;
    struct domain_clock d = domain;
    d.memory_ms = 1000000;
    static const struct event_id before = AT(90, 3500, 0), at = AT(90, 3600, 2);
    assert_false(domain_clock_forgot(&d, &before, 9000));
    d.evicted = (struct event_id){.ms = 3600, .seq = 2};
    assert_true(domain_clock_forgot(&d, &before, 9000));
    assert_false(domain_clock_forgot(&d, &at, 9000));
    assert_false(domain_clock_forgot(&d, &before, 3400)); /* the topic began before the cursor */
    assert_false(domain_clock_forgot(&d, &before, 0));    /* Redis knew of an event before it */
}

/* ---- ahead of the clock ---- */

static bool is_ahead(const struct domain_clock *d, uint64_t ms, uint64_t now_ms) {
    const struct event_id id = AT(1, ms, 0);
    return domain_clock_is_ahead(d, &id, now_ms);
}

static void an_id_of_the_future_is_ahead(void **state) {
    (void)state;
    const struct domain_clock d = {.position = AT(1, 1000, 0)};
    assert_false(is_ahead(&d, 0, 50000));
    assert_false(is_ahead(&d, 50000, 50000));
    assert_false(is_ahead(&d, 51000, 50000)); /* as clocks differ */
    assert_true(is_ahead(&d, 51001, 50000));
    assert_true(is_ahead(&d, UINT64_MAX, 50000));
    assert_true(is_ahead(&d, UINT64_MAX, 0));
}

static void how_far_the_clock_is_ahead_is_learned(void **state) {
    (void)state;
    struct domain_clock d = {.position = AT(1, 1000, 0)};
    domain_clock_learn_ahead(&d, 49000, 50000);
    assert_int_equal(d.ahead_ms, 0);
    domain_clock_learn_ahead(&d, 57000, 50000);
    domain_clock_learn_ahead(&d, 52000, 50000); /* nothing was published for a while */
    assert_int_equal(d.ahead_ms, 7000);
    assert_false(is_ahead(&d, 68000, 60000));
    assert_true(is_ahead(&d, 68001, 60000));
    domain_clock_learn_ahead(&d, UINT64_MAX, 0);
    assert_false(is_ahead(&d, UINT64_MAX, 0));
    assert_false(is_ahead(&d, UINT64_MAX, 60000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cursor_of_what_was_kept_stays),
        cmocka_unit_test(a_cursor_beyond_what_was_kept_is_set_back),
        cmocka_unit_test(a_cursor_of_a_lost_epoch_is_told),
        cmocka_unit_test(a_cursor_of_another_birth_goes_on_from_now),
        cmocka_unit_test(a_cursor_of_an_epoch_whose_end_is_not_noted_is_told),
        cmocka_unit_test(evicted_keys_may_have_been_forgotten),
        cmocka_unit_test(an_id_of_the_future_is_ahead),
        cmocka_unit_test(how_far_the_clock_is_ahead_is_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
