/* The tracker in a random walk: a topic whose events are published, announced or not, trimmed,
 * deleted one by one or with all that is known of it, and forgotten when it is quiet; a
 * subscription connection on which messages are late, foreign, or lost with it; and reads that are
 * answered whenever it happens, or fail.
 *
 * Behind every step it must hold that one thing at most is waited for, that what is passed by a
 * restart is gone from the log or told, that nothing else is ever passed, and in the end that the
 * topic is synced with its latest event. */
#include "relay/bus/tracker.h"

#include <string.h>

#include "relay/base/rng.h"
#include "relay/wire/reset.h"
#include "tests/unit/unit.h"

enum {
    WALKS = 4000,
    STEPS = 250,
    EVENTS = STEPS + 2,
    ITEMS = 4 * STEPS,
    PAGE = 3,
    MEMORY_MS = 64000,
    BARRIER = 0, /* these two in a queue, where other numbers are those of events */
    FOREIGN = -1
};

struct queue {
    int items[ITEMS];
    size_t head, len;
};

/* Events are numbered from 1; 0 is what is below them all. */
struct walk {
    struct rng rng;
    uint64_t now_ms; /* monotonic and of day */
    struct tracker tracker;
    struct domain_clock clock;
    struct event_id top;
    bool known; /* the top was the latest once, so that nothing may be missed from here on */
    /* Redis: */
    struct event_id ids[EVENTS];
    int prev[EVENTS];
    bool in_log[EVENTS];
    bool cut[EVENTS]; /* has no prev, though what was before it was not forgotten yet */
    int latest;
    bool has_last;     /* the last id is known */
    bool is_forgotten; /* log and last id, since nothing was published for so long */
    /* The subscription connection and the messages that wait. */
    struct queue channel, kept;
    /* The read that is under way: not executed by Redis yet, or what it found. */
    bool executed;
    int found[PAGE], found_len;
    unsigned gaps, restarts, forgotten; /* what a walk came through, over all of them */
};

static bool one_in(struct walk *w, uint64_t n) {
    return rng_below(&w->rng, n) == 0;
}

static void push(struct queue *q, int item) {
    assert_true(q->len < ITEMS);
    q->items[q->len++] = item;
}

static bool is_empty(const struct queue *q) {
    return q->head == q->len;
}

/* The number of the latest event at or below @id. */
static int number_of(const struct walk *w, const struct event_id *id) {
    int n = w->latest;
    while (n > 0 && id_compare(&w->ids[n], id) > 0)
        n--;
    return n;
}

/* ---- Redis ---- */

static int newest_in_log(const struct walk *w) {
    int n = w->latest;
    while (n > 0 && !w->in_log[n])
        n--;
    return n;
}

static void publish(struct walk *w, bool announced) {
    int prev = w->has_last ? w->latest : newest_in_log(w), n = ++w->latest;
    w->cut[n] = prev == 0 && !w->is_forgotten;
    w->is_forgotten = false;
    w->now_ms += rng_below(&w->rng, 3);
    struct event_id id = w->clock.position;
    id.ms = w->now_ms;
    id.seq = n > 1 && w->ids[n - 1].ms == id.ms ? w->ids[n - 1].seq + 1 : 0;
    w->ids[n] = id;
    w->prev[n] = prev;
    w->in_log[n] = w->has_last = true;
    if (announced)
        push(&w->channel, n);
}

static void trim(struct walk *w) {
    for (int n = 1, left = (int)rng_below(&w->rng, 4); n <= w->latest && left > 0; n++) {
        left -= w->in_log[n];
        w->in_log[n] = false;
    }
}

static void forget_log(struct walk *w) {
    memset(w->in_log, 0, sizeof(w->in_log));
}

static void execute(struct walk *w) {
    w->executed = true;
    w->found_len = 0;
    int from = number_of(w, &w->top);
    switch (w->tracker.read) {
    case TRACKER_READ_LAST:
        w->found[0] = w->has_last ? w->latest : 0;
        break;
    case TRACKER_READ_NEWEST:
        w->found[0] = newest_in_log(w);
        break;
    case TRACKER_READ_LOG:
        for (int n = from + 1; n <= w->latest && w->found_len < PAGE; n++)
            if (w->in_log[n])
                w->found[w->found_len++] = n;
        break;
    case TRACKER_READ_BARRIER:
        push(&w->channel, BARRIER);
        break;
    case TRACKER_READ_NONE:
        break;
    }
}

/* ---- what must hold ---- */

