/* sse-publish and durable events: what goes over the wire, and what it says to each answer. What
 * the script does is tested in tests/e2e. */
#include <string.h>

#include "tests/loop/publisher-cli/publish_world.h"
#include "tests/loop/redis/redis_server.h"
#include "tests/unit/unit.h"

#define SHA "0123456789abcdef0123456789abcdef01234567"
#define BULK_SHA "$40\r\n" SHA "\r\n"
#define PEER_PREPARES                                                                              \
    PEER_GREETING, {PEER_EXPECT, "INFO\r\n$6\r\nserver\r\n", 0}, {PEER_EXPECT, "LOAD\r\n", 0}, {   \
        PEER_SEND, "$18\r\n# Server\r\nrun_id:r\r\n" BULK_SHA, 0                                   \
    }

/* The whole way, with a real server: what it says, and what is in Redis. */
static void test_durable(void **state) {
    struct publish_world *w = *state;
    struct redis_server server;
    redis_server_start(&server);
    const char *const arguments[] = {"--history", "5",    "--ttl", "2m", "--key",
                                     "k",         "news", "a",     NULL};
    int first = publish_world_run(w, server.url, arguments);
    int again = publish_world_run(w, server.url, arguments);
    int other =
        publish_world_run(w, server.url, (const char *const[]){"--key", "k", "news", "b", NULL});
    redis_server_stop(&server);
    assert_int_equal(first, EXIT_DONE);
    assert_int_equal(again, EXIT_DONE);
    assert_int_equal(other, EXIT_REFUSED);
    assert_true(text_matches(w->said, "^" ID_PATTERN "\n" ID_PATTERN "\n$"));
    size_t len = strcspn(w->said, "\n") + 1;
    assert_memory_equal(w->said, w->said + len, len); /* the same id again */
    assert_non_null(strstr(w->complained, "Redis refused: the key was used for another event"));
}

/* What goes over the wire: once per connection INFO and the script, then its hash alone. */
static void test_durable_commands(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step script[] = {PEER_PREPARES,
                                              {PEER_EXPECT, "EVALSHA\r\n" BULK_SHA, 0},
                                              {PEER_SEND, "$11\r\n1 0 b.1.2-3\r\n", 0},
                                              {0}};
    publish_world_serve(w, script, NULL);
    assert_int_equal(
        RUN_DURABLE(w, "--prefix", "other", "--ttl", "2h", "--history", "7", "news", "hi"),
        EXIT_DONE);
    assert_true(publish_world_received(
        w, "*15\r\n$7\r\nEVALSHA\r\n" BULK_SHA "$1\r\n4\r\n$15\r\nother:{0}:clock\r\n"
           "$18\r\nother:{0}:log:news\r\n$19\r\nother:{0}:last:news\r\n"));
    assert_true(text_matches(w->peer.received.data, "\r\nother:\\{0\\}:once:[0-9a-f]{16}:1\r\n"));
    assert_true(publish_world_received(
        w, "$1\r\nr\r\n$9\r\n604800000\r\n$7\r\n7200000\r\n$1\r\n7\r\n"
           "$13\r\n{\"data\":\"hi\"}\r\n$6\r\n330000\r\n$10\r\nother:news\r\n"));
}

#define TWO_IDS "$19\r\n1 0 b.1.2-3 b.1.2-4\r\n"
#define TWO_IDS_AGAIN "$19\r\n1 1 b.1.2-3 b.1.2-4\r\n"

/* The server forgets the script in the middle: it is loaded again, and nobody hears of it. */
static void test_forgotten_script(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step again[] = {PEER_PREPARES,
                                             {PEER_EXPECT, "\"two\"", 0},
                                             {PEER_SEND, "-NOSCRIPT No matching script.\r\n", 0},
                                             {PEER_EXPECT, "LOAD\r\n", 0},
                                             {PEER_SEND, "$10\r\nrun_id:s\r\n\r\n" BULK_SHA, 0},
                                             {PEER_EXPECT, "$1\r\ns\r\n", 0},
                                             {PEER_EXPECT, "\"two\"", 0},
                                             {PEER_SEND, TWO_IDS, 0},
                                             {0}};
    publish_world_serve(w, again, NULL);
    publish_world_give_pipe(w, "one\ntwo\n", true);
    assert_int_equal(RUN_DURABLE(w, "--lines", "log"), EXIT_DONE);
    assert_string_equal(w->said, "b.1.2-3\nb.1.2-4\n");
    assert_true(text_matches(w->complained, "^sse-publish: published 2 events to 1 topic in "));
}

