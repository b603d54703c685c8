/* Counts and paces by key, on a clock of the test's. */
#include "relay/http/tally.h"

#include <stdatomic.h>
#include <string.h>
#include <uv.h>

#include "tests/unit/unit.h"

#define SECOND_NS UINT64_C(1000000000)

static struct tally_entry *take(struct tally *t, const char *key, unsigned max) {
    unsigned count;
    return tally_take(t, key, strlen(key), max, &count);
}

static uint64_t pass(struct tally *t, const char *key, const struct pace *p, uint64_t now_ns) {
    return tally_pass(t, key, strlen(key), p, now_ns);
}

/* ---- counts ---- */

static void test_a_key_has_so_many_and_no_more(void **state) {
    struct tally *t = tally_new();
    struct tally_entry *held[3];
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        unsigned count = 0;
        held[i] = tally_take(t, "a", 1, 3, &count);
        assert_non_null(held[i]);
        assert_int_equal(count, i + 1);
    }
    assert_null(take(t, "a", 3));
    struct tally_entry *other = take(t, "b", 3); /* others have counts of their own */
    assert_non_null(other);
    assert_int_equal(tally_give(held[1]), 2);
    held[1] = take(t, "a", 3); /* and a place that is given back is there again */
    assert_non_null(held[1]);
    assert_null(take(t, "a", 3));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tally_give(held[i]), 2 - i);
    tally_give(other);
    assert_int_equal(tally_keys(t), 0);
    tally_free(t);
}

/* A key is bytes: one may begin as another does, or hold any of them. */
static void test_keys_are_bytes(void **state) {
    struct tally *t = tally_new();
    unsigned count;
    (void)state;
    struct tally_entry *a = tally_take(t, "x\0a", 3, 1, &count);
    struct tally_entry *b = tally_take(t, "x\0b", 3, 1, &count);
    struct tally_entry *c = tally_take(t, "x\0", 2, 1, &count);
    struct tally_entry *d = tally_take(t, "", 0, 1, &count);
    assert_true(a != NULL && b != NULL && c != NULL && d != NULL);
    assert_null(tally_take(t, "x\0a", 3, 1, &count));
    assert_int_equal(tally_keys(t), 4);
    tally_give(a), tally_give(b), tally_give(c), tally_give(d);
    assert_int_equal(tally_keys(t), 0);
    tally_free(t);
}

/* A million keys that come and go leave nothing behind. */
static void test_nothing_stays(void **state) {
    struct tally *t = tally_new();
    unsigned count;
    (void)state;
    for (uint64_t n = 0; n < 1000000; n++)
        tally_give(tally_take(t, &n, sizeof(n), 1, &count));
    assert_int_equal(tally_keys(t), 0);
    assert_int_equal(tally_give(NULL), 0);
    tally_free(t);
}

enum { THREADS = 4, TURNS = 20000, SHARED_MAX = 2 };

struct crowd {
    struct tally *tally;
    _Atomic int inside, most;
};

static void come_and_go(void *arg) {
    struct crowd *c = arg;
    for (int n = 0; n < TURNS; n++) {
        struct tally_entry *e = take(c->tally, "shared", SHARED_MAX);
        if (e == NULL)
            continue;
        int inside = atomic_fetch_add(&c->inside, 1) + 1;
        int most = atomic_load(&c->most);
        while (inside > most && !atomic_compare_exchange_weak(&c->most, &most, inside))
            ;
        atomic_fetch_sub(&c->inside, 1);
        tally_give(e);
    }
}

static void test_threads_share_it(void **state) {
    struct crowd c = {.tally = tally_new()};
    uv_thread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(uv_thread_create(&threads[i], come_and_go, &c), 0);
    for (int i = 0; i < THREADS; i++)
        uv_thread_join(&threads[i]);
    assert_true(atomic_load(&c.most) >= 1 && atomic_load(&c.most) <= SHARED_MAX);
    assert_int_equal(tally_keys(c.tally), 0);
    tally_free(c.tally);
}

/* ---- paces ---- */