/* What a restart passes is gone, or told. */
static void restart(struct walk *w, const struct tracker_restart *r) {
    if (!r->due)
        return;
    int from = number_of(w, &w->top), to = number_of(w, &r->at);
    bool told = (r->reasons & RESET_TRIMMED) != 0;
    assert_int_equal(r->reasons & ~(unsigned)RESET_TRIMMED, 0); /* nothing forks here */
    for (int n = from + 1; w->known && !told && n <= to; n++)
        assert_false(w->in_log[n]);
    assert_true(to >= from || told);
    w->restarts += w->known;
    w->known = true;
    w->top = r->at;
}

/* An event is the new top: the next one behind the old, whatever happened. But where somebody
 * deleted all that is known of a topic, what was never announced is gone without a trace. */
static void advance(struct walk *w, int n) {
    int next = number_of(w, &w->top) + 1;
    assert_true(n == next || w->cut[n]);
    w->top = w->ids[n];
    w->known = true;
}

static void take_step(struct walk *w, const struct tracker_step *step);

static void check(const struct walk *w) {
    const struct tracker *t = &w->tracker;
    assert_int_equal(t->state == TRACKER_READING, t->read != TRACKER_READ_NONE);
    assert_false(tracker_is_synced(t) && (t->kept_lost || !is_empty(&w->kept)));
}

/* ---- what arrives ---- */

static void message(struct walk *w, int n) {
    struct event_id zero = domain_clock_zero(&w->clock);
    struct event_id foreign = {.birth = "other", .epoch = 1, .ms = w->now_ms};
    struct tracker_step step;
    bool was_synced = tracker_is_synced(&w->tracker);
    const struct event_id *prev = n == FOREIGN || w->prev[n] == 0 ? &zero : &w->ids[w->prev[n]];
    switch (tracker_message(&w->tracker, &w->clock, &w->top, n == FOREIGN ? &foreign : &w->ids[n],
                            prev, n == FOREIGN, w->now_ms, &step)) {
    case TRACKER_DUPLICATE:
        assert_true(was_synced && n <= number_of(w, &w->top));
        break;
    case TRACKER_FOREIGN:
        assert_true(was_synced && n == FOREIGN);
        break;
    case TRACKER_GAP:
        assert_true(was_synced && w->prev[n] > number_of(w, &w->top));
        assert_int_equal(step.read, TRACKER_READ_LOG);
        w->gaps++;
        push(&w->kept, n);
        take_step(w, &step);
        break;
    case TRACKER_KEEP:
        assert_false(was_synced);
        if (one_in(w, 4)) /* no room, or no memory */
            tracker_kept_lost(&w->tracker);
        else
            push(&w->kept, n);
        break;
    case TRACKER_DELIVER:
        assert_true(was_synced);
        restart(w, &step.restart);
        w->forgotten += w->prev[n] == 0 && !step.restart.due && number_of(w, &w->top) > 0;
        advance(w, n);
        break;
    }
}

static void take_step(struct walk *w, const struct tracker_step *step) {
    restart(w, &step->restart);
    w->executed = false;
    assert_int_equal(step->read, w->tracker.read);
    if (!step->synced)
        return;
    assert_true(tracker_is_synced(&w->tracker));
    domain_clock_advance(&w->clock, &w->top);
    while (!is_empty(&w->kept) && tracker_is_synced(&w->tracker))
        message(w, w->kept.items[w->kept.head++]);
}

static void begin(struct walk *w) {
    struct tracker_step step = tracker_begin(&w->tracker, &w->clock, &w->top, w->now_ms);
    take_step(w, &step);
}

static void page(struct walk *w) {
    bool moved = false;
    for (int i = 0; i < w->found_len; i++) {
        int n = w->found[i];
        struct event_id zero = domain_clock_zero(&w->clock);
        if (id_compare(&w->ids[n], &w->top) <= 0)
            continue;
        struct tracker_restart news =
            tracker_entry(&w->tracker, &w->clock, &w->top, &w->ids[n],
                          w->prev[n] == 0 ? &zero : &w->ids[w->prev[n]], w->now_ms);
        restart(w, &news);
        advance(w, n);
        moved = true;
    }
    struct tracker_step step = tracker_page(&w->tracker, &w->top, moved && w->found_len == PAGE);
    take_step(w, &step);
}

/* The answer to what is read, once Redis executed it. */
static void answer(struct walk *w) {
    const struct event_id *found = w->found[0] != 0 ? &w->ids[w->found[0]] : NULL;
    struct tracker_step step;
    if (w->tracker.read == TRACKER_READ_LOG) {
        page(w);
        return;
    }
    if (w->tracker.read == TRACKER_READ_LAST)
        step = tracker_last(&w->tracker, &w->clock, &w->top, NULL, found);
    else
        step = tracker_newest(&w->tracker, &w->clock, &w->top, found, NULL, w->now_ms, w->now_ms);
    take_step(w, &step);
}

