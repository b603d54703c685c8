/* The hub: what clients are told that they missed, topics that come and go, replays. */
#include "tests/unit/hub/hub_steps.h"

/* ---- what was missed ---- */

/* An event that was stored and not announced: whoever's cursor has passed it meanwhile lost it. */
static void an_event_that_was_missed_is_told_to_whom_it_concerns(void **state) {
    struct world *w = *state;
    struct client ahead, behind;
    client_live(w, &ahead, "a,b", 10);
    client_live(w, &behind, "b", 10);
    say_durable(w, "a", 20);
    buf_reset(&ahead.seen);
    gap(w, "b", 0);
    struct bus_replay *of_behind = last_replay(w);
    struct bus_replay *of_ahead = (struct bus_replay *)w->bus.requests[w->bus.len - 2];
    struct bus_gap *missed = bus_gap_new("b", 1, 0);
    missed->missed.at = id_at(15);
    hub_receive(w->hub, &missed->base);
    turns(w);
    answer_live(w, of_ahead, 30);
    answer_live(w, of_behind, 30);
    expect(&ahead, "event: relay.reset\nid: b.1.u-0\n"
                   "data: {\"topics\":[\"b\"],\"reason\":\"trimmed\"}\n\n");
    expect(&behind, "");
    client_drop(&ahead);
    client_drop(&behind);
}

/* The first steps of a replay have passed it, and the stream is not live yet: another, which comes
 * only now, has passed nothing. */
static void an_event_that_a_replay_has_passed_was_missed(void **state) {
    struct world *w = *state;
    struct client early, late;
    client_open(w, &early, "a,b", FRAME_FORMAT_DATA);
    struct bus_replayed *step = bus_replayed_new(last_replay(w)->token, 0);
    step->cursor.at = id_at(20);
    answer(w, step);
    struct bus_replay *of_early = last_replay(w);
    client_open(w, &late, "b", FRAME_FORMAT_DATA);
    struct bus_replay *of_late = last_replay(w);
    buf_reset(&early.seen);
    buf_reset(&late.seen);
    struct bus_gap *missed = bus_gap_new("b", 1, RESET_LIVE); /* no live events yet: none is lost */
    missed->missed.at = id_at(15);
    hub_receive(w->hub, &missed->base);
    turns(w);
    answer_live(w, of_early, 30);
    answer_live(w, of_late, 30);
    expect(&early, "event: relay.reset\nid: b.1.u-0\n"
                   "data: {\"topics\":[\"b\"],\"reason\":\"trimmed\"}\n\n"
                   "event: relay.live\nid: b.1.u-0\ndata: {\"topics\":[\"a\",\"b\"]}\n\n");
    expect(&late, "event: relay.live\nid: b.1.u-0\ndata: {\"topics\":[\"b\"]}\n\n");
    client_drop(&early);
    client_drop(&late);
}

static void answer_trimmed(struct world *w, uint64_t ms) {
    struct bus_replayed *m = bus_replayed_new(last_replay(w)->token, 1);
    m->resets[0] = RESET_TRIMMED;
    m->live = true;
    m->start.at = m->cursor.at = id_at(ms);
    answer(w, m);
}

/* The step that ends a hole tells it once more, and may skip an event behind it besides. */
static void a_hole_behind_an_event_is_another(void **state) {
    struct world *w = *state;
    for (int skips = 0; skips < 2; skips++) {
        struct client c;
        client_open(w, &c, "t", FRAME_FORMAT_DATA);
        struct bus_replayed *m = bus_replayed_new(last_replay(w)->token, 1);
        m->resets[0] = RESET_TRIMMED;
        m->start.at = m->cursor.at = id_at(10);
        answer(w, m);
        assert_non_null(strstr(c.seen.data, "trimmed"));
        buf_reset(&c.seen);
        m = bus_replayed_new(last_replay(w)->token, 1);
        m->resets[0] = RESET_TRIMMED | REPLAY_HAS_SOME | (skips ? REPLAY_SKIPS_SOME : 0);
        m->live = true;
        m->start.at = m->cursor.at = id_at(20);
        answer(w, m);
        assert_int_equal(strstr(c.seen.data, "trimmed") != NULL, skips);
        client_drop(&c);
    }
}

