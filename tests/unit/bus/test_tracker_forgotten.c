/* The order of one topic's events where there is no last id: nothing was published, Redis forgot it
 * in its time, or somebody deleted it. */
#include "tests/unit/bus/tracker_steps.h"

/* ---- no last id ---- */

static void no_last_id_but_a_log(void **state) {
    struct topic t = topic_new();
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    struct tracker_step step = last_is(&t, NULL);
    assert_true(step.ask_clock); /* a birth may be why */
    check(&t, step, TRACKER_READ_NEWEST, NULL, 0);
    check(&t, newest_is(&t, &second), TRACKER_READ_BARRIER, &second, 0);
    synced(&t);
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, NULL), TRACKER_READ_NEWEST, NULL, 0);
    check(&t, newest_is(&t, &third), TRACKER_READ_LOG, NULL, 0); /* known: it is filled in */
    entry(&t, &third, &second, NULL, 0);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
}

static void nothing_at_all(void **state) {
    struct topic t = topic_new();
    (void)state;
    for (int i = 0; i < 2; i++) { /* and again, with nothing lost */
        check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
        check(&t, last_is(&t, NULL), TRACKER_READ_NEWEST, NULL, 0);
        check(&t, newest_is(&t, NULL), TRACKER_READ_BARRIER, i == 0 ? &zero : NULL, 0);
        synced(&t);
    }
    delivered(&t, &first, &zero, NULL, 0);
}

/* Asked again with no last id and no log, @age_ms after its latest event. */
static struct tracker_step asked_after(struct topic *t, uint64_t age_ms) {
    t->now_ms = START_MS + age_ms;
    check(t, begin(t), TRACKER_READ_LAST, NULL, 0);
    check(t, last_is(t, NULL), TRACKER_READ_NEWEST, NULL, 0);
    return newest_is(t, NULL);
}

/* It cannot have been forgotten yet: somebody deleted it, or Redis evicted it. */
static void a_last_id_that_vanished_is_told(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    const struct event_id position = t.clock.position;
    check(&t, asked_after(&t, SURE_MS - 1), TRACKER_READ_BARRIER, &position, RESET_TRIMMED);
    synced(&t);
    delivered(&t, &(struct event_id)AT(START_MS + MEMORY_MS, 0), &zero, NULL, 0); /* rootless */
}

/* The answer takes long: the position has moved, and what came meanwhile is not behind it. */
static void what_comes_while_a_last_id_is_looked_for_is_not_lost(void **state) {
    struct topic t = topic_at(&first);
    const struct event_id position = t.clock.position, next = AT(START_MS + 200, 0);
    struct tracker_step step;
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, NULL), TRACKER_READ_NEWEST, NULL, 0);
    assert_int_equal(message(&t, &next, &zero, false, &step), TRACKER_KEEP);
    t.clock.position = (struct event_id)AT(START_MS + 200, 1); /* by an event of another topic */
    check(&t, newest_is(&t, NULL), TRACKER_READ_BARRIER, &position, RESET_TRIMMED);
    synced(&t);
    delivered(&t, &next, &zero, NULL, 0);
}

/* The clock is behind the top: perhaps a failover that began no epoch yet. The position must not be
 * moved up to what is gone, or cursors that are there would pass for known. */
static void a_last_id_that_vanished_behind_a_top_ahead_of_the_position(void **state) {
    struct topic t = topic_at(&first);
    const struct event_id position = AT(START_MS - 1, 0);
    (void)state;
    t.clock.position = position;
    check(&t, asked_after(&t, 1000), TRACKER_READ_BARRIER, &position, RESET_TRIMMED);
}

