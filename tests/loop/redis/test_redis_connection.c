/* A connection to Redis, on a real loop: it works, and it is closed at any moment. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/loop/redis/redis_server.h"
#include "tests/loop/redis/redis_world.h"
#include "tests/unit/unit.h"

/* ---- it works ---- */

static void greet_and_close(struct redis_world *w) {
    redis_conn_close(w->conn);
    redis_conn_close(w->conn);
}

static void test_greeting(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {
        {PEER_EXPECT,
         "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$3\r\np@w\r\n"
         "*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n"
         "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$4\r\ntest\r\n"
         "*1\r\n$4\r\nPING\r\n",
         0},
        {PEER_SEND, "+OK\r\n+OK\r\n+OK\r\n+PONG\r\n", 0},
        {0}};
    w->on_ready = greet_and_close;
    redis_world_start_with(w, script, "me:p%40w@", "/7");
    redis_world_run(w);
    redis_world_told(w, "ready\nclosed cancelled: closed by us\n");
}

static void ask_three(struct redis_world *w) {
    redis_world_ask(w, "GET a", redis_world_on_answer);
    redis_world_ask(w, "LRANGE l 0 -1", redis_world_on_answer);
    redis_world_ask(w, "FAIL now", redis_world_on_answer_close);
    assert_int_equal(redis_conn_pending(w->conn), 3);
}

static void test_commands(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "$3\r\nGET\r\n$1\r\na\r\n", 0},
        {PEER_EXPECT, "$4\r\nFAIL\r\n$3\r\nnow\r\n", 0},
        {PEER_SEND, "$-1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n-ERR no\r\n", 0},
        {0}};
    w->on_ready = ask_three;
    redis_world_play(w, script);
    /* What looks like a message is an answer, since nothing was subscribed to. */
    redis_world_told(w, "ready\nanswer ok nil\nanswer ok [message,x,y]\nanswer refused ERR no\n"
                        "closed cancelled: closed by us\n");
}

static void ask_together(struct redis_world *w) {
    static const char bytes[] = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nFAIL\r\n"
                                "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n";
    assert_int_equal(
        redis_conn_commands(w->conn, bytes, sizeof(bytes) - 1, 3, redis_world_on_answer, w),
        RELAY_OK);
    w->asked += 3;
    redis_world_ask(w, "PING now", redis_world_on_answer);
    assert_int_equal(redis_conn_pending(w->conn), 4);
}

/* Commands that are sent together are answered one by one, also those that get no answer. */
static void test_commands_together(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING,
                                              {PEER_EXPECT, "$1\r\na\r\n*1\r\n$4\r\nFAIL\r\n", 0},
                                              {PEER_EXPECT, "$3\r\nnow\r\n", 0},
                                              {PEER_SEND, "$1\r\n1\r\n-ERR no\r\n", 0},
                                              {PEER_CLOSE, NULL, 0},
                                              {0}};
    w->on_ready = ask_together;
    redis_world_play(w, script);
    redis_world_told(w, "ready\nanswer ok 1\nanswer refused ERR no\nanswer lost \nanswer lost \n"
                        "closed lost: Redis closed the connection\n");
}

static void subscribe_two(struct redis_world *w) {
    redis_world_ask(w, "GET a", redis_world_on_answer);
    redis_world_subscribe(w, "SUBSCRIBE", "x", "y");
    redis_world_subscribe(w, "unsubscribe", "y", NULL);
    redis_world_ask(w, "PING now", redis_world_on_answer_close);
}

static void test_subscription(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "SUBSCRIBE\r\n$1\r\nx\r\n$1\r\ny\r\n", 0},
        {PEER_EXPECT, "now\r\n", 0},
        {PEER_SEND,
         "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n" /* what GET found, not a confirmation */
         "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"
         "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$2\r\nhi\r\n"
         "*3\r\n$9\r\nsubscribe\r\n$1\r\ny\r\n:2\r\n"
         "*3\r\n$11\r\nunsubscribe\r\n$1\r\ny\r\n:1\r\n"
         "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nx\r\n$0\r\n\r\n"
         "*2\r\n$4\r\npong\r\n$3\r\nnow\r\n",
         0},
        {0}};
    w->on_ready = subscribe_two;
    redis_world_play(w, script);
    redis_world_told(w,
                     "ready\nanswer ok [subscribe,x,1]\npush [subscribe,x,1]\npush [message,x,hi]\n"
                     "push [subscribe,y,2]\npush [unsubscribe,y,1]\npush [pmessage,*,x,]\n"
                     "answer ok [pong,now]\nclosed cancelled: closed by us\n");
}