/* Lost before the answer: the same batch goes out again with the same key, on a new connection. */
static void test_sent_again(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step cut[] = {
        PEER_PREPARES, {PEER_EXPECT, "\"two\"", 0}, {PEER_CLOSE, NULL, 0}, {0}};
    static const struct peer_step again[] = {
        PEER_PREPARES, {PEER_EXPECT, "\"two\"", 0}, {PEER_SEND, TWO_IDS_AGAIN, 0}, {0}};
    publish_world_serve(w, cut, again);
    publish_world_give_pipe(w, "one\ntwo\n", true);
    assert_int_equal(RUN_DURABLE(w, "--lines", "log"), EXIT_DONE);
    assert_string_equal(w->said, "b.1.2-3\nb.1.2-4\n");
    const char *first = strstr(w->peer.received.data, ":once:");
    const char *second = strstr(first + 1, ":once:");
    assert_memory_equal(first, second, strcspn(first, "\r"));
    assert_true(text_matches(w->complained, "lost Redis at redis://127\\.0\\.0\\.1:[0-9]+: Redis "
                                            "closed the connection; connecting again\n"
                                            "sse-publish: connected to Redis again\n"));
    assert_non_null(strstr(w->complained, "; 2 of them found stored when sent again\n"));
}

/* The second call is refused for now, and the third one taken: it is sent again and comes behind
 * it, which is told. The ids stand in the order of the lines all the same. */
#define PEER_OVERTAKES                                                                             \
    PEER_PREPARES, {PEER_EXPECT, "\"one\"", 0}, {PEER_SEND, "$11\r\n1 0 b.1.2-1\r\n", 0},          \
        {PEER_EXPECT, "\"three\"", 0}, {                                                           \
        PEER_SEND, "-BUSY a script runs\r\n$11\r\n1 0 b.1.2-2\r\n", 0                              \
    }

static void test_overtaken(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step busy[] = {PEER_OVERTAKES, {0}};
    static const struct peer_step again[] = {
        PEER_PREPARES, {PEER_EXPECT, "\"two\"", 0}, {PEER_SEND, "$11\r\n1 0 b.1.2-3\r\n", 0}, {0}};
    publish_world_serve(w, busy, again);
    publish_world_give_pipe(w, "one\ntwo\nthree\n", true);
    assert_int_equal(RUN_DURABLE(w, "--lines", "--key", "k", "--output", "json", "log"), EXIT_DONE);
    assert_string_equal(w->said,
                        "{\"topic\":\"log\",\"line\":1,\"id\":\"b.1.2-1\",\"duplicate\":false}\n"
                        "{\"topic\":\"log\",\"line\":2,\"id\":\"b.1.2-3\",\"duplicate\":false}\n"
                        "{\"topic\":\"log\",\"line\":3,\"id\":\"b.1.2-2\",\"duplicate\":false}\n");
    assert_non_null(strstr(w->complained, "takes no events just now: BUSY a script runs; trying "
                                          "again\nsse-publish: connected to Redis again\n"));
    assert_non_null(strstr(w->complained, "published 3 events"));
    assert_non_null(strstr(w->complained, "; 1 behind later ones, since Redis was busy\n"));
}

/* The same, and the refused one is never answered: what overtook it is told at the end. */
static void test_overtaken_for_good(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step busy[] = {PEER_OVERTAKES, {0}};
    static const struct peer_step mute[] = {PEER_PREPARES, {PEER_EXPECT, "\"two\"", 0}, {0}};
    publish_world_serve(w, busy, mute);
    publish_world_give_pipe(w, "one\ntwo\nthree\n", true);
    assert_int_equal(RUN_DURABLE(w, "--lines", "--key", "k", "--timeout", "1s", "log"),
                     EXIT_UNREACHABLE);
    assert_string_equal(w->said, "b.1.2-1\nb.1.2-2\n");
    assert_non_null(strstr(w->complained, "lines 2 to 3 of the input may be published or not "
                                          "(1 event of them is published), and what is behind"));
    assert_non_null(strstr(w->complained, "published 2 events"));
}

