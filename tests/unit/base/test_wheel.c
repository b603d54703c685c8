/* The timing wheel. Time is passed in, so these tests wait for nothing. */
#include "relay/base/wheel.h"

#include <stdlib.h>

#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "tests/unit/unit.h"

enum { TICK = WHEEL_TICK_MS, TURN = WHEEL_SLOTS * WHEEL_TICK_MS };
static const uint64_t START = 1000007; /* not on a tick */

struct timer {
    struct wheel_entry entry;
    uint64_t fired_ms; /* when it last fired */
    int fired;         /* how often */
    struct wheel *wheel;
    uint64_t again_ms;    /* set again for so much later when it fires; 0: do not */
    struct timer *clears; /* clear this one when firing */
    struct timer *frees;  /* free this one when firing */
};

static struct timer *timer_of(struct wheel_entry *e) {
    return container_of(e, struct timer, entry);
}

static void on_fire(struct wheel_entry *e, uint64_t now_ms, void *ctx) {
    struct timer *t = timer_of(e);
    int *count = ctx;
    assert_false(wheel_entry_is_set(e));
    t->fired++;
    t->fired_ms = now_ms;
    if (count != NULL)
        (*count)++;
    if (t->again_ms > 0)
        wheel_set(t->wheel, e, now_ms + t->again_ms);
    if (t->clears != NULL)
        wheel_clear(&t->clears->entry);
    if (t->frees != NULL) {
        wheel_clear(&t->frees->entry);
        free(t->frees); /* may be @t itself */
    }
}

static void fires_once_not_early_and_within_a_tick(void **state) {
    (void)state;
    struct wheel w;
    static const uint64_t waits[] = {1,        99,          100,          101,      TURN - 1, TURN,
                                     TURN + 1, TURN + TICK, 3 * TURN + 5, 7 * TURN, 60 * TURN};
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        struct timer t = {0};
        uint64_t due = START + waits[i];
        wheel_init(&w, START);
        wheel_set(&w, &t.entry, due);
        assert_true(wheel_entry_is_set(&t.entry));
        for (uint64_t now = START; now < due + 2 * TURN; now += TICK)
            wheel_advance(&w, now, on_fire, NULL);
        assert_int_equal(t.fired, 1);
        /* one tick from the wheel, and one since it is advanced only every tick here */
        assert_in_range(t.fired_ms, due, due + 2 * TICK);
        assert_false(wheel_entry_is_set(&t.entry));
    }
}

static void a_past_deadline_fires_at_the_next_tick(void **state) {
    (void)state;
    struct wheel w;
    struct timer t = {0};
    wheel_init(&w, START);
    wheel_set(&w, &t.entry, 0);
    wheel_advance(&w, START, on_fire, NULL);
    assert_int_equal(t.fired, 0);
    wheel_advance(&w, START + TICK, on_fire, NULL);
    assert_int_equal(t.fired, 1);
}

static void setting_again_moves_and_clearing_removes(void **state) {
    (void)state;
    struct wheel w;
    struct timer t = {0};
    wheel_init(&w, START);
    wheel_entry_init(&t.entry);
    assert_false(wheel_entry_is_set(&t.entry));
    wheel_clear(&t.entry);
    wheel_set(&w, &t.entry, START + 500);
    wheel_set(&w, &t.entry, START + 5000);
    wheel_advance(&w, START + 2000, on_fire, NULL);
    assert_int_equal(t.fired, 0);
    wheel_set(&w, &t.entry, START + 3000);
    wheel_advance(&w, START + 3200, on_fire, NULL);
    assert_int_equal(t.fired, 1);
    wheel_set(&w, &t.entry, START + 4000);
    wheel_clear(&t.entry);
    wheel_clear(&t.entry);
    assert_false(wheel_entry_is_set(&t.entry));
    wheel_advance(&w, START + 2 * TURN, on_fire, NULL);
    assert_int_equal(t.fired, 1);
}

static void a_callback_may_set_its_own_entry_again(void **state) {
    (void)state;
    struct wheel w;
    struct timer often = {.wheel = &w, .again_ms = 1}, turn = {.wheel = &w, .again_ms = TURN};
    wheel_init(&w, START);
    wheel_set(&w, &often.entry, START + 1);
    wheel_set(&w, &turn.entry, START + 1);
    for (uint64_t i = 1; i <= 3 * WHEEL_SLOTS; i++) {
        wheel_advance(&w, START + i * TICK, on_fire, NULL);
        assert_int_equal(often.fired, i);
    }
    assert_int_equal(turn.fired, 3);
    wheel_clear(&often.entry);
    wheel_clear(&turn.entry);
}

/* All in one slot: the first clears its successor, the second (of the rest) its predecessor, which
 * fired already, and the third clears itself. */
static void a_callback_may_clear_itself_and_others(void **state) {
    (void)state;
    struct wheel w;
    struct timer t[5] = {0};
    int fired = 0;
    wheel_init(&w, START);
    for (int i = 0; i < 5; i++)
        wheel_set(&w, &t[i].entry, START + 50);
    t[0].clears = &t[1];
    t[2].clears = &t[0];
    t[3].clears = &t[3];
    wheel_advance(&w, START + 200, on_fire, &fired);
    assert_int_equal(t[1].fired, 0);
    assert_int_equal(fired, 4);
    assert_int_equal(t[4].fired, 1);
}

