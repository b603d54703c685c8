/* A connection to Redis that fails: refused, mute, garbage, closed within a reply, not let in. */
#include <stdio.h>
#include <string.h>

#include "relay/base/err.h"
#include "tests/loop/redis/redis_world.h"
#include "tests/unit/unit.h"

enum { TIMEOUT_MS = 50 };

static void subscribe_x(struct redis_world *w) {
    redis_world_subscribe(w, "SUBSCRIBE", "x", NULL);
}

static void converse(struct redis_world *w) {
    redis_world_ask(w, "GET a", redis_world_on_answer);
    redis_world_subscribe(w, "SUBSCRIBE", "x", NULL);
}

static void test_refused_connection(void **state) {
    struct redis_world *w = *state;
    char url[sizeof(w->peer.url)];
    peer_start(&w->peer, &w->loop, NULL); /* a port that is ours, and then nobody's */
    memcpy(url, w->peer.url, sizeof(url));
    peer_close(&w->peer);
    redis_world_run(w);
    redis_world_start(w, url);
    redis_world_run(w);
    redis_world_told(w, "closed lost: cannot connect: connection refused\n");
}

static void test_no_socket(void **state) {
    struct redis_world *w = *state;
    redis_world_start(w, "unix:/nowhere/at/all");
    redis_world_run(w);
    redis_world_told(w, "closed lost: cannot connect: no such file or directory\n");
}

static void test_no_such_host(void **state) {
    struct redis_world *w = *state;
    /* A label of more than 63 bytes: refused without asking anybody. */
    redis_world_start(
        w,
        "redis://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid");
    redis_world_run(w);
    assert_non_null(strstr(w->told.data, "closed lost: cannot find the host: "));
}

static void test_mute_server(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {{0}};
    w->options.timeout_ms = TIMEOUT_MS;
    redis_world_play(w, script);
    redis_world_told(w, "closed late: connected, but Redis did not answer in time\n");
}

static void ask_one(struct redis_world *w) {
    redis_world_ask(w, "GET a", redis_world_on_answer);
}

/* Half open: it was there, and then says nothing. */
static void test_mute_after_ready(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING, {0}};
    w->options.timeout_ms = TIMEOUT_MS;
    w->on_ready = ask_one;
    redis_world_play(w, script);
    redis_world_told(w, "ready\nanswer late \nclosed late: Redis did not answer in time\n");
}

/* An idle connection is asked to PING again and again, also where that is refused. */
static void test_an_idle_connection_is_kept_alive(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING,
                                              {PEER_EXPECT, "PING\r\n", 0},
                                              {PEER_SEND, "+PONG\r\n", 0},
                                              {PEER_EXPECT, "PING\r\n", 0},
                                              {PEER_SEND, "-NOPERM no PING\r\n", 0},
                                              {PEER_EXPECT, "PING\r\n", 0},
                                              {PEER_CLOSE, NULL, 0},
                                              {0}};
    w->options.idle_ms = TIMEOUT_MS;
    redis_world_play(w, script);
    redis_world_told(w, "ready\nclosed lost: Redis closed the connection\n");
}

/* Cut in silence while nobody had anything to ask. */
static void test_an_idle_connection_that_is_dead(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING, {0}};
    w->options.timeout_ms = w->options.idle_ms = TIMEOUT_MS;
    redis_world_play(w, script);
    redis_world_told(w, "ready\nclosed late: Redis did not answer in time\n");
}

static void test_unconfirmed_subscription(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING, {0}};
    w->options.timeout_ms = TIMEOUT_MS;
    w->on_ready = subscribe_x;
    redis_world_play(w, script);
    redis_world_told(w, "ready\nclosed late: Redis did not answer in time\n");
}

struct failure {
    const char *name;
    const char *userinfo;
    struct peer_step script[6];
    void (*on_ready)(struct redis_world *w);
    const char *told;
};

