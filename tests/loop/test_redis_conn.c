/* A connection to Redis, on a real loop: against a server that plays a script, and a real one. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/conn.h"
#include "relay/redis/reply.h"
#include "tests/loop/redis_peer.h"
#include "tests/loop/redis_server.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 60000, TIMEOUT_MS = 50 };

/* One connection and what it told, a line for each callback. */
struct world {
    uv_loop_t loop;
    uv_timer_t patience;
    struct peer peer;
    bool has_peer;
    struct redis_url url;
    struct redis_conn_options options;
    struct redis_conn *conn; /* NULL once it is closed */
    struct buf told;
    int asked;    /* commands whose answer must come */
    int answered; /* commands that were answered */
    int closed;
    void (*on_ready)(struct world *w); /* what the test does then */
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
    buf_puts(&w->told, "");
    w->options = (struct redis_conn_options){
        .url = &w->url, .client_name = "test", .timeout_ms = PATIENCE_MS};
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
    assert_int_equal(w->asked, w->answered);
    assert_int_equal(w->closed, 1);
    redis_url_fini(&w->url);
    buf_fini(&w->told);
    free(w);
    return 0;
}

/* ---- what is told ---- */

static const char *name_of(int status) {
    switch (status) {
    case RELAY_OK:
        return "ok";
    case RELAY_ECANCELED:
        return "cancelled";
    case RELAY_ECONN:
        return "lost";
    case RELAY_ETIMEOUT:
        return "late";
    case RELAY_EPROTO:
        return "proto";
    case RELAY_EREMOTE:
        return "refused";
    case RELAY_EOVERFLOW:
        return "overflow";
    default:
        return "unexpected";
    }
}

static void put_reply(struct buf *out, const redisReply *reply) {
    if (reply->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < reply->elements; i++) {
            buf_puts(out, i > 0 ? "," : "[");
            put_reply(out, reply->element[i]);
        }
        buf_puts(out, reply->elements == 0 ? "[]" : "]");
    } else if (reply->type == REDIS_REPLY_INTEGER) {
        buf_printf(out, "%lld", reply->integer);
    } else if (reply->type == REDIS_REPLY_NIL) {
        buf_puts(out, "nil");
    } else if (reply->len > 100) {
        buf_printf(out, "%zu bytes", reply->len);
    } else {
        buf_append(out, reply->str, reply->len);
    }
}

static void on_ready(void *arg) {
    struct world *w = arg;
    buf_puts(&w->told, "ready\n");
    if (w->on_ready != NULL)
        w->on_ready(w);
}

static void on_push(void *arg, const redisReply *reply) {
    struct world *w = arg;
    buf_puts(&w->told, "push ");
    put_reply(&w->told, reply);
    buf_putc(&w->told, '\n');
    if (w->on_push != NULL)
        w->on_push(w);
}

static void on_closed(void *arg, int status, const char *why) {
    struct world *w = arg;
    buf_printf(&w->told, "closed %s: %s\n", name_of(status), why);
    w->conn = NULL;
    w->closed++;
}

static void on_answer(void *arg, int status, const redisReply *reply) {
    struct world *w = arg;
    buf_printf(&w->told, "answer %s ", name_of(status));
    if (reply != NULL)
        put_reply(&w->told, reply);
    buf_putc(&w->told, '\n');
    w->answered++;
}

static void on_answer_close(void *arg, int status, const redisReply *reply) {
    struct world *w = arg;
    on_answer(arg, status, reply);
    if (w->conn != NULL)
        redis_conn_close(w->conn);
}

/* ---- what the tests do ---- */

static const struct redis_conn_callbacks callbacks = {on_ready, on_push, on_closed};

static void start(struct world *w, const char *url) {
    const char *why = "";
    if (redis_url_parse(url, &w->url, &why) != RELAY_OK)
        fail_msg("%s: %s", url, why);
    w->conn = redis_conn_start(&w->loop, &w->options, &callbacks, w);
    assert_string_equal(w->told.data, ""); /* no callback from inside start */
}

/* Start against a server that plays @script; @userinfo goes into the URL. */
static void start_with(struct world *w, const struct peer_step *script, const char *userinfo,
                       const char *db) {
    char url[512];
    peer_start(&w->peer, &w->loop, NULL);
    peer_add_script(&w->peer, script);
    w->has_peer = true;
    snprintf(url, sizeof(url), "redis://%s%s%s", userinfo, w->peer.url + strlen("redis://"), db);
    start(w, url);
}

