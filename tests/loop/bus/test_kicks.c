/* Kicks on their way through the bus, with a real redis-server: to each worker, and back as one
 * answer; and bars, as they are heard, read and lifted. */
#include <hiredis.h>
#include <string.h>

#include "relay/auth/bars.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "tests/loop/bus/bus_world.h"
#include "tests/unit/unit.h"

enum { BAR_MS = 3600 * 1000 };

static const char key[] = "sse:{0}:bars";

/* A bus with a table of bars, once it listens and has read those that there are: none. */
static void start(struct bus_world *w, struct bars *bars) {
    struct bus_world_options options = bus_plain;
    options.bars = bars;
    bus_world_start(w, &options);
    UNTIL(redis_calls(w, "zrange") == 1);
}

static void stop(struct bus_world *w, struct bars *bars) {
    bus_world_stop(w);
    bars_free(bars);
}

static bool is_barred(struct bars *bars, const char *subject) {
    return bars_end_ms(bars, KICK_SUBJECT, subject, strlen(subject), clock_mono_ms()) != 0;
}

/* The next message of @worker, a kick of @name. */
static struct bus_kick *expect_kick(struct bus_world *w, unsigned worker, const char *name) {
    struct bus_kick *k = (struct bus_kick *)worker_next(w, worker);
    assert_int_equal(k->base.message.kind, BUS_KICK);
    assert_int_equal(k->name_len, strlen(name));
    assert_memory_equal(k->name, name, k->name_len);
    return k;
}

static void answer(struct bus_world *w, struct bus_kick *k, uint64_t streams) {
    k->streams = streams;
    k->base.request.kind = BUS_KICKED;
    queue_push_control(bus_requests(w->bus), &k->base.request.node);
}

/* A connection that listens for answers. */
static redisContext *listen_for_answers(struct bus_world *w) {
    redisContext *c = redisConnectUnix(w->redis.socket);
    assert_true(c != NULL && c->err == 0);
    freeReplyObject(redisCommand(c, "SUBSCRIBE sse:relay.answer-x"));
    return c;
}

static void expect_answer(redisContext *c, const char *text) {
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
    assert_string_equal(reply->element[2]->str, text);
    freeReplyObject(reply);
}

/* One that is stuck holds up no other; the answer comes when all of them are done. */
static void test_each_worker_gets_its_own(void **state) {
    struct bars *bars = bars_new();
    struct bus_world w;
    (void)state;
    start(&w, bars);
    redisContext *answers = listen_for_answers(&w);
    redis_publish(&w, "relay.kick", "answer-x subject 0 one");
    redis_publish(&w, "relay.kick", "answer-x topic 0 two");
    struct bus_kick *first = expect_kick(&w, 0, "one"), *second = expect_kick(&w, 0, "two");
    answer(&w, expect_kick(&w, 1, "one"), 2);
    answer(&w, expect_kick(&w, 1, "two"), 5);
    answer(&w, second, 10);
    answer(&w, first, 3);
    expect_answer(answers, "node 15 two");
    expect_answer(answers, "node 5 one");
    redisFree(answers);
    stop(&w, bars);
}

/* Whoever is told of a kick finds its bar in the table already. */
static void test_the_bar_comes_first(void **state) {
    struct bars *bars = bars_new();
    struct bus_world w;
    (void)state;
    start(&w, bars);
    redis_publish(&w, "relay.kick", "answer-x subject 3600000 alice");
    free(expect_kick(&w, 0, "alice"));
    assert_true(is_barred(bars, "alice"));
    redis_publish(&w, "relay.kick", "answer-x subject - alice");
    UNTIL(!is_barred(bars, "alice"));
    stop(&w, bars); /* nobody answered */
}

/* What Redis holds is taken over at each connection; only what is new there is kicked. */
static void test_bars_are_read(void **state) {
    struct bars *bars = bars_new();
    struct bus_world w;
    (void)state;
    start(&w, bars);
    redis_publish(&w, "relay.kick", "answer-x subject 3600000 heard");
    redis_publish(&w, "relay.kick", "answer-x subject 3600000 both");
    for (unsigned i = 0; i < BUS_WORKERS; i++) {
        free(expect_kick(&w, i, "heard"));
        free(expect_kick(&w, i, "both"));
    }
    double ends = (double)(clock_wall_ms() + BAR_MS);
    redisContext *other = redisConnectUnix(w.redis.socket);
    freeReplyObject(redisCommand(other, "ZADD %s %f %s", key, ends, "subject both"));
    freeReplyObject(redisCommand(other, "ZADD %s %f %s", key, ends, "subject read"));
    redisFree(other);
    redis_do(&w, "CLIENT KILL TYPE pubsub");
    for (unsigned i = 0; i < BUS_WORKERS; i++)
        free(expect_kick(&w, i, "read"));
    UNTIL(!is_barred(bars, "heard")); /* Redis does not know it */
    assert_true(is_barred(bars, "both") && is_barred(bars, "read"));
    UNTIL(metric_get(&w.metrics.bars) == 2);
    redis_do(&w, "DEL %s", key);
    redis_do(&w, "CLIENT KILL TYPE pubsub");
    UNTIL(metric_get(&w.metrics.bars) == 0);
    stop(&w, bars);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_worker_gets_its_own),
        cmocka_unit_test(test_the_bar_comes_first),
        cmocka_unit_test(test_bars_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