static void each_hole_is_told(void **state) {
    struct world *w = *state;
    struct client c;
    static const char reset[] = "data: {\"topics\":[\"t\"],\"reason\":\"trimmed\"}";
    client_open(w, &c, "t", FRAME_FORMAT_DATA);
    answer_trimmed(w, 10);
    assert_non_null(strstr(c.seen.data, reset));
    say_durable(w, "t", 20);
    buf_reset(&c.seen);
    gap(w, "t", 0);
    answer_trimmed(w, 30);
    assert_non_null(strstr(c.seen.data, reset));
    client_drop(&c);
}

/* ---- attaching ---- */

static void live_comes_with_the_position(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "a,b", FRAME_FORMAT_DATA);
    expect(&c, "open\n");
    assert_int_equal(w->bus.len, 3);
    struct bus_replay *r = last_replay(w);
    assert_int_equal(r->base.worker, 3);
    assert_int_equal(r->topics_len, 2);
    assert_string_equal(r->names + 2, "b");
    assert_int_equal(r->start.kind, CURSOR_NONE);
    say(w, "a", "early", 1);
    expect(&c, "data: early\n\n"); /* live events wait for nothing */
    say_durable(w, "a", 5);
    expect(&c, "");
    answer_live(w, r, 7);
    expect(&c, "event: relay.live\nid: b.1.7-0\ndata: {\"topics\":[\"a\",\"b\"]}\n\n");
    say_durable(w, "a", 7); /* at the cursor: it was before the stream was live */
    say_durable(w, "b", 8);
    say(w, "b", "live", 1);
    say(w, "other", "3", 1);
    expect(&c, "id: b.1.8-0\ndata: 8\n\ndata: live\n\n");
    client_drop(&c);
}

static void a_topic_is_asked_for_once_and_given_up_with_its_last(void **state) {
    struct world *w = *state;
    struct client a, b;
    client_live(w, &a, "t", 1);
    client_live(w, &b, "t", 1);
    assert_int_equal(count_requests(w, BUS_SUBSCRIBE), 1);
    client_drop(&a);
    assert_int_equal(count_requests(w, BUS_UNSUBSCRIBE), 0);
    client_drop(&b);
    assert_int_equal(last_request(w)->kind, BUS_UNSUBSCRIBE);
}

static void a_new_format_is_asked_for_before_the_replay(void **state) {
    struct world *w = *state;
    struct client a, b;
    client_live(w, &a, "t", 1);
    client_open(w, &b, "t", FRAME_FORMAT_JSON);
    const struct bus_subscribe *r = (struct bus_subscribe *)w->bus.requests[w->bus.len - 2];
    assert_int_equal(r->base.kind, BUS_SUBSCRIBE);
    assert_int_equal(r->formats, (1 << FRAME_FORMAT_DATA) | (1 << FRAME_FORMAT_JSON));
    assert_int_equal(last_replay(w)->format, FRAME_FORMAT_JSON);
    say(w, "t", "x", 1 << FRAME_FORMAT_DATA); /* was on its way before the bus knew */
    expect(&b, "open\n");
    client_drop(&a);
    client_drop(&b);
}

static void an_answer_finds_nobody_once_the_client_has_gone(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORMAT_DATA);
    struct bus_replay stale = *last_replay(w);
    client_drop(&c);
    client_open(w, &c, "t", FRAME_FORMAT_DATA);
    answer_live(w, &stale, 1);
    expect(&c, "open\n");
    client_drop(&c);
}

/* ---- replays ---- */

static void the_next_slice_waits_until_the_outbox_has_drained(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "t", FRAME_FORMAT_DATA);
    buf_reset(&c.seen);
    c.stuck = true;
    answer_slice(w, last_replay(w), 1, 20);
    assert_int_equal(count_requests(w, BUS_REPLAY), 1); /* more than half of the outbox is taken */
    say_durable(w, "t", 30);
    c.stuck = false;
    client_flush(&c.stream);
    assert_int_equal(count_requests(w, BUS_REPLAY), 2);
    struct bus_replay *r = last_replay(w);
    assert_int_equal(r->start.kind, CURSOR_ID);
    assert_int_equal(r->start.id.ms, 20);
    assert_int_equal(r->replayed, 20);
    answer_slice(w, r, 21, 22);
    answer_live(w, last_replay(w), 30);
    say_durable(w, "t", 31);
    assert_non_null(strstr(c.seen.data,
                           "data: 20\n\ndata: 21\n\ndata: 22\n\nevent: relay.live\nid: b.1.u-0\n"));
    assert_non_null(strstr(c.seen.data, "data: 31\n\n"));
    assert_null(
        strstr(c.seen.data, "data: 30\n\n")); /* the bus says that 30 was part of what it sent */
    assert_int_equal(metric_get(&w->metrics.deliveries), 23);
    client_drop(&c);
}