static void subscribe_shard(struct redis_world *w) {
    redis_world_subscribe(w, "SSUBSCRIBE", "x", NULL);
}

static void test_shards(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "SSUBSCRIBE\r\n$1\r\nx\r\n", 0},
        {PEER_SEND,
         "*3\r\n$10\r\nssubscribe\r\n$1\r\nx\r\n:1\r\n"
         "*3\r\n$8\r\nsmessage\r\n$1\r\nx\r\n$1\r\n1\r\n"
         "*3\r\n$12\r\nsunsubscribe\r\n$1\r\nx\r\n:0\r\n", /* the slot moved away */
         0},
        {PEER_CLOSE, NULL, 0},
        {0}};
    w->on_ready = subscribe_shard;
    redis_world_play(w, script);
    redis_world_told(w,
                     "ready\npush [ssubscribe,x,1]\npush [smessage,x,1]\npush [sunsubscribe,x,0]\n"
                     "closed lost: Redis closed the connection\n");
}

static void subscribe_x(struct redis_world *w) {
    redis_world_subscribe(w, "SUBSCRIBE", "x", NULL);
}

static void subscribe_with_answers(struct redis_world *w) {
    static const char *const channels[] = {"x", "forbidden", "y"};
    for (int i = 0; i < 3; i++) {
        const char *argv[] = {"SUBSCRIBE", channels[i]};
        w->asked++;
        assert_int_equal(
            redis_conn_subscription_command(w->conn, 2, argv, NULL, redis_world_on_answer, w),
            RELAY_OK);
    }
    redis_world_ask(w, "PING", redis_world_on_answer_close);
}

/* The refusal of one goes to whom it concerns, and the connection goes on. */
static void test_a_refused_subscription(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "PING\r\n", 0},
        {PEER_SEND,
         "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n-NOPERM no\r\n"
         "*3\r\n$9\r\nsubscribe\r\n$1\r\ny\r\n:2\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n",
         0},
        {0}};
    w->on_ready = subscribe_with_answers;
    redis_world_play(w, script);
    redis_world_told(w, "ready\npush [subscribe,x,1]\nanswer ok \nanswer refused NOPERM no\n"
                        "push [subscribe,y,2]\nanswer ok \nanswer ok [pong,]\n"
                        "closed cancelled: closed by us\n");
}

/* Many messages, of which some end within a read and some fill several. */
static void test_many_messages(void **state) {
    struct redis_world *w = *state;
    enum { SMALL = 5000, LARGE = 3, LARGE_BYTES = 1 << 20 };
    struct buf message = BUF_INIT;
    buf_printf(&message, "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$%d\r\n", LARGE_BYTES);
    for (int i = 0; i < LARGE_BYTES; i++)
        buf_putc(&message, 'm');
    buf_puts(&message, "\r\n");
    const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "SUBSCRIBE\r\n", 0},
        {PEER_SEND, "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", 0},
        {PEER_SEND_MANY, "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$2\r\nhi\r\n", SMALL},
        {PEER_SEND_MANY, message.data, LARGE},
        {PEER_CLOSE, NULL, 0},
        {0}};
    struct buf wanted = BUF_INIT;
    buf_puts(&wanted, "ready\npush [subscribe,x,1]\n");
    for (int i = 0; i < SMALL; i++)
        buf_puts(&wanted, "push [message,x,hi]\n");
    for (int i = 0; i < LARGE; i++)
        buf_printf(&wanted, "push [message,x,%d bytes]\n", LARGE_BYTES);
    buf_puts(&wanted, "closed lost: Redis closed the connection\n");
    w->on_ready = subscribe_x;
    redis_world_play(w, script);
    redis_world_told(w, wanted.data);
    buf_fini(&message);
    buf_fini(&wanted);
}

enum { BULK_BYTES = 16 * 1024 * 1024 };

static void ask_bulk(struct redis_world *w) {
    char *data = mem_zalloc(BULK_BYTES);
    const char *argv[] = {"SET", "k", data};
    const size_t argv_len[] = {3, 1, BULK_BYTES};
    w->asked++;
    assert_int_equal(redis_conn_command(w->conn, 3, argv, argv_len, redis_world_on_answer_close, w),
                     0);
    free(data);
    assert_true(redis_conn_unsent_bytes(w->conn) > BULK_BYTES);
}

