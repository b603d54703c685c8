/* The order of one topic's events, each transition and each verdict. Topics without a last id are
 * in test_tracker_forgotten.c; test_tracker_walk.c goes through all at random. */
#include "tests/unit/bus/tracker_steps.h"

/* ---- becoming synced ---- */

static void nothing_is_known_at_first(void **state) {
    struct topic t = topic_new();
    (void)state;
    assert_true(tracker_is_idle(&t.tracker));
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    assert_false(tracker_is_idle(&t.tracker));
    assert_false(tracker_is_synced(&t.tracker));
    check(&t, last_is(&t, &second), TRACKER_READ_BARRIER, &second, 0); /* the past is not read */
    synced(&t);
    delivered(&t, &third, &second, NULL, 0);
}

static void what_is_known_goes_on_from_the_top(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    tracker_forget(&t.tracker);
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &first), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
    delivered(&t, &second, &first, NULL, 0);
}

static void what_came_behind_the_top_is_read(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &fourth), TRACKER_READ_LOG, NULL, 0);
    entry(&t, &second, &first, NULL, 0);
    check(&t, page(&t, true), TRACKER_READ_LOG, NULL, 0); /* it was full */
    entry(&t, &third, &second, NULL, 0);
    entry(&t, &fourth, &third, NULL, 0);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
}

/* The last id says what was published, whether or not the log has it: replays find out. */
static void what_was_trimmed_meanwhile_is_passed(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &fourth), TRACKER_READ_LOG, NULL, 0);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, &fourth, 0);
    synced(&t);
}

static void a_hole_in_the_log_is_passed(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &third), TRACKER_READ_LOG, NULL, 0);
    entry(&t, &third, &second, &second, 0);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
}

/* What the log holds behind the top is linked to less: what was seen is not what was published. */
static void a_fork_in_the_log_is_told(void **state) {
    struct topic t = topic_at(&second);
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &third), TRACKER_READ_LOG, NULL, 0);
    entry(&t, &third, &first, &first, RESET_FAILOVER);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
}

/* The topic was set back (an old file): what is known begins there. */
static void a_last_id_below_the_top(void **state) {
    struct topic t = topic_at(&third);
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &first), TRACKER_READ_BARRIER, &first, 0);
    synced(&t);
}

/* The top is of an epoch whose tail was lost: back to what was kept, and on from there. */
static void a_top_that_was_lost_in_a_failover(void **state) {
    struct topic t = topic_at(&third);
    struct event_id notes[] = {{.epoch = 1}, {.epoch = 9, .ms = START_MS, .seq = 1}};
    const struct event_id next = {.birth = "b", .epoch = 9, .ms = START_MS + 3};
    (void)state;
    t.clock.position = (struct event_id){.birth = "b", .epoch = 9, .ms = START_MS + 200};
    t.clock.notes = notes;
    t.clock.notes_len = 2;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &next), TRACKER_READ_LOG, &(struct event_id)AT(START_MS, 1), 0);
    entry(&t, &next, &second, NULL, 0);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
}

/* Neither log nor last id came over: what was there was lost in the failover, and told as that.
 * What is published then is linked to the place, wherever its prev stands below it. */
static void a_topic_that_a_failover_left_empty(void **state) {
    struct event_id notes[] = {{.epoch = 1}, {.epoch = 9, .ms = START_MS, .seq = 1}};
    const struct event_id next = {.birth = "b", .epoch = 9, .ms = START_MS + 300};
    const struct event_id *const prevs[] = {&zero, &first};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct topic t = topic_at(&third);
        t.clock.position = (struct event_id){.birth = "b", .epoch = 9, .ms = START_MS + 200};
        t.clock.notes = notes;
        t.clock.notes_len = 2;
        check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
        check(&t, last_is(&t, NULL), TRACKER_READ_NEWEST, NULL, 0);
        check(&t, newest_is(&t, NULL), TRACKER_READ_BARRIER, &(struct event_id)AT(START_MS, 1), 0);
        synced(&t);
        delivered(&t, &next, prevs[i], i == 0 ? NULL : prevs[i], 0);
    }
}

