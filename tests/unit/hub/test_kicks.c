/* Kicks in a hub: which streams end, how they are counted, and what the others notice. */
#include "tests/unit/hub/hub_steps.h"

static void open_as(struct world *w, struct client *c, const char *topics, const char *subject,
                    const char *token) {
    struct hub_topic_name names[8];
    size_t n = 0;
    char copy[64];
    strcpy(copy, topics);
    for (char *save = NULL, *t = strtok_r(copy, ",", &save); t != NULL;
         t = strtok_r(NULL, ",", &save))
        names[n++] = (struct hub_topic_name){t, strlen(t)};
    struct hub_subscription_spec spec = {
        .topics = names,
        .topics_len = n,
        .identity = hub_identify(w->hub, subject, strlen(subject), token, strlen(token)),
        .opening = frame_raw("open\n", 5)};
    *c = (struct client){.stream = {&ops}};
    c->subscriber = hub_attach(w->hub, &spec, &c->stream, w->now_ms);
    turns(w);
    buf_reset(&c->seen);
}

static void send_kick(struct world *w, enum kick_by by, const char *name) {
    struct bus_kick *k = mem_zalloc(sizeof(*k) + strlen(name));
    k->base.message.kind = BUS_KICK;
    k->by = by;
    k->name_len = strlen(name);
    memcpy(k->name, name, k->name_len);
    hub_kick(w->hub, k);
}

/* How many streams the latest kick but @back ended. */
static uint64_t ended(struct world *w, size_t back) {
    struct bus_request *r = w->bus.requests[w->bus.len - 1 - back];
    assert_int_equal(r->kind, BUS_KICKED);
    assert_int_equal(r->worker, 3);
    return ((struct bus_kick *)r)->streams;
}

static uint64_t kick(struct world *w, enum kick_by by, const char *name) {
    send_kick(w, by, name);
    turns(w);
    return ended(w, 0);
}

static void assert_kicked(struct client *c) {
    assert_true(c->finished);
    assert_int_equal(c->why, HUB_END_KICKED);
    assert_non_null(strstr(c->seen.data, "event: relay.close\nretry: "));
    assert_non_null(strstr(c->seen.data, "data: {\"reason\":\"kicked\"}\n\n"));
}

static void whose_they_are(void **state) {
    struct world *w = *state;
    struct client c[6];
    static const char *const subjects[] = {"alice", "alice", "bob", "", "", "t1"};
    static const char *const tokens[] = {"t1", "t2", "t1", "", "t3", "alice"};
    for (int i = 0; i < 6; i++)
        open_as(w, &c[i], i % 2 ? "a,b" : "b", subjects[i], tokens[i]);
    assert_int_equal(kick(w, KICK_SUBJECT, "nobody"), 0);
    assert_int_equal(kick(w, KICK_TOPIC, "alice"), 0);
    assert_int_equal(kick(w, KICK_SUBJECT, "alice"), 2);
    assert_kicked(&c[0]);
    assert_kicked(&c[1]);
    assert_int_equal(kick(w, KICK_SUBJECT, "alice"), 0); /* they are on their way */
    assert_int_equal(kick(w, KICK_TOKEN, "t1"), 1);
    assert_kicked(&c[2]);
    assert_int_equal(kick(w, KICK_TOKEN, "t3"), 1);
    assert_kicked(&c[4]);
    assert_false(c[3].finished || c[5].finished);
    say(w, "a", "x", 1);
    expect(&c[3], "data: x\n\n");
    expect(&c[5], "data: x\n\n");
    for (int i = 0; i < 6; i++)
        client_drop(&c[i]);
}

static void a_topic(void **state) {
    struct world *w = *state;
    struct client c[4];
    static const char *const topics[] = {"a", "b,a", "b", "a,b"};
    for (int i = 0; i < 4; i++)
        open_as(w, &c[i], topics[i], i == 3 ? "alice" : "", "");
    assert_int_equal(kick(w, KICK_TOPIC, "a"), 3);
    for (int i = 0; i < 4; i++)
        assert_int_equal(c[i].finished, i != 2);
    say(w, "b", "x", 1);
    expect(&c[2], "data: x\n\n");
    assert_null(strstr(c[3].seen.data, "data: x")); /* behind its end there is nothing */
    for (int i = 0; i < 4; i++)
        client_drop(&c[i]);
}