/* More than the kernel takes at once: the rest follows, and unsent bytes say so. */
static void test_large_command(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "$16777216\r\n", 0},
        {PEER_EXPECT, "\r\n", 0}, /* nothing but NUL before it */
        {PEER_SEND, "+OK\r\n", 0},
        {0}};
    w->on_ready = ask_bulk;
    redis_world_play(w, script);
    redis_world_told(w, "ready\nanswer ok OK\nclosed cancelled: closed by us\n");
    assert_true(w->peer.received.len > BULK_BYTES);
}

/* The loop never runs dry while something is unsent: asked for outside of any callback. */
static void test_command_from_outside(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING, {PEER_EXPECT, "DEL\r\n$1\r\nk\r\n", 0}, {PEER_SEND, ":1\r\n", 0}, {0}};
    redis_world_start_with(w, script, "", "");
    assert_int_equal(
        redis_conn_command(w->conn, 1, (const char *[]){"PING"}, NULL, redis_world_on_answer, w),
        RELAY_EAGAIN);
    while (strcmp(w->told.data, "ready\n") != 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    redis_world_ask(w, "DEL k", redis_world_on_answer_close);
    redis_world_run(w);
    redis_world_told(w, "ready\nanswer ok 1\nclosed cancelled: closed by us\n");
}

static void test_name_of_host(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING, {0}};
    char url[64];
    peer_start(&w->peer, &w->loop, NULL);
    peer_add_script(&w->peer, script);
    w->has_peer = true;
    w->on_ready = greet_and_close;
    /* It may have an IPv6 address too, where nobody listens. */
    snprintf(url, sizeof(url), "redis://localhost:%s", strrchr(w->peer.url, ':') + 1);
    redis_world_start(w, url);
    redis_world_run(w);
    redis_world_told(w, "ready\nclosed cancelled: closed by us\n");
}

static void test_misconf_is_ready(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {
        {PEER_EXPECT, "PING\r\n", 0},
        {PEER_SEND, "-NOPERM no setname\r\n-MISCONF cannot save\r\n", 0},
        {0}};
    w->on_ready = greet_and_close;
    redis_world_play(w, script);
    redis_world_told(w, "ready\nclosed cancelled: closed by us\n");
}

/* ---- closed right after step k ---- */

static void converse(struct redis_world *w) {
    redis_world_ask(w, "GET a", redis_world_on_answer);
    redis_world_subscribe(w, "SUBSCRIBE", "x", NULL);
}

static const struct peer_step conversation[] = {
    PEER_GREETING,
    {PEER_EXPECT, "GET\r\n", 0},
    {PEER_SEND, "$1\r\na\r\n", 0},
    {PEER_EXPECT, "SUBSCRIBE\r\n", 0},
    {PEER_SEND, "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", 0},
    {PEER_SEND, "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n", 0},
    {PEER_CLOSE, NULL, 0},
    {0}};

/* Close after @k turns of the loop; whether the conversation was over by then. */
static bool close_after(int k, const char *host) {
    void *state;
    redis_world_set_up(&state);
    struct redis_world *w = state;
    char url[64];
    peer_start(&w->peer, &w->loop, NULL);
    peer_add_script(&w->peer, conversation);
    w->has_peer = true;
    w->on_ready = converse;
    snprintf(url, sizeof(url), "redis://%s:%s", host, strrchr(w->peer.url, ':') + 1);
    redis_world_start(w, url);
    for (int i = 0; i < k && w->conn != NULL; i++)
        uv_run(&w->loop, UV_RUN_ONCE);
    bool is_over = w->conn == NULL;
    if (!is_over) {
        struct buf before = BUF_INIT;
        buf_puts(&before, w->told.data);
        redis_conn_close(w->conn);
        redis_conn_close(w->conn);
        const char *argv[] = {"PING"};
        assert_int_equal(redis_conn_command(w->conn, 1, argv, NULL, redis_world_on_answer, w),
                         RELAY_ECLOSING);
        assert_int_equal(redis_conn_subscription_command(w->conn, 1, argv, NULL, NULL, NULL),
                         RELAY_ECLOSING);
        redis_world_told(w, before.data); /* no callback from inside close */
        redis_world_run(w);
        const char *after = w->told.data + before.len;
        if (w->answered > 0 && strncmp(after, "answer", 6) == 0) {
            assert_memory_equal(after, "answer cancelled \n", 18);
            after += 18;
        }
        assert_string_equal(after, "closed cancelled: closed by us\n"); /* and nothing else */
        buf_fini(&before);
    }
    redis_world_tear_down(&state); /* every command answered, closed once, the loop empty */
    return is_over;
}