static const struct failure failures[] = {
    {"garbage",
     "",
     {{PEER_SEND, "HTTP/1.1 400 Bad Request\r\n", 0}},
     NULL,
     "closed proto: Protocol error, got \"H\" as reply type byte\n"},
    {"closed at once",
     "",
     {{PEER_CLOSE, NULL, 0}},
     NULL,
     "closed lost: Redis closed the connection\n"},
    {"closed within a reply",
     "",
     {PEER_GREETING, {PEER_EXPECT, "GET", 0}, {PEER_SEND, "$10\r\nabc", 0}, {PEER_CLOSE, NULL, 0}},
     ask_one,
     "ready\nanswer lost \nclosed lost: Redis closed the connection within a reply\n"},
    {"too many clients",
     "",
     {{PEER_SEND, "-ERR max number of clients reached\r\n", 0}},
     NULL,
     "closed refused: ERR max number of clients reached\n"},
    {"wrong password",
     ":secret@",
     {{PEER_EXPECT, "PING", 0},
      {PEER_SEND, "-WRONGPASS invalid username-password pair or user is disabled.\r\n", 0}},
     NULL,
     "closed refused: WRONGPASS invalid username-password pair or user is disabled.\n"},
    {"a server that repeats the secret",
     ":secret@",
     {{PEER_EXPECT, "PING", 0},
      {PEER_SEND, "-ERR unknown command 'AUTH', with args beginning with: 'secret'\r\n", 0}},
     NULL,
     "closed refused: AUTH was refused\n"},
    {"no password where one is needed",
     "",
     {{PEER_EXPECT, "PING", 0}, {PEER_SEND, "-NOAUTH Authentication required.\r\n", 0}},
     NULL,
     "closed refused: NOAUTH Authentication required.\n"},
    {"loading",
     "",
     {{PEER_EXPECT, "PING", 0},
      {PEER_SEND, "+OK\r\n-LOADING Redis is loading the dataset in memory\r\n", 0}},
     NULL,
     "closed refused: LOADING Redis is loading the dataset in memory\n"},
    {"a subscription that is refused",
     "",
     {PEER_GREETING, {PEER_EXPECT, "SUBSCRIBE", 0}, {PEER_SEND, "$-1\r\n-NOPERM no\r\n", 0}},
     converse,
     "ready\nanswer ok nil\nclosed refused: NOPERM no\n"},
    {"another confirmation than the one expected",
     "",
     {PEER_GREETING,
      {PEER_EXPECT, "SUBSCRIBE", 0},
      {PEER_SEND, "*3\r\n$10\r\npsubscribe\r\n$1\r\nx\r\n:1\r\n", 0}},
     subscribe_x,
     "ready\nclosed proto: a reply that answers no command\n"},
    {"a reply that nobody asked for",
     "",
     {PEER_GREETING, {PEER_SEND, ":1\r\n", 0}},
     NULL,
     "ready\nclosed proto: a reply that answers no command\n"},
    {"an error that nobody asked for",
     "",
     {PEER_GREETING, {PEER_SEND, "-ERR out\r\n", 0}},
     NULL,
     "ready\nclosed refused: ERR out\n"},
    {"an array that is announced too long",
     "",
     {PEER_GREETING, {PEER_EXPECT, "GET", 0}, {PEER_SEND, "*2000000000\r\n", 0}},
     ask_one,
     "ready\nanswer overflow \nclosed overflow: a reply is larger than the limit\n"},
};

static void test_failures(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        const struct failure *f = &failures[i];
        void *world;
        redis_world_set_up(&world);
        struct redis_world *w = world;
        print_message("  %s\n", f->name);
        w->on_ready = f->on_ready;
        redis_world_start_with(w, f->script, f->userinfo, "");
        redis_world_run(w);
        redis_world_told(w, f->told);
        redis_world_tear_down(&world);
    }
}

static void test_select_refused(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {
        {PEER_EXPECT, "PING", 0}, {PEER_SEND, "-ERR DB index is out of range\r\n", 0}, {0}};
    redis_world_start_with(w, script, "", "/99");
    redis_world_run(w);
    redis_world_told(w, "closed refused: SELECT was refused: ERR DB index is out of range\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_refused_connection),
        WITH_WORLD(test_no_socket),
        WITH_WORLD(test_no_such_host),
        WITH_WORLD(test_mute_server),
        WITH_WORLD(test_an_idle_connection_is_kept_alive),
        WITH_WORLD(test_an_idle_connection_that_is_dead),
        WITH_WORLD(test_mute_after_ready),
        WITH_WORLD(test_unconfirmed_subscription),
        cmocka_unit_test(test_failures),
        WITH_WORLD(test_select_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