/* Redis forgot it in time, and this node knew until lately that there was nothing more. */
static void a_last_id_that_was_forgotten_is_not_told(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    t.tracker.sure_ms = START_MS + MEMORY_MS / 2; /* made sure of, as tracker_is_stale() asks for */
    check(&t, asked_after(&t, SURE_MS), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
    delivered(&t, &(struct event_id)AT(START_MS + MEMORY_MS, 0), &zero, NULL, 0);
}

/* Redis forgot it, but there may have been events since this node knew it. */
static void a_last_id_that_was_forgotten_unseen_is_told(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    check(&t, asked_after(&t, 2 * MEMORY_MS), TRACKER_READ_BARRIER, &zero, RESET_TRIMMED);
    synced(&t);
}

/* What has been told once is not told again for as long as nothing comes. */
/* Evicted, or deleted by hand: what is older than the memory is not. */
static void keys_that_vanish_before_their_time(void **state) {
    static const struct event_id young = AT(START_MS + SURE_MS - 1, 0),
                                 old = AT(START_MS + SURE_MS, 0);
    (void)state;
    for (int is_old = 0; is_old < 2; is_old++) {
        struct topic asked = topic_at(&first), read = topic_at(&first), told = topic_at(&first);
        struct tracker_step step;
        asked.tracker.sure_ms = read.tracker.sure_ms = told.tracker.sure_ms = START_MS - MEMORY_MS;
        assert_int_equal(asked_after(&asked, is_old ? SURE_MS : SURE_MS - 1).restart.vanished,
                         !is_old);
        const struct event_id *id = is_old ? &old : &young;
        begin(&read);
        last_is(&read, id);
        assert_int_equal(
            tracker_entry(&read.tracker, &read.clock, &read.top, id, &zero, read.now_ms).vanished,
            !is_old);
        message(&told, id, &zero, false, &step);
        assert_true(step.restart.due);
        assert_int_equal(step.restart.vanished, !is_old);
    }
}

/* An entry of an epoch that the clock is not known to have begun yet says nothing of that. */
static void keys_that_a_failover_left_behind_did_not_vanish(void **state) {
    struct topic t = topic_at(&first);
    const struct event_id next = {.birth = "b", .epoch = 2, .ms = START_MS + 100};
    (void)state;
    begin(&t);
    last_is(&t, &next);
    const struct event_id before = id_before(next);
    entry(&t, &next, &zero, &before, RESET_TRIMMED);
}

/* Of what a failover kept there was an event, as the ring shows: then its id would be there. */
static void keys_that_vanished_after_a_failover_are_told(void **state) {
    struct event_id notes[] = {{.epoch = 1}, {.epoch = 9, .ms = START_MS, .seq = 1}};
    const struct event_id next = {.birth = "b", .epoch = 9, .ms = START_MS + 300};
    (void)state;
    for (int is_published = 0; is_published < 2; is_published++) {
        struct topic t = topic_at(&third);
        t.clock.position = (struct event_id){.birth = "b", .epoch = 9, .ms = START_MS + 200};
        t.clock.notes = notes;
        t.clock.notes_len = 2;
        t.kept = &second;
        const struct event_id position = t.clock.position;
        begin(&t);
        if (is_published) {
            check(&t, last_is(&t, &next), TRACKER_READ_LOG, &second, 0);
            struct tracker_restart news =
                tracker_entry(&t.tracker, &t.clock, &t.top, &next, &zero, t.now_ms);
            assert_true(news.due && news.vanished);
            assert_int_equal(news.reasons, RESET_TRIMMED);
            continue;
        }
        last_is(&t, NULL);
        check(&t, newest_is(&t, NULL), TRACKER_READ_BARRIER, &position, RESET_TRIMMED);
    }
}

static void a_topic_with_no_root_has_nothing_to_lose(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    const struct event_id position = t.clock.position;
    check(&t, asked_after(&t, 1000), TRACKER_READ_BARRIER, &position, RESET_TRIMMED);
    synced(&t);
    check(&t, asked_after(&t, 2000), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
}

/* The clock of Redis may be ahead of this node's: a last id is as old as that says. */
/* Out of sight for longer than the memory: more may be forgotten than what is known to be gone. */
static void what_came_out_of_sight_may_be_forgotten(void **state) {
    static const struct event_id next = AT(START_MS + 2 * MEMORY_MS, 5);
    const struct event_id before = id_before(next);
    struct topic t = topic_at(&first);
    (void)state;
    const struct event_id position = t.clock.position;
    check(&t, asked_after(&t, 1000), TRACKER_READ_BARRIER, &position, RESET_TRIMMED);
    synced(&t); /* rootless */
    struct topic u = t, v = t;
    u.now_ms += SURE_MS - 1;
    delivered(&u, &next, &zero, NULL, 0);
    v.now_ms += SURE_MS;
    delivered(&v, &next, &zero, &before, RESET_TRIMMED);
    check(&t, asked_after(&t, 2 * MEMORY_MS), TRACKER_READ_BARRIER, &zero, RESET_TRIMMED);
}

/* An entry with none before it may be of a clock that was born since: that is asked for behind it,
 * once. */
static void the_first_entry_of_a_log_is_doubted(void **state) {
    struct topic t = topic_at(&zero);
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &second), TRACKER_READ_LOG, NULL, 0);
    entry(&t, &first, &zero, NULL, 0);
    entry(&t, &second, &first, NULL, 0);
    struct tracker_step step = page(&t, false);
    assert_true(step.ask_clock && tracker_is_idle(&t.tracker));
    check(&t, step, TRACKER_READ_NONE, NULL, 0);
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0); /* it is the same clock */
    check(&t, last_is(&t, &third), TRACKER_READ_LOG, NULL, 0);
    entry(&t, &third, &second, NULL, 0);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
}