static void a_callback_may_clear_the_last_of_its_slot(void **state) {
    (void)state;
    struct wheel w;
    struct timer t[2] = {0};
    wheel_init(&w, START);
    wheel_set(&w, &t[0].entry, START + 50);
    wheel_set(&w, &t[1].entry, START + 50);
    t[0].clears = &t[1];
    wheel_advance(&w, START + 3 * TURN, on_fire, NULL);
    assert_int_equal(t[0].fired, 1);
    assert_int_equal(t[1].fired, 0);
}

static void a_callback_may_free_itself_and_others(void **state) {
    (void)state;
    struct wheel w;
    struct timer *t[4];
    int fired = 0;
    wheel_init(&w, START);
    for (int i = 0; i < 4; i++) {
        t[i] = mem_zalloc(sizeof(*t[i]));
        wheel_set(&w, &t[i]->entry, START + 50 + (i == 3 ? TURN : 0));
    }
    t[0]->frees = t[3]; /* in the same slot, due a turn later */
    t[1]->frees = t[0];
    t[2]->frees = t[2];
    struct timer *left = t[1];
    wheel_advance(&w, START + 200, on_fire, &fired);
    assert_int_equal(fired, 3);
    wheel_advance(&w, START + 3 * TURN, on_fire, &fired);
    assert_int_equal(fired, 3);
    free(left);
}

static void a_loop_that_slept_fires_everything_due_once(void **state) {
    (void)state;
    struct wheel w;
    struct timer t[2 * WHEEL_SLOTS] = {0};
    uint64_t now = START + 5 * TURN + 30;
    int fired = 0;
    wheel_init(&w, START);
    for (uint64_t i = 0; i < 2 * WHEEL_SLOTS; i++)
        wheel_set(&w, &t[i].entry, START + i * TURN / 200); /* up to 5.12 turns ahead */
    wheel_advance(&w, now, on_fire, &fired);
    assert_in_range(fired, 1, 2 * WHEEL_SLOTS - 1);
    for (uint64_t i = 0; i < 2 * WHEEL_SLOTS; i++) {
        bool due = START + i * TURN / 200 + TICK <= now;
        if (due)
            assert_int_equal(t[i].fired, 1);
    }
    wheel_advance(&w, now + TURN, on_fire, &fired);
    assert_int_equal(fired, 2 * WHEEL_SLOTS);
}

static void time_that_stands_or_goes_back_fires_nothing(void **state) {
    (void)state;
    struct wheel w;
    struct timer t = {0};
    wheel_init(&w, START);
    wheel_set(&w, &t.entry, START + 500);
    wheel_advance(&w, START, on_fire, NULL);
    wheel_advance(&w, START - 5000, on_fire, NULL);
    wheel_advance(&w, 0, on_fire, NULL);
    assert_int_equal(t.fired, 0);
    wheel_advance(&w, START + 700, on_fire, NULL);
    assert_int_equal(t.fired, 1);
}

/* Many random steps beside a model that is a plain list of deadlines. */
static void behaves_as_a_plain_list_would(void **state) {
    (void)state;
    enum { TIMERS = 64, STEPS = 20000 };
    struct wheel w;
    struct timer t[TIMERS] = {0};
    uint64_t due[TIMERS] = {0}; /* 0: not set */
    uint64_t now = START;
    struct rng r = {.state = 42}; /* the same steps in every run */
    wheel_init(&w, now);
    for (int step = 0; step < STEPS; step++) {
        size_t i = (size_t)rng_below(&r, TIMERS);
        t[i].fired = 0;
        due[i] = 0;
        wheel_clear(&t[i].entry);
        if (rng_below(&r, 4) > 0) {
            due[i] = now + 1 + rng_below(&r, rng_below(&r, 2) ? 3 * TURN : 5 * TICK);
            wheel_set(&w, &t[i].entry, due[i]);
        }
        now += rng_below(&r, rng_below(&r, 100) ? 2 * TICK : 2 * TURN);
        wheel_advance(&w, now, on_fire, NULL);
        for (i = 0; i < TIMERS; i++) {
            if (due[i] == 0 || due[i] > now)
                assert_int_equal(t[i].fired, 0);
            else if (due[i] + TICK <= now)
                assert_int_equal(t[i].fired, 1);
            if (t[i].fired > 0 && due[i] > 0)
                due[i] = 0, t[i].fired = 0;
            assert_int_equal(wheel_entry_is_set(&t[i].entry), due[i] != 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_once_not_early_and_within_a_tick),
        cmocka_unit_test(a_past_deadline_fires_at_the_next_tick),
        cmocka_unit_test(setting_again_moves_and_clearing_removes),
        cmocka_unit_test(a_callback_may_set_its_own_entry_again),
        cmocka_unit_test(a_callback_may_clear_itself_and_others),
        cmocka_unit_test(a_callback_may_clear_the_last_of_its_slot),
        cmocka_unit_test(a_callback_may_free_itself_and_others),
        cmocka_unit_test(a_loop_that_slept_fires_everything_due_once),
        cmocka_unit_test(time_that_stands_or_goes_back_fires_nothing),
        cmocka_unit_test(behaves_as_a_plain_list_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