static void test_a_burst_then_the_rate(void **state) {
    struct tally *t = tally_new();
    struct pace p = pace_of(10, 5);
    uint64_t now = 7 * SECOND_NS;
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(pass(t, "a", &p, now), 0);
    assert_int_equal(pass(t, "a", &p, now), SECOND_NS / 10);
    assert_int_equal(pass(t, "a", &p, now), SECOND_NS / 10); /* a refusal takes nothing */
    assert_int_equal(pass(t, "b", &p, now), 0);              /* a bucket of its own */
    assert_int_equal(pass(t, "a", &p, now + SECOND_NS / 20), SECOND_NS / 20);
    assert_int_equal(pass(t, "a", &p, now + SECOND_NS / 10), 0);
    assert_int_equal(pass(t, "a", &p, now + SECOND_NS / 10), SECOND_NS / 10);
    for (int i = 0; i < 1000; i++) /* the rate itself passes for ever */
        assert_int_equal(pass(t, "a", &p, now + (uint64_t)(i + 2) * SECOND_NS / 10), 0);
    for (int i = 0; i < 5; i++) /* and a rest fills the bucket, no further than that */
        assert_int_equal(pass(t, "a", &p, now + 1000 * SECOND_NS), 0);
    assert_int_not_equal(pass(t, "a", &p, now + 1000 * SECOND_NS), 0);
    tally_free(t);
}

static void test_waiting_takes_nothing(void **state) {
    struct tally *t = tally_new();
    struct pace p = pace_of(1, 1);
    (void)state;
    assert_int_equal(tally_wait(t, "a", 1, &p, SECOND_NS), 0);
    assert_int_equal(tally_wait(t, "a", 1, &p, SECOND_NS), 0);
    assert_int_equal(tally_keys(t), 0);
    assert_int_equal(pass(t, "a", &p, SECOND_NS), 0);
    assert_int_equal(tally_wait(t, "a", 1, &p, SECOND_NS), SECOND_NS);
    assert_int_equal(tally_wait(t, "a", 1, &p, 2 * SECOND_NS), 0);
    tally_free(t);
}

static void test_full_buckets_are_forgotten(void **state) {
    struct tally *t = tally_new();
    struct pace p = pace_of(1, 10);
    (void)state;
    for (int i = 0; i < 3; i++)
        pass(t, "busy", &p, SECOND_NS);
    pass(t, "idle", &p, SECOND_NS);
    tally_sweep(t, SECOND_NS);
    assert_int_equal(tally_keys(t), 2);
    tally_sweep(t, 2 * SECOND_NS);
    assert_int_equal(tally_keys(t), 1);
    assert_int_equal(tally_wait(t, "busy", 4, &p, 2 * SECOND_NS), 0);
    tally_sweep(t, 4 * SECOND_NS);
    assert_int_equal(tally_keys(t), 0);
    tally_free(t);
}

/* So many keys as nobody can count: those that are quiet go by themselves, and there are never more
 * than may be. */
static void test_memory_is_bounded(void **state) {
    struct tally *t = tally_new();
    struct pace p = pace_of(1, 10);
    size_t most = 0;
    (void)state;
    for (uint64_t n = 0; n < 200000; n++) { /* 1,000 a second, each once */
        tally_pass(t, &n, sizeof(n), &p, n * SECOND_NS / 1000);
        if (n % 1000 == 0 && tally_keys(t) > most)
            most = tally_keys(t);
    }
    assert_in_range(most, 1, 3000);
    for (uint64_t n = 0; n < 1000000; n++) /* all at one moment */
        tally_pass(t, &n, sizeof(n), &p, 500 * SECOND_NS);
    assert_in_range(tally_keys(t), 1, TALLY_PACES_MAX);
    tally_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_has_so_many_and_no_more),
        cmocka_unit_test(test_keys_are_bytes),
        cmocka_unit_test(test_nothing_stays),
        cmocka_unit_test(test_threads_share_it),
        cmocka_unit_test(test_a_burst_then_the_rate),
        cmocka_unit_test(test_waiting_takes_nothing),
        cmocka_unit_test(test_full_buckets_are_forgotten),
        cmocka_unit_test(test_memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
