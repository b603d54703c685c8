/* The table of bars: who is in it, until when, and what a reading of all of them leaves. */
#include "relay/auth/bars.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "relay/base/err.h"
#include "tests/unit/unit.h"

static bool put(struct bars *b, enum kick_by by, const char *name, uint64_t end_ms) {
    bool is_new;
    struct kick_bar bar = {by, name, strlen(name)};
    assert_int_equal(bars_put(b, &bar, end_ms, &is_new), RELAY_OK);
    return is_new;
}

static void lift(struct bars *b, enum kick_by by, const char *name) {
    struct kick_bar bar = {by, name, strlen(name)};
    bars_lift(b, &bar);
}

static uint64_t end_of(struct bars *b, enum kick_by by, const char *name, uint64_t now_ms) {
    return bars_end_ms(b, by, name, strlen(name), now_ms);
}

static void a_name_is_of_its_kind(void **state) {
    (void)state;
    struct bars *b = bars_new();
    assert_int_equal(end_of(b, KICK_SUBJECT, "alice", 0), 0);
    assert_true(put(b, KICK_SUBJECT, "alice", 100));
    assert_int_equal(end_of(b, KICK_SUBJECT, "alice", 0), 100);
    assert_int_equal(end_of(b, KICK_TOKEN, "alice", 0), 0);
    assert_int_equal(end_of(b, KICK_TOPIC, "alice", 0), 0);
    assert_int_equal(end_of(b, KICK_SUBJECT, "alic", 0), 0);
    assert_int_equal(end_of(b, KICK_SUBJECT, "", 0), 0);
    assert_int_equal(bars_end_ms(b, KICK_SUBJECT, NULL, 0, 0), 0);
    char longer[KICK_NAME_MAX_BYTES + 1];
    memset(longer, 'x', sizeof(longer));
    assert_int_equal(bars_end_ms(b, KICK_SUBJECT, longer, sizeof(longer), 0), 0);
    lift(b, KICK_TOKEN, "alice");
    assert_int_equal(bars_count(b), 1);
    lift(b, KICK_SUBJECT, "alice");
    assert_int_equal(bars_count(b), 0);
    assert_int_equal(end_of(b, KICK_SUBJECT, "alice", 0), 0);
    bars_free(b);
}

static void it_ends(void **state) {
    (void)state;
    struct bars *b = bars_new();
    put(b, KICK_SUBJECT, "a", 100);
    put(b, KICK_SUBJECT, "b", 200);
    assert_false(put(b, KICK_SUBJECT, "a", 150)); /* the last one counts */
    assert_int_equal(end_of(b, KICK_SUBJECT, "a", 149), 150);
    assert_int_equal(end_of(b, KICK_SUBJECT, "a", 150), 0); /* whether it was forgotten or not */
    bars_expire(b, 149);
    assert_int_equal(bars_count(b), 2);
    bars_expire(b, 150);
    assert_int_equal(bars_count(b), 1);
    put(b, KICK_SUBJECT, "c", 180);
    bars_expire(b, 180);
    assert_int_equal(bars_count(b), 1);
    assert_int_equal(end_of(b, KICK_SUBJECT, "b", 180), 200);
    bars_expire(b, 200);
    assert_int_equal(bars_count(b), 0);
    put(b, KICK_TOPIC, "d", 300); /* after a time in which there was none */
    bars_expire(b, 299);
    assert_int_equal(bars_count(b), 1);
    bars_expire(b, 300);
    assert_int_equal(bars_count(b), 0);
    bars_free(b);
}

/* What was heard while they were read is newer than what was read. */
static void a_reading_leaves_what_it_found(void **state) {
    (void)state;
    struct bars *b = bars_new();
    put(b, KICK_SUBJECT, "gone", 100);
    put(b, KICK_SUBJECT, "still there", 100);
    bars_reading(b);
    put(b, KICK_SUBJECT, "heard", 100);
    assert_false(put(b, KICK_SUBJECT, "still there", 100));
    assert_true(put(b, KICK_SUBJECT, "found", 100));
    bars_read(b);
    assert_int_equal(end_of(b, KICK_SUBJECT, "gone", 0), 0);
    assert_int_equal(end_of(b, KICK_SUBJECT, "still there", 0), 100);
    assert_int_equal(end_of(b, KICK_SUBJECT, "heard", 0), 100);
    assert_int_equal(end_of(b, KICK_SUBJECT, "found", 0), 100);
    bars_reading(b);
    bars_read(b);
    assert_int_equal(bars_count(b), 0);
    bars_free(b);
}

static void there_is_room_for_so_many(void **state) {
    (void)state;
    struct bars *b = bars_new();
    char name[24];
    for (int i = 0; i < KICK_BARS_MAX; i++) {
        snprintf(name, sizeof(name), "%d", i);
        put(b, KICK_TOKEN, name, 100);
    }
    bool is_new;
    struct kick_bar more = {KICK_TOKEN, "more", 4};
    assert_int_equal(bars_put(b, &more, 100, &is_new), RELAY_EOVERFLOW);
    assert_false(is_new);
    assert_int_equal(bars_count(b), KICK_BARS_MAX);
    assert_false(put(b, KICK_TOKEN, "7", 200));
    assert_int_equal(end_of(b, KICK_TOKEN, "7", 150), 200);
    bars_free(b);
}

static void *ask(void *arg) {
    struct bars *b = arg;
    for (int i = 0; i < 20000; i++) {
        uint64_t end_ms = end_of(b, KICK_SUBJECT, "alice", 0);
        assert_true(end_ms == 0 || end_ms == 100);
    }
    return NULL;
}

static void workers_ask_while_it_changes(void **state) {
    (void)state;
    struct bars *b = bars_new();
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, ask, b);
    for (int i = 0; i < 20000; i++) {
        put(b, KICK_SUBJECT, i % 2 ? "alice" : "bob", 100);
        lift(b, KICK_SUBJECT, i % 3 ? "alice" : "bob");
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    bars_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_of_its_kind),
        cmocka_unit_test(it_ends),
        cmocka_unit_test(a_reading_leaves_what_it_found),
        cmocka_unit_test(there_is_room_for_so_many),
        cmocka_unit_test(workers_ask_while_it_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