static void a_reset_comes_before_what_follows_it(void **state) {
    struct world *w = *state;
    struct client c;
    client_open(w, &c, "a,b", FRAME_FORMAT_DATA);
    buf_reset(&c.seen);
    struct bus_replayed *m = bus_replayed_new(last_replay(w)->token, 2);
    m->resets[1] = RESET_TRIMMED;
    m->slice = slice(9, 9);
    m->live = true;
    m->start.at = id_at(5);
    m->cursor.at = id_at(9);
    answer(w, m);
    expect(&c,
           "event: relay.reset\nid: b.1.5-0\ndata: {\"topics\":[\"b\"],\"reason\":\"trimmed\"}\n\n"
           "data: 9\n\n"
           "event: relay.live\nid: b.1.9-0\ndata: {\"topics\":[\"a\",\"b\"]}\n\n");
    assert_int_equal(metric_get(&w->metrics.resets[3]), 1);
    client_drop(&c);
}

static void replays_under_way_are_bounded_and_the_rest_wait(void **state) {
    struct world *w = *state;
    enum { MANY = 70 };
    struct client *c = mem_zalloc(MANY * sizeof(*c));
    for (int i = 0; i < MANY; i++)
        client_open(w, &c[i], "t", FRAME_FORMAT_DATA);
    assert_int_equal(count_requests(w, BUS_REPLAY), 64);
    client_drop(&c[69]); /* from the line */
    client_drop(&c[0]);  /* one that was sent makes room */
    assert_int_equal(count_requests(w, BUS_REPLAY), 65);
    answer_live(w, last_replay(w), 1);
    assert_int_equal(count_requests(w, BUS_REPLAY), 66);
    for (int i = 1; i < 69; i++)
        client_drop(&c[i]);
    free(c);
}

/* Whatever cannot be answered in time goes on elsewhere, and the line moves. */
static void a_replay_that_is_deferred_takes_nobodys_place(void **state) {
    struct world *w = *state;
    enum { UNDER_WAY = 64, MANY = 2 * UNDER_WAY };
    struct client *c = mem_zalloc(MANY * sizeof(*c));
    for (int i = 0; i < MANY; i++)
        client_open(w, &c[i], "t", FRAME_FORMAT_DATA);
    size_t deferred = 0, patient = 0;
    for (size_t i = 0; i < w->bus.len && deferred < UNDER_WAY; i++) {
        if (w->bus.requests[i]->kind != BUS_REPLAY)
            continue;
        struct bus_replay *r = (struct bus_replay *)w->bus.requests[i];
        struct bus_replayed *m = bus_replayed_new(r->token, 0);
        m->deferred = true;
        deferred++;
        answer(w, m);
    }
    assert_int_equal(deferred, UNDER_WAY);
    for (size_t i = 0; i < w->bus.len; i++)
        if (w->bus.requests[i]->kind == BUS_REPLAY)
            patient += ((struct bus_replay *)w->bus.requests[i])->patience_ms > 1000;
    assert_int_equal(patient, UNDER_WAY);
    assert_int_equal(count_requests(w, BUS_REPLAY), MANY + patient); /* all had their turn */
    for (int i = 0; i < MANY; i++)
        client_drop(&c[i]);
    free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_event_that_was_missed_is_told_to_whom_it_concerns),
        TEST(an_event_that_a_replay_has_passed_was_missed),
        TEST(a_hole_behind_an_event_is_another),
        TEST(each_hole_is_told),
        TEST(live_comes_with_the_position),
        TEST(a_topic_is_asked_for_once_and_given_up_with_its_last),
        TEST(a_new_format_is_asked_for_before_the_replay),
        TEST(an_answer_finds_nobody_once_the_client_has_gone),
        TEST(the_next_slice_waits_until_the_outbox_has_drained),
        TEST(a_reset_comes_before_what_follows_it),
        TEST(replays_under_way_are_bounded_and_the_rest_wait),
        TEST(a_replay_that_is_deferred_takes_nobodys_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