static void run(struct world *w) {
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

static void run_script(struct world *w, const struct peer_step *script) {
    start_with(w, script, "", "");
    run(w);
}

static void assert_told(const struct world *w, const char *wanted) {
    assert_string_equal(w->told.data, wanted);
}

static void ask(struct world *w, const char *command, redis_reply_cb cb) {
    const char *argv[8] = {NULL};
    char *copy = strdup(command), *rest = NULL;
    int argc = 0;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    w->asked++;
    assert_int_equal(redis_conn_command(w->conn, argc, argv, NULL, cb, w), RELAY_OK);
    free(copy);
}

static void subscribe(struct world *w, const char *command, const char *a, const char *b) {
    const char *argv[] = {command, a, b};
    int argc = b == NULL ? 2 : 3;
    assert_int_equal(redis_conn_subscription_command(w->conn, argc, argv, NULL), RELAY_OK);
}

/* ---- it works ---- */

static void greet_and_close(struct world *w) {
    redis_conn_close(w->conn);
    redis_conn_close(w->conn);
}

static void test_greeting(void **state) {
    struct world *w = *state;
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
    start_with(w, script, "me:p%40w@", "/7");
    run(w);
    assert_told(w, "ready\nclosed cancelled: closed by us\n");
}

static void ask_three(struct world *w) {
    ask(w, "GET a", on_answer);
    ask(w, "LRANGE l 0 -1", on_answer);
    ask(w, "FAIL now", on_answer_close);
    assert_int_equal(redis_conn_pending(w->conn), 3);
}

static void test_commands(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "$3\r\nGET\r\n$1\r\na\r\n", 0},
        {PEER_EXPECT, "$4\r\nFAIL\r\n$3\r\nnow\r\n", 0},
        {PEER_SEND, "$-1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n-ERR no\r\n", 0},
        {0}};
    w->on_ready = ask_three;
    run_script(w, script);
    /* What looks like a message is an answer, since nothing was subscribed to. */
    assert_told(w, "ready\nanswer ok nil\nanswer ok [message,x,y]\nanswer refused ERR no\n"
                   "closed cancelled: closed by us\n");
}

static void subscribe_two(struct world *w) {
    ask(w, "GET a", on_answer);
    subscribe(w, "SUBSCRIBE", "x", "y");
    subscribe(w, "unsubscribe", "y", NULL);
    ask(w, "PING now", on_answer_close);
}

static void test_subscription(void **state) {
    struct world *w = *state;
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
    run_script(w, script);
    assert_told(w, "ready\nanswer ok [subscribe,x,1]\npush [subscribe,x,1]\npush [message,x,hi]\n"
                   "push [subscribe,y,2]\npush [unsubscribe,y,1]\npush [pmessage,*,x,]\n"
                   "answer ok [pong,now]\nclosed cancelled: closed by us\n");
}

static void subscribe_shard(struct world *w) {
    subscribe(w, "SSUBSCRIBE", "x", NULL);
}

static void test_shards(void **state) {
    struct world *w = *state;
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
    run_script(w, script);
    assert_told(w, "ready\npush [ssubscribe,x,1]\npush [smessage,x,1]\npush [sunsubscribe,x,0]\n"
                   "closed lost: Redis closed the connection\n");
}

static void subscribe_x(struct world *w) {
    subscribe(w, "SUBSCRIBE", "x", NULL);
}

/* Many messages, of which some end within a read and some fill several. */
static void test_many_messages(void **state) {
    struct world *w = *state;
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
    run_script(w, script);
    assert_told(w, wanted.data);
    buf_fini(&message);
    buf_fini(&wanted);
}

enum { BULK_BYTES = 16 * 1024 * 1024 };

static void ask_bulk(struct world *w) {
    char *data = mem_zalloc(BULK_BYTES);
    const char *argv[] = {"SET", "k", data};
    const size_t argv_len[] = {3, 1, BULK_BYTES};
    w->asked++;
    assert_int_equal(redis_conn_command(w->conn, 3, argv, argv_len, on_answer_close, w), 0);
    free(data);
    assert_true(redis_conn_unsent_bytes(w->conn) > BULK_BYTES);
}

/* More than the kernel takes at once: the rest follows, and unsent bytes say so. */
static void test_large_command(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "$16777216\r\n", 0},
        {PEER_EXPECT, "\r\n", 0}, /* nothing but NUL before it */
        {PEER_SEND, "+OK\r\n", 0},
        {0}};
    w->on_ready = ask_bulk;
    run_script(w, script);
    assert_told(w, "ready\nanswer ok OK\nclosed cancelled: closed by us\n");
    assert_true(w->peer.received.len > BULK_BYTES);
}