/* The last id that was kept is the topic's own: there stands an event, and not only a place. */
static void a_topic_that_a_failover_set_back_to_its_own_last_event(void **state) {
    struct topic t = topic_at(&third);
    struct event_id notes[] = {{.epoch = 1}, {.epoch = 9, .ms = START_MS, .seq = 1}};
    const struct event_id next = {.birth = "b", .epoch = 9, .ms = START_MS + 300};
    const struct event_id before = id_before(next);
    (void)state;
    t.clock.position = (struct event_id){.birth = "b", .epoch = 9, .ms = START_MS + 200};
    t.clock.notes = notes;
    t.clock.notes_len = 2;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &second), TRACKER_READ_BARRIER, &second, 0);
    synced(&t);
    delivered(&t, &next, &zero, &before, RESET_TRIMMED); /* its keys were deleted since */
}

/* Away for longer than the memory: an event that came and went meanwhile leaves no trace but that
 * what follows it knows of none before it. */
static void an_entry_behind_more_than_the_memory_is_not_linked(void **state) {
    struct topic t = topic_at(&first);
    const struct event_id next = AT(START_MS + 2 * MEMORY_MS, 5);
    (void)state;
    t.now_ms = START_MS + 2 * MEMORY_MS;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &next), TRACKER_READ_LOG, NULL, 0);
    entry(&t, &next, &zero, &(struct event_id)AT(START_MS + 2 * MEMORY_MS, 4), RESET_TRIMMED);
}

/* A read failed half-way: the top is ahead of the position, and of what is, all the same. */
static void a_top_ahead_of_the_position(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    t.clock.position = first;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &fourth), TRACKER_READ_LOG, NULL, 0);
    entry(&t, &second, &first, NULL, 0);
    entry(&t, &third, &second, NULL, 0);
    check(&t, page(&t, true), TRACKER_READ_LOG, NULL, 0);
    tracker_forget(&t.tracker);
    t.clock.position = second; /* by another topic's event, between two of this one */
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &fourth), TRACKER_READ_LOG, NULL, 0);
    entry(&t, &fourth, &third, NULL, 0);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
}

static void another_birth_begins_anew(void **state) {
    struct topic t = topic_at(&third);
    const struct event_id none = {.birth = "c"}, born = {.birth = "c", .epoch = 1, .ms = START_MS};
    (void)state;
    strcpy(t.clock.position.birth, "c");
    check(&t, begin(&t), TRACKER_READ_LAST, &none, 0);
    check(&t, last_is(&t, &born), TRACKER_READ_BARRIER, &born, 0);
    synced(&t);
}

/* ---- the barrier ---- */

static void messages_that_could_not_be_kept_are_read(void **state) {
    struct topic t = topic_at(&first);
    struct tracker_step step;
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    assert_int_equal(message(&t, &second, &first, false, &step), TRACKER_KEEP);
    tracker_kept_lost(&t.tracker);
    check(&t, last_is(&t, &first), TRACKER_READ_BARRIER, NULL, 0); /* read before it came */
    step = barrier(&t);
    assert_false(step.synced);
    check(&t, step, TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &second), TRACKER_READ_LOG, NULL, 0);
    entry(&t, &second, &first, NULL, 0);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t); /* once is enough */
}

/* An epoch began after the clock was read: what of the past is gone has to be known first. */
static void a_top_of_an_epoch_that_is_not_known(void **state) {
    struct topic t = topic_at(&first);
    const struct event_id later = {.birth = "b", .epoch = 2, .ms = START_MS + 1};
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &later), TRACKER_READ_LOG, NULL, 0);
    entry(&t, &later, &first, NULL, 0);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, NULL, 0);
    struct tracker_step step = barrier(&t);
    assert_true(step.clock_is_behind);
    assert_false(step.synced);
    check(&t, step, TRACKER_READ_NONE, NULL, 0);
    assert_true(tracker_is_idle(&t.tracker));
    struct event_id notes[] = {{.epoch = 1}, {.epoch = 2, .ms = START_MS}};
    t.clock.position.epoch = 2;
    t.clock.notes = notes;
    t.clock.notes_len = 2;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &later), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
}

/* ---- messages ---- */

