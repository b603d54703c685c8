/* A connection to Redis that comes back, on a real loop: against a server that plays a script, and
 * a real one that throws us out. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/client.h"
#include "relay/redis/reply.h"
#include "tests/loop/redis/redis_peer.h"
#include "tests/loop/redis/redis_server.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 60000 };

/* A connection that ends those of others. */
struct killer {
    struct redis_conn *conn;
    int closed;
};

struct world {
    uv_loop_t loop;
    uv_timer_t patience;
    struct peer peer;
    bool has_peer;
    char path[64]; /* where the peer's socket is or will be */
    struct redis_url url;
    struct redis_client client;
    struct killer killer;
    struct buf told;
    int ups, downs, pushes, closed;
    int asked, answered;
    void (*on_up)(struct world *w);
    void (*on_down)(struct world *w);
    void (*on_push)(struct world *w);
};

static void on_patience(uv_timer_t *timer) {
    struct world *w = timer->data;
    fail_msg("nothing more happens; told so far:\n%s", w->told.data);
}

static int set_up(void **state) {
    struct world *w = mem_zalloc(sizeof(*w));
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->patience);
    w->patience.data = w;
    uv_timer_start(&w->patience, on_patience, PATIENCE_MS, 0);
    uv_unref((uv_handle_t *)&w->patience);
    snprintf(w->path, sizeof(w->path), "/tmp/redis-client-%ld.sock", (long)getpid());
    unlink(w->path);
    buf_puts(&w->told, "");
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    if (w->has_peer)
        peer_close(&w->peer);
    uv_close((uv_handle_t *)&w->patience, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->asked, w->answered);
    redis_url_fini(&w->url);
    buf_fini(&w->told);
    unlink(w->path);
    free(w);
    return 0;
}

static void on_up(void *arg) {
    struct world *w = arg;
    assert_int_equal(w->client.state, REDIS_CLIENT_READY);
    buf_puts(&w->told, "up\n");
    w->ups++;
    if (w->on_up != NULL)
        w->on_up(w);
}

static void on_down(void *arg, bool was_ready, int status, const char *why) {
    struct world *w = arg;
    assert_int_equal(w->client.state, REDIS_CLIENT_WAITING);
    buf_printf(&w->told, "down %s: %s, %s\n", was_ready ? "lost" : "failed", relay_strerror(status),
               why);
    w->downs++;
    if (w->on_down != NULL)
        w->on_down(w);
}

static void on_push(void *arg, const redisReply *reply) {
    struct world *w = arg;
    buf_printf(&w->told, "push %s %s\n", reply->element[0]->str, reply->element[1]->str);
    w->pushes++;
    if (w->on_push != NULL)
        w->on_push(w);
}

static void on_closed(void *arg) {
    struct world *w = arg;
    assert_int_equal(w->client.state, REDIS_CLIENT_CLOSED);
    buf_puts(&w->told, "closed\n");
    w->closed++;
}

static void on_answer(void *arg, int status, const redisReply *reply) {
    struct world *w = arg;
    (void)reply;
    buf_printf(&w->told, "answer %s\n", relay_strerror(status));
    w->answered++;
}

static int ask(struct world *w) {
    const char *argv[] = {"PING"};
    return redis_client_command(&w->client, 1, argv, NULL, on_answer, w);
}

static int subscribe(struct world *w) {
    const char *argv[] = {"SUBSCRIBE", "x"};
    return redis_client_subscription_command(&w->client, 2, argv, NULL, NULL, NULL);
}

static void start_at(struct world *w, const char *url) {
    static const struct redis_client_callbacks callbacks = {on_up, on_down, on_push, on_closed};
    const char *why;
    assert_int_equal(redis_url_parse(url, &w->url, &why), RELAY_OK);
    const struct redis_conn_options options = {
        .url = &w->url, .client_name = "test", .timeout_ms = PATIENCE_MS};
    redis_client_start(&w->client, &w->loop, &options, &callbacks, w);
    assert_string_equal(w->told.data, "");
    assert_int_equal(ask(w), RELAY_EAGAIN);
    assert_int_equal(subscribe(w), RELAY_EAGAIN);
}

static void start_peer(struct world *w, const struct peer_step *first,
                       const struct peer_step *second) {
    peer_start(&w->peer, &w->loop, w->path);
    peer_add_script(&w->peer, first);
    if (second != NULL)
        peer_add_script(&w->peer, second);
    w->has_peer = true;
}