/* The loop never runs dry while something is unsent: asked for outside of any callback. */
static void test_command_from_outside(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING, {PEER_EXPECT, "DEL\r\n$1\r\nk\r\n", 0}, {PEER_SEND, ":1\r\n", 0}, {0}};
    start_with(w, script, "", "");
    assert_int_equal(redis_conn_command(w->conn, 1, (const char *[]){"PING"}, NULL, on_answer, w),
                     RELAY_EAGAIN);
    while (strcmp(w->told.data, "ready\n") != 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    ask(w, "DEL k", on_answer_close);
    run(w);
    assert_told(w, "ready\nanswer ok 1\nclosed cancelled: closed by us\n");
}

static void test_name_of_host(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING, {0}};
    char url[64];
    peer_start(&w->peer, &w->loop, NULL);
    peer_add_script(&w->peer, script);
    w->has_peer = true;
    w->on_ready = greet_and_close;
    /* It may have an IPv6 address too, where nobody listens. */
    snprintf(url, sizeof(url), "redis://localhost:%s", strrchr(w->peer.url, ':') + 1);
    start(w, url);
    run(w);
    assert_told(w, "ready\nclosed cancelled: closed by us\n");
}

static void test_misconf_is_ready(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        {PEER_EXPECT, "PING\r\n", 0},
        {PEER_SEND, "-NOPERM no setname\r\n-MISCONF cannot save\r\n", 0},
        {0}};
    w->on_ready = greet_and_close;
    run_script(w, script);
    assert_told(w, "ready\nclosed cancelled: closed by us\n");
}

/* ---- closed right after step k ---- */

static void converse(struct world *w) {
    ask(w, "GET a", on_answer);
    subscribe(w, "SUBSCRIBE", "x", NULL);
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
    set_up(&state);
    struct world *w = state;
    char url[64];
    peer_start(&w->peer, &w->loop, NULL);
    peer_add_script(&w->peer, conversation);
    w->has_peer = true;
    w->on_ready = converse;
    snprintf(url, sizeof(url), "redis://%s:%s", host, strrchr(w->peer.url, ':') + 1);
    start(w, url);
    for (int i = 0; i < k && w->conn != NULL; i++)
        uv_run(&w->loop, UV_RUN_ONCE);
    bool is_over = w->conn == NULL;
    if (!is_over) {
        struct buf before = BUF_INIT;
        buf_puts(&before, w->told.data);
        redis_conn_close(w->conn);
        redis_conn_close(w->conn);
        const char *argv[] = {"PING"};
        assert_int_equal(redis_conn_command(w->conn, 1, argv, NULL, on_answer, w), RELAY_ECLOSING);
        assert_int_equal(redis_conn_subscription_command(w->conn, 1, argv, NULL), RELAY_ECLOSING);
        assert_told(w, before.data); /* no callback from inside close */
        run(w);
        const char *after = w->told.data + before.len;
        if (w->answered > 0 && strncmp(after, "answer", 6) == 0) {
            assert_memory_equal(after, "answer cancelled \n", 18);
            after += 18;
        }
        assert_string_equal(after, "closed cancelled: closed by us\n"); /* and nothing else */
        buf_fini(&before);
    }
    tear_down(&state); /* every command answered, closed once, the loop empty */
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

static void close_now(struct world *w) {
    redis_conn_close(w->conn);
}

/* Closed from within a callback while more of the same read waits: none of it is told. */
static void test_closed_in_push(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING,
                                              {PEER_EXPECT, "SUBSCRIBE\r\n", 0},
                                              {PEER_SEND,
                                               "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"
                                               "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n",
                                               0},
                                              {0}};
    w->on_ready = subscribe_x;
    w->on_push = close_now;
    run_script(w, script);
    assert_told(w, "ready\npush [subscribe,x,1]\nclosed cancelled: closed by us\n");
}

static void ask_twice_and_close(struct world *w) {
    ask(w, "GET a", on_answer_close);
    ask(w, "GET b", on_answer);
}

static void test_closed_in_answer(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING,
                                              {PEER_EXPECT, "$1\r\nb\r\n", 0},
                                              {PEER_SEND, "$1\r\n1\r\n$1\r\n2\r\n", 0},
                                              {0}};
    w->on_ready = ask_twice_and_close;
    run_script(w, script);
    assert_told(w, "ready\nanswer ok 1\nanswer cancelled \nclosed cancelled: closed by us\n");
}

/* ---- failures ---- */

static void test_refused_connection(void **state) {
    struct world *w = *state;
    char url[sizeof(w->peer.url)];
    peer_start(&w->peer, &w->loop, NULL); /* a port that is ours, and then nobody's */
    memcpy(url, w->peer.url, sizeof(url));
    peer_close(&w->peer);
    run(w);
    start(w, url);
    run(w);
    assert_told(w, "closed lost: cannot connect: connection refused\n");
}