static void a_message_waits_while_a_topic_is_read(void **state) {
    struct topic t = topic_at(&first);
    struct tracker_step step;
    (void)state;
    tracker_forget(&t.tracker);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(message(&t, &second, &first, i == 1, &step), TRACKER_KEEP);
        assert_false(step.restart.due || step.ask_clock || step.synced);
        assert_int_equal(step.read, TRACKER_READ_NONE);
        if (i == 0)
            check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
        else if (i == 1)
            check(&t, last_is(&t, &third), TRACKER_READ_LOG, NULL, 0);
        else if (i == 2)
            check(&t, page(&t, false), TRACKER_READ_BARRIER, &third, 0);
    }
}

static void a_message_that_was_seen(void **state) {
    struct topic t = topic_at(&third);
    struct tracker_step step;
    (void)state;
    assert_int_equal(message(&t, &third, &second, false, &step), TRACKER_DUPLICATE);
    assert_int_equal(message(&t, &second, &first, false, &step), TRACKER_DUPLICATE);
    assert_int_equal(message(&t, &first, &zero, true, &step), TRACKER_DUPLICATE);
    assert_true(tracker_is_synced(&t.tracker));
    delivered(&t, &fourth, &third, NULL, 0);
}

static void a_message_that_no_clock_gave_out(void **state) {
    struct topic t = topic_at(&first);
    const struct event_id strange = {.birth = "other", .epoch = 1, .ms = 1};
    struct tracker_step step;
    (void)state;
    assert_int_equal(message(&t, &strange, &zero, true, &step), TRACKER_FOREIGN);
    check(&t, step, TRACKER_READ_NONE, NULL, 0);
    tracker_quarantined(&t.tracker);
    assert_true(t.tracker.quarantined);
    delivered(&t, &second, &first, NULL, 0); /* in nobody's way */
    assert_true(t.tracker.quarantined);
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    assert_false(t.tracker.quarantined); /* whatever it was, the log is read behind it */
    check(&t, last_is(&t, &second), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
    assert_false(t.tracker.quarantined);
}

static void a_gap_is_filled_from_the_log(void **state) {
    struct topic t = topic_at(&first);
    struct tracker_step step;
    (void)state;
    assert_int_equal(message(&t, &fourth, &third, false, &step), TRACKER_GAP);
    check(&t, step, TRACKER_READ_LOG, NULL, 0);
    assert_false(tracker_is_synced(&t.tracker));
    entry(&t, &second, &first, NULL, 0);
    entry(&t, &third, &second, NULL, 0);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, NULL, 0);
    synced(&t);
    delivered(&t, &fourth, &third, NULL, 0);
}

static void a_gap_that_the_log_cannot_fill(void **state) {
    struct topic t = topic_at(&first);
    struct tracker_step step;
    (void)state;
    assert_int_equal(message(&t, &fourth, &third, false, &step), TRACKER_GAP);
    check(&t, page(&t, false), TRACKER_READ_BARRIER, &third, 0);
    synced(&t);
    delivered(&t, &fourth, &third, NULL, 0);
}

static void a_fork_is_told(void **state) {
    struct topic t = topic_at(&second);
    (void)state;
    delivered(&t, &third, &first, &first, RESET_FAILOVER);
    delivered(&t, &fourth, &third, NULL, 0);
}

/* Its publisher knew of no event before it, though there was one, lately. Everybody is told, and
 * not only who has a cursor below: that may be an event of another topic, in the place right
 * before. */
static void a_message_with_no_event_before_it(void **state) {
    struct topic t = topic_at(&first);
    const struct event_id before = id_before(third);
    (void)state;
    delivered(&t, &third, &zero, &before, RESET_TRIMMED);
    delivered(&t, &fourth, &third, NULL, 0);
}

/* The same, found in the log. */
static void an_entry_with_no_event_before_it(void **state) {
    struct topic t = topic_at(&first);
    const struct event_id before = id_before(third);
    (void)state;
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, &third), TRACKER_READ_LOG, NULL, 0);
    struct tracker_restart news =
        tracker_entry(&t.tracker, &t.clock, &t.top, &third, &zero, t.now_ms);
    assert_true(news.due && news.vanished);
    assert_int_equal(news.reasons, RESET_TRIMMED);
    assert_id(&news.at, &before);
    t.top = third;
}

