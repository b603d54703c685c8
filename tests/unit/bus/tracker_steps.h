/* A tracker, the top beside it, and its steps: for the tests of the order of one topic's events. */
#ifndef TESTS_UNIT_BUS_TRACKER_STEPS_H
#define TESTS_UNIT_BUS_TRACKER_STEPS_H

#include <string.h>

#include "relay/bus/tracker.h"
#include "relay/wire/reset.h"
#include "tests/unit/unit.h"

enum {
    MEMORY_MS = 64000,
    SURE_MS = 63000, /* for so long a last id is there for certain: memory less a 64th */
    START_MS = 1000000
};

#define AT(ms_, seq_)                                                                              \
    { .birth = "b", .epoch = 1, .ms = (ms_), .seq = (seq_) }

static const struct event_id zero = {.birth = "b"};
static const struct event_id first = AT(START_MS, 0), second = AT(START_MS, 1),
                             third = AT(START_MS + 5, 0), fourth = AT(START_MS + 6, 0);

/* A tracker, and the top as whoever uses it keeps it. */
struct topic {
    struct tracker tracker;
    struct domain_clock clock;
    struct event_id top;
    const struct event_id *kept; /* of the ring, where a failover has lost the top */
    uint64_t now_ms;             /* monotonic and of day */
};

static inline struct topic topic_new(void) {
    return (struct topic){.clock = {.known = true,
                                    .exists = true,
                                    .position = AT(START_MS + 100, 0),
                                    .memory_ms = MEMORY_MS},
                          .top = zero,
                          .now_ms = START_MS};
}

/* ---- steps ---- */

static inline void assert_id(const struct event_id *id, const struct event_id *wanted) {
    assert_string_equal(id->birth, wanted->birth);
    assert_int_equal(id_compare(id, wanted), 0);
}

/* What a step asks for; @at: a restart is due, there. */
static inline void check(struct topic *t, struct tracker_step step, enum tracker_read read,
                         const struct event_id *at, unsigned reasons) {
    assert_int_equal(step.read, read);
    assert_int_equal(t->tracker.read, read); /* it waits for that, and nothing else */
    assert_int_equal(step.restart.due, at != NULL);
    assert_int_equal(step.restart.reasons, reasons);
    if (at == NULL)
        return;
    assert_id(&step.restart.at, at);
    t->top = *at;
}

static inline struct tracker_step begin(struct topic *t) {
    return tracker_begin(&t->tracker, &t->clock, &t->top, t->now_ms);
}

static inline struct tracker_step last_is(struct topic *t, const struct event_id *last) {
    return tracker_last(&t->tracker, &t->clock, &t->top, t->kept, last);
}

static inline struct tracker_step newest_is(struct topic *t, const struct event_id *newest) {
    return tracker_newest(&t->tracker, &t->clock, &t->top, newest, t->kept, t->now_ms, t->now_ms);
}

static inline struct tracker_step page(struct topic *t, bool more) {
    return tracker_page(&t->tracker, &t->top, more);
}

static inline struct tracker_step barrier(struct topic *t) {
    return tracker_barrier(&t->tracker, &t->clock, &t->top, t->now_ms);
}

/* A message; the top follows what is delivered. */
static inline enum tracker_verdict message(struct topic *t, const struct event_id *id,
                                           const struct event_id *prev, bool is_foreign,
                                           struct tracker_step *step) {
    enum tracker_verdict verdict =
        tracker_message(&t->tracker, &t->clock, &t->top, id, prev, is_foreign, t->now_ms, step);
    if (verdict == TRACKER_DELIVER)
        t->top = *id;
    return verdict;
}

/* A message that is delivered; @at: behind a restart there. */
static inline void delivered(struct topic *t, const struct event_id *id,
                             const struct event_id *prev, const struct event_id *at,
                             unsigned reasons) {
    struct tracker_step step;
    assert_int_equal(message(t, id, prev, false, &step), TRACKER_DELIVER);
    check(t, step, TRACKER_READ_NONE, at, reasons);
    t->top = *id;
    assert_true(tracker_is_synced(&t->tracker));
}

/* An entry of the log; likewise. */
static inline void entry(struct topic *t, const struct event_id *id, const struct event_id *prev,
                         const struct event_id *at, unsigned reasons) {
    struct tracker_restart news =
        tracker_entry(&t->tracker, &t->clock, &t->top, id, prev, t->now_ms);
    assert_int_equal(news.due, at != NULL);
    assert_int_equal(news.reasons, reasons);
    assert_false(news.vanished);
    if (at != NULL)
        assert_id(&news.at, at);
    t->top = *id;
}

static inline void synced(struct topic *t) {
    struct tracker_step step = barrier(t);
    assert_true(step.synced);
    assert_false(step.ask_clock);
    check(t, step, TRACKER_READ_NONE, NULL, 0);
    assert_true(tracker_is_synced(&t->tracker));
}

/* A topic that is synced, and whose latest event is @top. */
static inline struct topic topic_at(const struct event_id *top) {
    struct topic t = topic_new();
    check(&t, begin(&t), TRACKER_READ_LAST, NULL, 0);
    check(&t, last_is(&t, top), TRACKER_READ_BARRIER, top, 0);
    synced(&t);
    return t;
}

#endif