static void test_no_socket(void **state) {
    struct world *w = *state;
    start(w, "unix:/nowhere/at/all");
    run(w);
    assert_told(w, "closed lost: cannot connect: no such file or directory\n");
}

static void test_no_such_host(void **state) {
    struct world *w = *state;
    /* A label of more than 63 bytes: refused without asking anybody. */
    start(
        w,
        "redis://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid");
    run(w);
    assert_non_null(strstr(w->told.data, "closed lost: cannot find the host: "));
}

static void test_mute_server(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {{0}};
    w->options.timeout_ms = TIMEOUT_MS;
    run_script(w, script);
    assert_told(w, "closed late: connected, but Redis did not answer in time\n");
}

static void ask_one(struct world *w) {
    ask(w, "GET a", on_answer);
}

/* Half open: it was there, and then says nothing. */
static void test_mute_after_ready(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING, {0}};
    w->options.timeout_ms = TIMEOUT_MS;
    w->on_ready = ask_one;
    run_script(w, script);
    assert_told(w, "ready\nanswer late \nclosed late: Redis did not answer in time\n");
}

static void test_unconfirmed_subscription(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING, {0}};
    w->options.timeout_ms = TIMEOUT_MS;
    w->on_ready = subscribe_x;
    run_script(w, script);
    assert_told(w, "ready\nclosed late: Redis did not answer in time\n");
}

struct failure {
    const char *name;
    const char *userinfo;
    struct peer_step script[6];
    void (*on_ready)(struct world *w);
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
     "ready\nanswer lost \nclosed overflow: a reply is larger than the limit\n"},
};

static void test_failures(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        const struct failure *f = &failures[i];
        void *world;
        set_up(&world);
        struct world *w = world;
        print_message("  %s\n", f->name);
        w->on_ready = f->on_ready;
        start_with(w, f->script, f->userinfo, "");
        run(w);
        assert_told(w, f->told);
        tear_down(&world);
    }
}

static void test_select_refused(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        {PEER_EXPECT, "PING", 0}, {PEER_SEND, "-ERR DB index is out of range\r\n", 0}, {0}};
    start_with(w, script, "", "/99");
    run(w);
    assert_told(w, "closed refused: SELECT was refused: ERR DB index is out of range\n");
}

/* ---- a real one ---- */

static void use_real(struct world *w) {
    ask(w, "ACL SETUSER me on >pw", on_answer);
    subscribe(w, "SUBSCRIBE", "x", "y");
    subscribe(w, "UNSUBSCRIBE", "x", "y");
    ask(w, "PUBLISH x 1", on_answer);
    ask(w, "SUBSCRIBE", on_answer_close);
}

static void test_real_server(void **state) {
    struct world *w = *state;
    struct redis_server server;
    redis_server_start(&server);
    w->on_ready = use_real;
    start(w, server.url);
    run(w);
    redis_server_stop(&server);
    assert_told(w, "ready\nanswer ok OK\npush [subscribe,x,1]\npush [subscribe,y,2]\n"
                   "push [unsubscribe,x,1]\npush [unsubscribe,y,0]\nanswer ok 0\n"
                   "answer refused ERR wrong number of arguments for 'subscribe' command\n"
                   "closed cancelled: closed by us\n");
}

static void test_real_password(void **state) {
    struct world *w = *state;
    struct redis_server server;
    char url[256];
    redis_server_start(&server);
    snprintf(url, sizeof(url), "%s?password=hunter2", server.url);
    start(w, url);
    run(w);
    redis_server_stop(&server);
    assert_null(strstr(w->told.data, "hunter2"));
    assert_non_null(strstr(w->told.data, "closed refused: ERR AUTH <password> called without"));
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_greeting),
        WITH_WORLD(test_commands),
        WITH_WORLD(test_subscription),
        WITH_WORLD(test_shards),
        WITH_WORLD(test_many_messages),
        WITH_WORLD(test_large_command),
        WITH_WORLD(test_command_from_outside),
        WITH_WORLD(test_name_of_host),
        WITH_WORLD(test_misconf_is_ready),
        cmocka_unit_test(test_closed_after_each_turn),
        WITH_WORLD(test_closed_in_push),
        WITH_WORLD(test_closed_in_answer),
        WITH_WORLD(test_refused_connection),
        WITH_WORLD(test_no_socket),
        WITH_WORLD(test_no_such_host),
        WITH_WORLD(test_mute_server),
        WITH_WORLD(test_mute_after_ready),
        WITH_WORLD(test_unconfirmed_subscription),
        cmocka_unit_test(test_failures),
        WITH_WORLD(test_select_refused),
        WITH_WORLD(test_real_server),
        WITH_WORLD(test_real_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