static void a_message_behind_a_last_id_that_was_forgotten(void **state) {
    struct topic t = topic_at(&first);
    (void)state;
    t.now_ms = t.tracker.sure_ms + SURE_MS - 1;
    delivered(&t, &(struct event_id)AT(START_MS + SURE_MS, 0), &zero, NULL, 0);
}

/* By Redis's time it is young, or this node has not made sure for too long. */
static void a_message_behind_a_last_id_that_was_not_forgotten_in_time(void **state) {
    static const struct event_id young = AT(START_MS + SURE_MS - 1, 0),
                                 old = AT(START_MS + 3 * MEMORY_MS, 0);
    const struct event_id before_young = id_before(young), before_old = id_before(old);
    struct topic t = topic_at(&first), u = topic_at(&first);
    (void)state;
    delivered(&t, &young, &zero, &before_young, RESET_TRIMMED);
    u.now_ms = u.tracker.sure_ms + SURE_MS;
    delivered(&u, &old, &zero, &before_old, RESET_TRIMMED);
}

/* ---- forgetting ---- */

/* From every state, with whatever is waited for. */
static void everything_can_be_forgotten(void **state) {
    (void)state;
    for (int steps = 0; steps < 6; steps++) {
        struct topic t = topic_at(&first);
        struct tracker_step step;
        for (int i = 0; i < steps; i++) {
            if (i == 0)
                check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
            else if (i == 1)
                check(&t, last_is(&t, NULL), TRACKER_READ_NEWEST, NULL, 0);
            else if (i == 2)
                check(&t, newest_is(&t, &second), TRACKER_READ_LOG, NULL, 0);
            else if (i == 3)
                check(&t, page(&t, false), TRACKER_READ_BARRIER, &second, 0);
            else
                synced(&t);
        }
        tracker_forget(&t.tracker);
        tracker_forget(&t.tracker); /* twice is as once */
        assert_true(tracker_is_idle(&t.tracker));
        assert_int_equal(t.tracker.read, TRACKER_READ_NONE);
        assert_int_equal(message(&t, &third, &second, false, &step), TRACKER_KEEP);
        check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
        bool behind = steps < 4; /* the top is not the second yet */
        check(&t, last_is(&t, &second), behind ? TRACKER_READ_LOG : TRACKER_READ_BARRIER, NULL, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(what_is_known_goes_on_from_the_top),
        cmocka_unit_test(what_came_behind_the_top_is_read),
        cmocka_unit_test(what_was_trimmed_meanwhile_is_passed),
        cmocka_unit_test(a_hole_in_the_log_is_passed),
        cmocka_unit_test(a_fork_in_the_log_is_told),
        cmocka_unit_test(a_last_id_below_the_top),
        cmocka_unit_test(a_top_that_was_lost_in_a_failover),
        cmocka_unit_test(a_topic_that_a_failover_left_empty),
        cmocka_unit_test(a_topic_that_a_failover_set_back_to_its_own_last_event),
        cmocka_unit_test(an_entry_behind_more_than_the_memory_is_not_linked),
        cmocka_unit_test(a_top_ahead_of_the_position),
        cmocka_unit_test(another_birth_begins_anew),
        cmocka_unit_test(messages_that_could_not_be_kept_are_read),
        cmocka_unit_test(a_top_of_an_epoch_that_is_not_known),
        cmocka_unit_test(a_message_waits_while_a_topic_is_read),
        cmocka_unit_test(a_message_that_was_seen),
        cmocka_unit_test(a_message_that_no_clock_gave_out),
        cmocka_unit_test(a_gap_is_filled_from_the_log),
        cmocka_unit_test(a_gap_that_the_log_cannot_fill),
        cmocka_unit_test(a_fork_is_told),
        cmocka_unit_test(a_message_with_no_event_before_it),
        cmocka_unit_test(an_entry_with_no_event_before_it),
        cmocka_unit_test(a_message_behind_a_last_id_that_was_forgotten),
        cmocka_unit_test(a_message_behind_a_last_id_that_was_not_forgotten_in_time),
        cmocka_unit_test(everything_can_be_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