static void start(struct world *w) {
    char url[80];
    snprintf(url, sizeof(url), "unix:%s", w->path);
    start_at(w, url);
}

static void run(struct world *w) {
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

static void close_now(struct world *w) {
    redis_client_close(&w->client);
    redis_client_close(&w->client);
}

static void ask_up(struct world *w) {
    assert_int_equal(ask(w), RELAY_OK);
    w->asked++;
    assert_int_equal(redis_client_pending(&w->client), 1);
    assert_true(redis_client_unsent_bytes(&w->client) > 0);
}

static const struct peer_step greeting_only[] = {PEER_GREETING, {0}};
static const struct peer_step thrown_out[] = {
    PEER_GREETING, {PEER_EXPECT, "PING", 0}, {PEER_CLOSE, NULL, 0}, {0}};

/* ---- it works ---- */

static void ask_then_close(struct world *w) {
    if (w->ups == 1)
        ask_up(w);
    else
        close_now(w);
}

static void test_comes_back(void **state) {
    struct world *w = *state;
    start_peer(w, thrown_out, greeting_only);
    w->on_up = ask_then_close;
    start(w);
    run(w);
    assert_string_equal(w->told.data,
                        "up\nanswer connection lost\n"
                        "down lost: connection lost, Redis closed the connection\nup\nclosed\n");
    assert_int_equal(ask(w), RELAY_ECLOSING);
    assert_int_equal(subscribe(w), RELAY_ECLOSING);
}

static void open_peer(struct world *w) {
    if (w->downs == 2)
        start_peer(w, greeting_only, NULL);
}

/* Nobody is there at first. */
static void test_waits_for_redis(void **state) {
    struct world *w = *state;
    w->on_down = open_peer;
    w->on_up = close_now;
    start(w);
    run(w);
    assert_string_equal(w->told.data,
                        "down failed: connection lost, cannot connect: no such file or directory\n"
                        "down failed: connection lost, cannot connect: no such file or directory\n"
                        "up\nclosed\n");
}

static void reconnect_once(struct world *w) {
    if (w->ups == 2) {
        close_now(w);
        return;
    }
    ask_up(w);
    redis_client_reconnect(&w->client);
    redis_client_reconnect(&w->client);
    assert_int_equal(ask(w), RELAY_EAGAIN); /* the old connection is no use any more */
}

static void reconnect_while_waiting(struct world *w) {
    assert_int_equal(ask(w), RELAY_EAGAIN);
    redis_client_reconnect(&w->client);
}

static void test_reconnect(void **state) {
    struct world *w = *state;
    start_peer(w, greeting_only, NULL);
    w->on_up = reconnect_once;
    w->on_down = reconnect_while_waiting;
    start(w);
    run(w);
    assert_string_equal(w->told.data, "up\nanswer cancelled\ndown lost: cancelled, closed by us\n"
                                      "up\nclosed\n");
    assert_int_equal(w->peer.accepted, 2);
}

/* ---- closed right after step k ---- */

static void ask_each_time(struct world *w) {
    ask_up(w);
}

/* Close after @k turns of the loop, in whatever state that is; true when it had come back twice. */
static bool close_after(int k) {
    void *state;
    set_up(&state);
    struct world *w = state;
    w->on_up = ask_each_time;
    start_peer(w, thrown_out, thrown_out);
    start(w);
    for (int i = 0; i < k; i++)
        uv_run(&w->loop, UV_RUN_ONCE);
    bool is_enough = w->ups == 3;
    size_t told = w->told.len;
    close_now(w);
    assert_int_equal(w->told.len, told); /* no callback from inside close */
    run(w);
    const char *after = w->told.data + told;
    if (strncmp(after, "answer", 6) == 0)
        after = strchr(after, '\n') + 1;
    assert_string_equal(after, "closed\n");
    tear_down(&state);
    return is_enough;
}

static void test_closed_after_each_turn(void **state) {
    (void)state;
    int k = 0;
    while (!close_after(k))
        k++;
    assert_true(k > 10);
}

static void test_closed_in_down(void **state) {
    struct world *w = *state;
    w->on_down = close_now;
    start(w);
    run(w);
    assert_string_equal(w->told.data,
                        "down failed: connection lost, cannot connect: no such file or directory\n"
                        "closed\n");
}

/* ---- failures ---- */

static void subscribe_up(struct world *w) {
    assert_int_equal(subscribe(w), RELAY_OK);
}

static void close_at_third(struct world *w) {
    if (w->downs == 3)
        close_now(w);
}

/* Refused each time: it waits longer each time, though it was ready each time. */
static void test_refused_subscriptions(void **state) {
    struct world *w = *state;
    static const struct peer_step refuses[] = {
        PEER_GREETING, {PEER_EXPECT, "SUBSCRIBE", 0}, {PEER_SEND, "-NOPERM no\r\n", 0}, {0}};
    start_peer(w, refuses, NULL);
    w->on_up = subscribe_up;
    w->on_down = close_at_third;
    start(w);
    run(w);
    assert_string_equal(w->told.data, "up\ndown lost: refused by the peer, NOPERM no\n"
                                      "up\ndown lost: refused by the peer, NOPERM no\n"
                                      "up\ndown lost: refused by the peer, NOPERM no\nclosed\n");
    assert_int_equal(w->client.short_lives, 3);
}

static void was_thrown_out_often(struct world *w) {
    w->client.short_lives = 100;
    ask_up(w);
}

static void close_with_a_short_wait(struct world *w) {
    uint64_t wait_ms = uv_timer_get_due_in(&w->client.retry);
    assert_true(wait_ms >= 300 && wait_ms < 1000);
    close_now(w);
}

/* However often it was thrown out by a server that takes it: back within a second, and no storm. */
static void test_waits_after_many_kills(void **state) {
    struct world *w = *state;
    start_peer(w, thrown_out, NULL);
    w->on_up = was_thrown_out_often;
    w->on_down = close_with_a_short_wait;
    start(w);
    run(w);
    assert_int_equal(w->downs, 1);
}

static void close_at_second(struct world *w) {
    if (w->downs == 2)
        close_now(w);
}

static void test_loading(void **state) {
    struct world *w = *state;
    static const struct peer_step loading[] = {
        {PEER_EXPECT, "PING", 0}, {PEER_SEND, "+OK\r\n-LOADING wait\r\n", 0}, {0}};
    start_peer(w, loading, NULL);
    w->on_down = close_at_second;
    start(w);
    run(w);
    assert_string_equal(w->told.data, "down failed: refused by the peer, LOADING wait\n"
                                      "down failed: refused by the peer, LOADING wait\nclosed\n");
}

/* ---- a real one ---- */

static void on_killed(void *arg, int status, const redisReply *reply) {
    struct killer *k = arg;
    assert_int_equal(status, RELAY_OK);
    assert_int_equal(reply->integer, 1);
    redis_conn_close(k->conn);
}

static void on_killer_ready(void *arg) {
    struct killer *k = arg;
    const char *argv[] = {"CLIENT", "KILL", "TYPE", "pubsub"};
    assert_int_equal(redis_conn_command(k->conn, 4, argv, NULL, on_killed, k), RELAY_OK);
}

static void on_killer_closed(void *arg, int status, const char *why) {
    (void)status, (void)why;
    ((struct killer *)arg)->closed++;
}

static void kill_or_close(struct world *w) {
    static const struct redis_conn_callbacks callbacks = {on_killer_ready, NULL, on_killer_closed};
    if (w->pushes == 2) {
        close_now(w);
        return;
    }
    const struct redis_conn_options options = {
        .url = &w->url, .client_name = "killer", .timeout_ms = PATIENCE_MS};
    w->killer.conn = redis_conn_start(&w->loop, &options, &callbacks, &w->killer);
}

/* CLIENT KILL TYPE pubsub: it is back and subscribed again. */
static void test_real_kill(void **state) {
    struct world *w = *state;
    struct redis_server server;
    redis_server_start(&server);
    w->on_up = subscribe_up;
    w->on_push = kill_or_close;
    start_at(w, server.url);
    run(w);
    redis_server_stop(&server);
    assert_int_equal(w->killer.closed, 1);
    assert_string_equal(w->told.data, "up\npush subscribe x\n"
                                      "down lost: connection lost, Redis closed the connection\n"
                                      "up\npush subscribe x\nclosed\n");
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_comes_back),
        WITH_WORLD(test_waits_for_redis),
        WITH_WORLD(test_reconnect),
        cmocka_unit_test(test_closed_after_each_turn),
        WITH_WORLD(test_closed_in_down),
        WITH_WORLD(test_refused_subscriptions),
        WITH_WORLD(test_loading),
        WITH_WORLD(test_real_kill),
        WITH_WORLD(test_waits_after_many_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