static void test_closed_after_each_turn(void **state) {
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    for (int i = 0; i < 2; i++) {
        int k = 0;
        while (!close_after(k, hosts[i]))
            k++;
        assert_true(k > 3);
    }
}

static void close_now(struct redis_world *w) {
    redis_conn_close(w->conn);
}

/* Closed from within a callback while more of the same read waits: none of it is told. */
static void test_closed_in_push(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING,
                                              {PEER_EXPECT, "SUBSCRIBE\r\n", 0},
                                              {PEER_SEND,
                                               "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"
                                               "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n",
                                               0},
                                              {0}};
    w->on_ready = subscribe_x;
    w->on_push = close_now;
    redis_world_play(w, script);
    redis_world_told(w, "ready\npush [subscribe,x,1]\nclosed cancelled: closed by us\n");
}

static void ask_twice_and_close(struct redis_world *w) {
    redis_world_ask(w, "GET a", redis_world_on_answer_close);
    redis_world_ask(w, "GET b", redis_world_on_answer);
}

static void test_closed_in_answer(void **state) {
    struct redis_world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING,
                                              {PEER_EXPECT, "$1\r\nb\r\n", 0},
                                              {PEER_SEND, "$1\r\n1\r\n$1\r\n2\r\n", 0},
                                              {0}};
    w->on_ready = ask_twice_and_close;
    redis_world_play(w, script);
    redis_world_told(w, "ready\nanswer ok 1\nanswer cancelled \nclosed cancelled: closed by us\n");
}

/* ---- a real one ---- */

static void use_real(struct redis_world *w) {
    redis_world_ask(w, "ACL SETUSER me on >pw", redis_world_on_answer);
    redis_world_subscribe(w, "SUBSCRIBE", "x", "y");
    redis_world_subscribe(w, "UNSUBSCRIBE", "x", "y");
    redis_world_ask(w, "PUBLISH x 1", redis_world_on_answer);
    redis_world_ask(w, "SUBSCRIBE", redis_world_on_answer_close);
}

static void test_real_server(void **state) {
    struct redis_world *w = *state;
    struct redis_server server;
    redis_server_start(&server);
    w->on_ready = use_real;
    redis_world_start(w, server.url);
    redis_world_run(w);
    redis_server_stop(&server);
    redis_world_told(w, "ready\nanswer ok OK\npush [subscribe,x,1]\npush [subscribe,y,2]\n"
                        "push [unsubscribe,x,1]\npush [unsubscribe,y,0]\nanswer ok 0\n"
                        "answer refused ERR wrong number of arguments for 'subscribe' command\n"
                        "closed cancelled: closed by us\n");
}

static void test_real_password(void **state) {
    struct redis_world *w = *state;
    struct redis_server server;
    char url[256];
    redis_server_start(&server);
    snprintf(url, sizeof(url), "%s?password=hunter2", server.url);
    redis_world_start(w, url);
    redis_world_run(w);
    redis_server_stop(&server);
    assert_null(strstr(w->told.data, "hunter2"));
    assert_non_null(strstr(w->told.data, "closed refused: ERR AUTH <password> called without"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_greeting),
        WITH_WORLD(test_commands),
        WITH_WORLD(test_commands_together),
        WITH_WORLD(test_subscription),
        WITH_WORLD(test_shards),
        WITH_WORLD(test_a_refused_subscription),
        WITH_WORLD(test_many_messages),
        WITH_WORLD(test_large_command),
        WITH_WORLD(test_command_from_outside),
        WITH_WORLD(test_name_of_host),
        WITH_WORLD(test_misconf_is_ready),
        cmocka_unit_test(test_closed_after_each_turn),
        WITH_WORLD(test_closed_in_push),
        WITH_WORLD(test_closed_in_answer),
        WITH_WORLD(test_real_server),
        WITH_WORLD(test_real_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