/* And it is refused to the end: nothing is unknown, and what overtook it is told. */
static void test_overtaken_and_turned_away(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step busy[] = {PEER_OVERTAKES, {0}};
    static const struct peer_step replica[] = {
        PEER_PREPARES, {PEER_EXPECT, "\"two\"", 0}, {PEER_SEND, "-READONLY a replica\r\n", 0}, {0}};
    publish_world_serve(w, busy, replica);
    publish_world_give_pipe(w, "one\ntwo\nthree\n", true);
    assert_int_equal(RUN_DURABLE(w, "--lines", "--key", "k", "--timeout", "1s", "log"),
                     EXIT_REFUSED);
    assert_string_equal(w->said, "b.1.2-1\nb.1.2-2\n");
    assert_non_null(strstr(w->complained, "stopped at line 2 of the input: --resume-from 2 goes on "
                                          "with it; 1 event behind it had been sent, and is"));
}

/* A server that may become the master in the midst of what is sent is sent one call until it takes
 * one: nothing changes its place. */
static void test_first_call_alone(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step replica[] = {
        PEER_PREPARES, {PEER_EXPECT, "\"one\"", 0}, {PEER_SEND, "-READONLY a replica\r\n", 0}, {0}};
    static const struct peer_step master[] = {
        PEER_PREPARES,
        {PEER_EXPECT, "\"one\"", 0},
        {PEER_SEND, "$11\r\n1 0 b.1.2-1\r\n", 0},
        {PEER_EXPECT, "\"three\"", 0},
        {PEER_SEND, "$11\r\n1 0 b.1.2-2\r\n$11\r\n1 0 b.1.2-3\r\n", 0},
        {0}};
    publish_world_serve(w, replica, master);
    publish_world_give_pipe(w, "one\ntwo\nthree\n", true);
    assert_int_equal(RUN_DURABLE(w, "--lines", "--key", "k", "log"), EXIT_DONE);
    assert_string_equal(w->said, "b.1.2-1\nb.1.2-2\nb.1.2-3\n");
    const char *two = strstr(w->peer.received.data, "\"two\"");
    assert_null(strstr(two + 1, "\"two\"")); /* not sent to the replica */
    assert_null(strstr(w->complained, "behind later ones"));
}

/* Without the right to SCRIPT, the text goes out at once. */
static void test_script_not_loaded(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "LOAD\r\n", 0},
        {PEER_SEND, "$10\r\nrun_id:r\r\n\r\n-NOPERM no SCRIPT\r\n", 0},
        {PEER_EXPECT, "$4\r\nEVAL\r\n", 0},
        {PEER_EXPECT, "\"hi\"", 0},
        {PEER_SEND, "$11\r\n1 0 b.1.2-3\r\n", 0},
        {0}};
    publish_world_serve(w, script, NULL);
    assert_int_equal(RUN_DURABLE(w, "news", "hi"), EXIT_DONE);
    assert_string_equal(w->said, "b.1.2-3\n");
}

static void test_no_run_id(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING,
                                              {PEER_EXPECT, "LOAD\r\n", 0},
                                              {PEER_SEND, "-NOPERM no INFO\r\n" BULK_SHA, 0},
                                              {0}};
    publish_world_serve(w, script, NULL);
    assert_int_equal(RUN_DURABLE(w, "news", "hi"), EXIT_REFUSED);
    assert_non_null(strstr(w->complained, "run_id, which durable events need: NOPERM no INFO"));
    assert_false(publish_world_received(w, "EVAL"));
}

/* Stored, but subscribers cannot be told. */
static void test_unannounced(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step script[] = {
        PEER_PREPARES, {PEER_EXPECT, "\"hi\"", 0}, {PEER_SEND, "$11\r\n0 0 b.1.2-3\r\n", 0}, {0}};
    publish_world_serve(w, script, NULL);
    assert_int_equal(RUN_DURABLE(w, "news", "hi"), EXIT_REFUSED);
    assert_non_null(strstr(w->complained, "stored as b.1.2-3, but this Redis user may not"));
    assert_string_equal(w->said, "b.1.2-3\n");
}