static void barrier(struct walk *w) {
    struct tracker_step step = tracker_barrier(&w->tracker, &w->clock, &w->top, w->now_ms);
    if (step.read == TRACKER_READ_LAST)
        w->kept.head = w->kept.len; /* the log has them */
    take_step(w, &step);
}

static void arrive(struct walk *w) {
    int item = w->channel.items[w->channel.head++];
    if (item != BARRIER)
        message(w, item);
    else if (w->tracker.read == TRACKER_READ_BARRIER && w->executed)
        barrier(w); /* else that of a read that was given up */
}

/* The connection is lost, and what was on its way; the clock is read anew. */
static void reconnect(struct walk *w) {
    tracker_forget(&w->tracker);
    w->channel.head = w->channel.len;
    if (w->latest > 0)
        w->clock.position = w->ids[w->latest];
}

/* Redis goes on, or answers, or a message comes. */
static void go_on(struct walk *w) {
    enum tracker_read read = w->tracker.read;
    if (tracker_is_idle(&w->tracker))
        begin(w);
    else if (read != TRACKER_READ_NONE && !w->executed && one_in(w, 2))
        execute(w);
    else if (read != TRACKER_READ_NONE && read != TRACKER_READ_BARRIER && w->executed &&
             one_in(w, 2))
        answer(w);
    else if (!is_empty(&w->channel))
        arrive(w);
}

/* Redis, the connection and the reads go on until the topic is synced, and no message waits. */
static void settle(struct walk *w) {
    for (int i = 0; !tracker_is_synced(&w->tracker) || !is_empty(&w->channel); i++) {
        go_on(w);
        check(w);
        assert_true(i < 100 * STEPS);
    }
}

/* Time passes, and nothing else: as the bus does, the topic is read again before it is forgotten.
 */
static void be_quiet(struct walk *w) {
    for (uint64_t rounds = rng_below(&w->rng, 8); rounds > 0; rounds--) {
        w->now_ms += rng_below(&w->rng, MEMORY_MS / 3);
        if (w->latest > 0 && w->now_ms >= w->ids[w->latest].ms + MEMORY_MS) {
            w->is_forgotten = w->is_forgotten || w->has_last;
            w->has_last = false;
            forget_log(w);
        }
        if (tracker_is_stale(&w->tracker, &w->clock, w->now_ms))
            begin(w);
        settle(w);
    }
}

static void disturb(struct walk *w) {
    switch (rng_below(&w->rng, 12)) {
    case 0:
        reconnect(w);
        break;
    case 1: /* a read failed */
        if (w->tracker.read != TRACKER_READ_NONE)
            tracker_forget(&w->tracker);
        break;
    case 2:
        trim(w);
        break;
    case 3: /* XDEL, but of the latest, which a last id that is lost too would not tell of */
        w->in_log[rng_below(&w->rng, (uint64_t)(w->latest > 0 ? w->latest : 1))] = false;
        break;
    case 4:
        w->has_last = w->has_last && one_in(w, 2);
        break;
    case 5:
        if (one_in(w, 4)) {
            w->has_last = false;
            forget_log(w);
        }
        break;
    case 6:
        push(&w->channel, FOREIGN);
        break;
    case 7:
        if (tracker_is_synced(&w->tracker))
            begin(w);
        break;
    default:
        if (tracker_is_synced(&w->tracker) && is_empty(&w->channel))
            be_quiet(w);
    }
}

static void walk(struct walk *w, uint64_t seed) {
    memset(w, 0, sizeof(*w));
    w->rng.state = seed;
    w->now_ms = 1000000;
    w->clock = (struct domain_clock){.known = true,
                                     .exists = true,
                                     .position = {.birth = "b", .epoch = 1, .ms = w->now_ms},
                                     .memory_ms = MEMORY_MS};
    w->top = domain_clock_zero(&w->clock);
    for (int i = 0; i < STEPS; i++) {
        if (one_in(w, 4))
            publish(w, !one_in(w, 4));
        else if (one_in(w, 8))
            disturb(w);
        else
            go_on(w);
        check(w);
    }
    publish(w, true);
    settle(w);
    assert_int_equal(number_of(w, &w->top), w->latest);
}

static void nothing_is_passed_in_silence(void **state) {
    static struct walk w;
    unsigned gaps = 0, restarts = 0, forgotten = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= WALKS; seed++) {
        walk(&w, seed * 0x9e3779b97f4a7c15u);
        gaps += w.gaps;
        restarts += w.restarts;
        forgotten += w.forgotten;
    }
    /* All of it happened, and often. */
    assert_true(gaps > WALKS);
    assert_true(restarts > WALKS / 4);
    assert_true(forgotten > WALKS / 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_passed_in_silence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