static void age_is_told_by_redis(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    t.tracker.sure_ms = START_MS + MEMORY_MS / 2;
    t.clock.ahead_ms = 5000;
    check(&t, asked_after(&t, SURE_MS - 5000), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
}

static void quiet_topics_become_stale(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    assert_false(tracker_is_stale(&t.tracker, &t.clock, START_MS + MEMORY_MS / 4));
    assert_true(tracker_is_stale(&t.tracker, &t.clock, START_MS + MEMORY_MS / 4 + 1));
    t.clock.exists = false; /* no clock: nothing is kept, and nothing forgotten */
    assert_false(tracker_is_stale(&t.tracker, &t.clock, START_MS + MEMORY_MS));
    t.clock.exists = true;
    t.now_ms = START_MS + MEMORY_MS / 2;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    assert_false(tracker_is_stale(&t.tracker, &t.clock, t.now_ms + MEMORY_MS)); /* under way */
    t.now_ms += 10;
    check(&t, last_is(&t, &first), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
    t.now_ms -= 10; /* what is sure is so from when it was asked for on */
    assert_false(tracker_is_stale(&t.tracker, &t.clock, t.now_ms + MEMORY_MS / 4));
    assert_true(tracker_is_stale(&t.tracker, &t.clock, t.now_ms + MEMORY_MS / 4 + 1));
    delivered(&t, &second, &first, NULL, 0);
    assert_false(tracker_is_stale(&t.tracker, &t.clock, t.now_ms + MEMORY_MS / 4));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_last_id_but_a_log),
        cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(a_last_id_that_vanished_is_told),
        cmocka_unit_test(what_comes_while_a_last_id_is_looked_for_is_not_lost),
        cmocka_unit_test(a_last_id_that_vanished_behind_a_top_ahead_of_the_position),
        cmocka_unit_test(a_last_id_that_was_forgotten_is_not_told),
        cmocka_unit_test(a_last_id_that_was_forgotten_unseen_is_told),
        cmocka_unit_test(keys_that_vanish_before_their_time),
        cmocka_unit_test(keys_that_a_failover_left_behind_did_not_vanish),
        cmocka_unit_test(keys_that_vanished_after_a_failover_are_told),
        cmocka_unit_test(a_topic_with_no_root_has_nothing_to_lose),
        cmocka_unit_test(what_came_out_of_sight_may_be_forgotten),
        cmocka_unit_test(the_first_entry_of_a_log_is_doubted),
        cmocka_unit_test(age_is_told_by_redis),
        cmocka_unit_test(quiet_topics_become_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