static void check_wait(const char *answer, int code, const char *complaint) {
    void *state;
    publish_world_set_up(&state);
    struct publish_world *w = state;
    const struct peer_step script[] = {PEER_PREPARES,
                                       {PEER_EXPECT, "\"hi\"", 0},
                                       {PEER_SEND, "$11\r\n1 0 b.1.2-3\r\n", 0},
                                       {PEER_EXPECT, "WAIT\r\n$1\r\n2\r\n", 0},
                                       {PEER_SEND, answer, 0},
                                       {PEER_CLOSE, NULL, 0},
                                       {0}};
    publish_world_serve(w, script, NULL);
    assert_int_equal(RUN_DURABLE(w, "--wait-replicas", "2", "--key", "k", "news", "hi"), code);
    if (complaint != NULL)
        assert_non_null(strstr(w->complained, complaint));
    publish_world_tear_down(&state);
}

static void test_wait(void **state) {
    (void)state;
    check_wait(":2\r\n", EXIT_DONE, NULL);
    check_wait(":1\r\n", EXIT_REFUSED,
               "stored as b.1.2-3, but 1 of 2 replicas have it after 3 s; a retry with the same "
               "--key is safe");
    check_wait("-ERR no\r\n", EXIT_REFUSED,
               "whether replicas have it is not known, since Redis refused WAIT: ERR no; a retry");
    check_wait("-NOPERM this user may not\r\n", EXIT_REFUSED,
               "Redis refused WAIT: NOPERM this user may not; the user needs the right +wait; a");
}

/* The script's words, and what is none of them. */
static void check_refusal(const char *answer, const char *complaint) {
    void *state;
    publish_world_set_up(&state);
    struct publish_world *w = state;
    const struct peer_step script[] = {
        PEER_PREPARES, {PEER_EXPECT, "\"hi\"", 0}, {PEER_SEND, answer, 0}, {0}};
    publish_world_serve(w, script, NULL);
    assert_int_equal(RUN_DURABLE(w, "news", "hi"), EXIT_REFUSED);
    assert_non_null(strstr(w->complained, complaint));
    assert_int_equal(w->said_len, 0);
    publish_world_tear_down(&state);
}

static void test_refusals(void **state) {
    (void)state;
    check_refusal("-OOM no memory\r\n", "Redis refused: Redis is out of memory; nothing was "
                                        "published, raise its maxmemory or keep less history "
                                        "(OOM no memory)");
    check_refusal("-ERR of another kind\r\n", "Redis refused: ERR of another kind\n");
    check_refusal("$11\r\n1 0 b.1.2_3\r\n", "is not the answer of the publish script");
    check_refusal("$19\r\n1 0 b.1.2-3 b.1.2-4\r\n", "is not the answer of the publish script");
    check_refusal(":1\r\n", "is not the answer of the publish script");
}

static void check_lines_key(struct publish_world *w, const char *url) {
    publish_world_give_pipe(w, "one\ntwo\n", true);
    assert_int_equal(
        publish_world_run(w, url, (const char *const[]){"--lines", "--key", "k", "log", NULL}),
        EXIT_DONE);
}

/* The same input sent twice is published once. */
static void test_lines_with_a_key(void **state) {
    struct publish_world *w = *state;
    struct redis_server server;
    redis_server_start(&server);
    check_lines_key(w, server.url);
    check_lines_key(w, server.url);
    redis_server_stop(&server);
    assert_true(text_matches(w->said,
                             "^" ID_PATTERN "\n" ID_PATTERN "\n" ID_PATTERN "\n" ID_PATTERN "\n$"));
    assert_non_null(strstr(w->complained, "; 2 of them published before\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_PUBLISH_WORLD(test_durable),
        WITH_PUBLISH_WORLD(test_durable_commands),
        WITH_PUBLISH_WORLD(test_forgotten_script),
        WITH_PUBLISH_WORLD(test_sent_again),
        WITH_PUBLISH_WORLD(test_overtaken),
        WITH_PUBLISH_WORLD(test_overtaken_for_good),
        WITH_PUBLISH_WORLD(test_overtaken_and_turned_away),
        WITH_PUBLISH_WORLD(test_first_call_alone),
        WITH_PUBLISH_WORLD(test_script_not_loaded),
        WITH_PUBLISH_WORLD(test_no_run_id),
        WITH_PUBLISH_WORLD(test_unannounced),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_refusals),
        WITH_PUBLISH_WORLD(test_lines_with_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