/* Many in one turn are carried out together, each with its own count. */
static void several_at_once(void **state) {
    struct world *w = *state;
    struct client c[3];
    static const char *const subjects[] = {"alice", "bob", "carol"};
    for (int i = 0; i < 3; i++)
        open_as(w, &c[i], "a", subjects[i], "t");
    send_kick(w, KICK_SUBJECT, "carol");
    send_kick(w, KICK_SUBJECT, "nobody");
    send_kick(w, KICK_SUBJECT, "alice");
    turns(w);
    assert_int_equal(ended(w, 0) + ended(w, 1) + ended(w, 2), 2);
    assert_true(c[0].finished && !c[1].finished && c[2].finished);
    send_kick(w, KICK_TOPIC, "a");
    send_kick(w, KICK_TOKEN, "t");
    turns(w);
    assert_int_equal(ended(w, 0) + ended(w, 1), 1); /* one stream ends once */
    assert_kicked(&c[1]);
    for (int i = 0; i < 3; i++)
        client_drop(&c[i]);
}

/* Events that wait in the hub come too late for who is kicked; what is in its outbox leaves. */
static void before_what_waits(void **state) {
    struct world *w = *state;
    struct client c;
    open_as(w, &c, "a", "alice", "");
    c.stuck = true;
    say(w, "a", "early", 1);
    struct frame_source source = {
        .topic = "a", .topic_len = 1, .event = {.data = "late", .data_len = 4}};
    hub_receive(w->hub, &bus_event_new(frame_encode(&source, 1), "a", 1, 4000)->base);
    assert_int_equal(kick(w, KICK_SUBJECT, "alice"), 1);
    c.stuck = false;
    client_flush(&c.stream);
    assert_kicked(&c);
    assert_non_null(strstr(c.seen.data, "data: early\n\n"));
    assert_null(strstr(c.seen.data, "late"));
    client_drop(&c);
}

/* In each state, its deadlines among what is left behind: none of them finds it again. */
static void in_any_state(void **state) {
    struct world *w = *state;
    struct client replaying, live, lagging;
    open_as(w, &replaying, "a", "alice", "");
    struct bus_replay *asked = last_replay(w);
    open_as(w, &live, "a", "alice", "");
    answer_live(w, last_replay(w), 1);
    open_as(w, &lagging, "b", "alice", "");
    answer_live(w, last_replay(w), 1);
    lagging.stuck = true;
    for (uint64_t ms = 2; metric_get(&w->metrics.lagging) == 0; ms++)
        say_durable(w, "b", ms);
    assert_int_equal(kick(w, KICK_SUBJECT, "alice"), 3);
    answer_live(w, asked, 5); /* too late */
    lagging.stuck = false;
    client_flush(&lagging.stream);
    assert_kicked(&replaying);
    assert_kicked(&live);
    assert_kicked(&lagging);
    struct client *all[] = {&replaying, &live, &lagging};
    for (int i = 0; i < 3; i++)
        buf_reset(&all[i]->seen);
    hub_drain(w->hub, w->now_ms, 0);
    for (int i = 0; i < 40; i++) {
        w->now_ms += HEARTBEAT / 4;
        hub_tick(w->hub, w->now_ms);
        turns(w);
    }
    for (int i = 0; i < 3; i++) {
        expect(all[i], "");
        client_drop(all[i]);
    }
}

/* One that nobody carries out any more goes with the hub. */
static void left_behind(void **state) {
    send_kick(*state, KICK_SUBJECT, "alice");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(whose_they_are),    TEST(a_topic),      TEST(several_at_once),
        TEST(before_what_waits), TEST(in_any_state), TEST(left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
