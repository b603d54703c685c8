/* sse-publish as a whole, short of its main(): against a server that plays a script, and a real
 * one.
 */
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "publisher-cli/options.h"
#include "publisher-cli/publish.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/loop/redis_peer.h"
#include "tests/loop/redis_server.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 60000, LOOK_MS = 5, ARGUMENTS_MAX = 10, MIB = 1024 * 1024 };

struct world {
    uv_loop_t loop;
    uv_timer_t patience;
    uv_timer_t look; /* runs while the test waits for something to be said */
    struct peer peer;
    bool has_peer;
    int in_fd;
    FILE *out, *err;
    char *said, *complained; /* what came there */
    size_t said_len, complained_len;
    int wanted_lines; /* on out, before a signal is raised */
    int signum;
};

static void on_patience(uv_timer_t *timer) {
    (void)timer;
    fail_msg("it does not end");
}

static int set_up(void **state) {
    struct world *w = mem_zalloc(sizeof(*w));
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->patience);
    uv_timer_init(&w->loop, &w->look);
    uv_timer_start(&w->patience, on_patience, PATIENCE_MS, 0);
    uv_unref((uv_handle_t *)&w->patience);
    w->look.data = w;
    w->in_fd = open("/dev/null", O_RDONLY);
    w->out = open_memstream(&w->said, &w->said_len);
    w->err = open_memstream(&w->complained, &w->complained_len);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    if (w->has_peer)
        peer_close(&w->peer);
    uv_close((uv_handle_t *)&w->patience, NULL);
    uv_close((uv_handle_t *)&w->look, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0); /* nothing of the run was left */
    close(w->in_fd);
    fclose(w->out);
    fclose(w->err);
    free(w->said);
    free(w->complained);
    free(w);
    return 0;
}

static void serve(struct world *w, const struct peer_step *first, const struct peer_step *second) {
    peer_start(&w->peer, &w->loop, NULL);
    peer_add_script(&w->peer, first);
    if (second != NULL)
        peer_add_script(&w->peer, second);
    w->has_peer = true;
}

static int run_at(struct world *w, const char *url, const char *const *arguments) {
    char *argv[ARGUMENTS_MAX + 2] = {(char *)"sse-publish"};
    int argc = 1;
    struct options o;
    struct buf why = BUF_INIT;
    for (; arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    if (options_read(&o, argc, argv, url, &why) != RELAY_OK)
        fail_msg("%s", why.data);
    int code = publish_run(&o, &w->loop, w->in_fd, w->out, w->err);
    fflush(w->out);
    fflush(w->err);
    options_fini(&o);
    return code;
}

#define RUN_DURABLE(w, ...) run_at(w, (w)->peer.url, (const char *const[]){__VA_ARGS__, NULL})
#define RUN(w, ...) RUN_DURABLE(w, "--live", __VA_ARGS__)

/* Standard input is a file with these bytes. */
static void give_file(struct world *w, const char *bytes, size_t len) {
    char path[] = "/tmp/publish-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, bytes, len), len);
    lseek(fd, 0, SEEK_SET);
    close(w->in_fd);
    w->in_fd = fd;
}

/* Standard input is a pipe with this text; returns the end to write to, or -1 when @is_over. */
static int give_pipe(struct world *w, const char *text, bool is_over) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
    close(w->in_fd);
    w->in_fd = fds[0];
    if (!is_over)
        return fds[1];
    close(fds[1]);
    return -1;
}

static void on_look(uv_timer_t *timer) {
    struct world *w = timer->data;
    int lines = 0;
    fflush(w->out);
    for (const char *at = w->said; at != NULL && (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    if (lines < w->wanted_lines)
        return;
    uv_timer_stop(timer);
    raise(w->signum);
}

/* Raise @signum once @lines lines were said. */
static void signal_after(struct world *w, int lines, int signum) {
    w->wanted_lines = lines;
    w->signum = signum;
    uv_timer_start(&w->look, on_look, LOOK_MS, LOOK_MS);
    uv_unref((uv_handle_t *)&w->look);
}

/* Whether the server was told this. */
static bool was_received(const struct world *w, const char *text) {
    return memmem(w->peer.received.data, w->peer.received.len, text, strlen(text)) != NULL;
}

static bool has_match(const char *text, const char *pattern) {
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

#define ID_PATTERN "[0-9a-f]{12}\\.1\\.[0-9a-z]{8}-[0-9a-z]+"

static const struct peer_step answers_one[] = {
    PEER_GREETING, {PEER_EXPECT, "PUBLISH\r\n", 0}, {PEER_SEND, ":2\r\n", 0}, {0}};

/* ---- one event ---- */

static void test_data(void **state) {
    struct world *w = *state;
    serve(w, answers_one, NULL);
    assert_int_equal(RUN(w, "--event", "e", "--retry", "3s", "news", "a\nb"), EXIT_PUBLISHED);
    assert_true(was_received(w,
                             "*3\r\n$7\r\nPUBLISH\r\n$8\r\nsse:news\r\n$49\r\n"
                             "sse1 - - {\"event\":\"e\",\"data\":\"a\\nb\",\"retry\":3000}\r\n"));
    assert_string_equal(w->said, "published to news: 3 bytes, 2 Redis subscribers\n");
    assert_int_equal(w->complained_len, 0);
}

static void test_prefix_and_quiet(void **state) {
    struct world *w = *state;
    serve(w, answers_one, NULL);
    assert_int_equal(RUN(w, "-q", "--prefix", "other", "news", ""), EXIT_PUBLISHED);
    assert_true(was_received(w, "$10\r\nother:news\r\n"));
    assert_true(was_received(w, "sse1 - - {\"data\":\"\"}\r\n"));
    assert_int_equal(w->said_len + w->complained_len, 0);
}

static void check_input(const char *text, const char *data) {
    void *state;
    set_up(&state);
    struct world *w = state;
    serve(w, answers_one, NULL);
    give_pipe(w, text, true);
    assert_int_equal(RUN(w, "news", "-"), EXIT_PUBLISHED);
    assert_true(was_received(w, data));
    tear_down(&state);
}

static void test_input(void **state) {
    (void)state;
    check_input("hello", "{\"data\":\"hello\"}");
    check_input("hello\n", "{\"data\":\"hello\"}");
    check_input("hello\r\n", "{\"data\":\"hello\"}");
    check_input("a\n\n", "{\"data\":\"a\\n\"}"); /* one line end is taken, no more */
    check_input("a\r", "{\"data\":\"a\\r\"}");
    check_input("", "{\"data\":\"\"}");
}

/* @count times `a`, and then @end. */
static char *many_bytes(size_t count, const char *end) {
    char *bytes = mem_zalloc(count + strlen(end) + 1);
    memset(bytes, 'a', count);
    memcpy(bytes + count, end, strlen(end));
    return bytes;
}

static void check_size(size_t count, const char *end, const char *option, int code) {
    void *state;
    set_up(&state);
    struct world *w = state;
    char *bytes = many_bytes(count, end);
    serve(w, answers_one, NULL);
    give_file(w, bytes, strlen(bytes));
    assert_int_equal(option == NULL ? RUN(w, "news") : RUN(w, option, "news"), code);
    assert_int_equal(was_received(w, "PUBLISH"), code == EXIT_PUBLISHED);
    if (code == EXIT_USAGE && option == NULL)
        assert_string_equal(w->complained, "sse-publish: standard input is longer than 1 MiB; "
                                           "nothing is published\n");
    if (code == EXIT_USAGE && option != NULL)
        assert_string_equal(w->complained, "sse-publish: line 1 is longer than 1 MiB; it is not "
                                           "published, and nothing that follows it is\n");
    free(bytes);
    tear_down(&state);
}

static void test_sizes(void **state) {
    (void)state;
    check_size(MIB, "", NULL, EXIT_PUBLISHED);
    check_size(MIB, "\r\n", NULL, EXIT_PUBLISHED);
    check_size(MIB + 1, "", NULL, EXIT_USAGE);
    check_size(3 * MIB, "\n", NULL, EXIT_USAGE);
    check_size(MIB, "\r\n", "--lines", EXIT_PUBLISHED);
    check_size(MIB + 1, "\n", "--lines", EXIT_USAGE);
    check_size(3 * MIB, "", "--lines", EXIT_USAGE);
}

static void test_input_not_utf8(void **state) {
    struct world *w = *state;
    serve(w, answers_one, NULL);
    give_pipe(w, "a\xff", true);
    assert_int_equal(RUN(w, "news"), EXIT_USAGE);
    assert_string_equal(w->complained, "sse-publish: standard input is not valid UTF-8; nothing is "
                                       "published\n");
    assert_false(was_received(w, "PUBLISH"));
}

static void test_unreadable_input(void **state) {
    struct world *w = *state;
    serve(w, answers_one, NULL);
    close(w->in_fd);
    w->in_fd = open("/", O_RDONLY);
    assert_int_equal(RUN(w, "news"), EXIT_USAGE);
    assert_non_null(strstr(w->complained, "cannot read standard input: "));
}

/* ---- lines ---- */

static void test_lines(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "{\"event\":\"e\",\"data\":\"one\"}", 0},
        {PEER_EXPECT, "{\"event\":\"e\",\"data\":\"\"}", 0},
        {PEER_EXPECT, "{\"event\":\"e\",\"data\":\"two\"}", 0},
        {PEER_EXPECT, "{\"event\":\"e\",\"data\":\"three\"}", 0},
        {PEER_SEND_MANY, ":0\r\n", 4},
        {0}};
    serve(w, script, NULL);
    give_pipe(w, "one\n\ntwo\r\nthree", true);
    assert_int_equal(RUN(w, "--lines", "--event", "e", "log"), EXIT_PUBLISHED);
    assert_string_equal(w->said, "published to log: 4 events, 11 bytes\n");
    assert_int_equal(w->complained_len, 0);
}

/* A real server, and far more lines than may be on their way at once. */
static void test_many_lines(void **state) {
    struct world *w = *state;
    struct redis_server server;
    struct buf text = BUF_INIT;
    for (int i = 0; i < 100000; i++)
        buf_puts(&text, "0123456789\n");
    redis_server_start(&server);
    give_file(w, text.data, text.len);
    int code = run_at(w, server.url, (const char *const[]){"--lines", "log", NULL});
    redis_server_stop(&server);
    buf_fini(&text);
    assert_int_equal(code, EXIT_PUBLISHED);
    assert_true(has_match(
        w->said, "^published to log: 100000 events, 1000000 bytes, last id " ID_PATTERN "\n$"));
}

/* Without answers no more than the window leaves, however much there is to read. */
static void test_window(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING, {PEER_EXPECT, "\"n1024\"", 0}, {PEER_CLOSE, NULL, 0}, {0}};
    struct buf text = BUF_INIT;
    for (int i = 1; i <= 3000; i++)
        buf_printf(&text, "n%d\n", i);
    serve(w, script, NULL);
    give_file(w, text.data, text.len);
    buf_fini(&text);
    assert_int_equal(RUN(w, "--lines", "log"), EXIT_UNREACHABLE);
    assert_false(was_received(w, "\"n1025\""));
    assert_string_equal(w->said, "published to log: 0 events, 0 bytes\n");
    assert_non_null(strstr(w->complained, "lines 1 to 1024 may be published or not"));
}

static void test_bad_line(void **state) {
    struct world *w = *state;
    serve(w, answers_one, NULL);
    give_pipe(w,
              "good\nb\xff"
              "d\nnever\n",
              true);
    assert_int_equal(RUN(w, "--lines", "log"), EXIT_USAGE);
    assert_string_equal(w->said, "published to log: 1 event, 4 bytes\n");
    assert_string_equal(w->complained, "sse-publish: line 2 is not valid UTF-8; it is not "
                                       "published, and nothing that follows it is\n");
    assert_false(was_received(w, "never"));
}

static void test_refused_line(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "\"four\"", 0},
        {PEER_SEND, ":0\r\n-OOM no memory\r\n:0\r\n-OOM no memory\r\n", 0},
        {0}};
    serve(w, script, NULL);
    give_pipe(w, "one\ntwo\nthree\nfour\n", true);
    assert_int_equal(RUN(w, "--lines", "log"), EXIT_REFUSED);
    assert_string_equal(w->said, "published to log: 2 events, 8 bytes\n");
    assert_string_equal(w->complained, "sse-publish: Redis refused line 2: Redis is out of memory; "
                                       "nothing was published, raise its maxmemory or keep less "
                                       "history (OOM no memory); of the 2 lines that were sent "
                                       "behind it, 1 are published\n");
}

static void test_lost_within_lines(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING,
                                              {PEER_EXPECT, "\"three\"", 0},
                                              {PEER_SEND, ":0\r\n", 0},
                                              {PEER_CLOSE, NULL, 0},
                                              {0}};
    serve(w, script, NULL);
    give_pipe(w, "one\ntwo\nthree\n", true);
    assert_int_equal(RUN(w, "--lines", "log"), EXIT_UNREACHABLE);
    assert_string_equal(w->said, "published to log: 1 event, 3 bytes\n");
    assert_true(has_match(
        w->complained, "^sse-publish: lost Redis at redis://127\\.0\\.0\\.1:[0-9]+: Redis closed "
                       "the connection\nsse-publish: lines 2 to 3 may be published or not: "
                       "their answers were lost; what follows them is not\n$"));
}

/* ---- durable ---- */

#define SHA "0123456789abcdef0123456789abcdef01234567"
#define BULK_SHA "$40\r\n" SHA "\r\n"
#define PEER_PREPARES                                                                              \
    PEER_GREETING, {PEER_EXPECT, "INFO\r\n$6\r\nserver\r\n", 0}, {PEER_EXPECT, "LOAD\r\n", 0}, {   \
        PEER_SEND, "$18\r\n# Server\r\nrun_id:r\r\n" BULK_SHA, 0                                   \
    }

/* The whole way, with a real server: what it says, and what is in Redis. */
static void test_durable(void **state) {
    struct world *w = *state;
    struct redis_server server;
    redis_server_start(&server);
    const char *const arguments[] = {"--history", "5",    "--ttl", "2m", "--key",
                                     "k",         "news", "a",     NULL};
    int first = run_at(w, server.url, arguments);
    int again = run_at(w, server.url, arguments);
    int other = run_at(w, server.url, (const char *const[]){"--key", "k", "news", "b", NULL});
    redis_server_stop(&server);
    assert_int_equal(first, EXIT_PUBLISHED);
    assert_int_equal(again, EXIT_PUBLISHED);
    assert_int_equal(other, EXIT_REFUSED);
    assert_true(has_match(w->said, "^published to news: 1 byte, id " ID_PATTERN "\n"
                                   "published before to news: 1 byte, id " ID_PATTERN "\n$"));
    const char *id = strstr(w->said, "id ");
    size_t len = strcspn(id, "\n");
    assert_memory_equal(id, strstr(id + len, "id "), len + 1);
    assert_non_null(strstr(w->complained, "Redis refused: the key was used for another event"));
}

/* What goes over the wire: once per connection INFO and the script, then its hash alone. */
static void test_durable_commands(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {PEER_PREPARES,
                                              {PEER_EXPECT, "EVALSHA\r\n" BULK_SHA, 0},
                                              {PEER_SEND, "$11\r\n1 0 b.1.2-3\r\n", 0},
                                              {0}};
    serve(w, script, NULL);
    assert_int_equal(
        RUN_DURABLE(w, "--prefix", "other", "--ttl", "2h", "--history", "7", "news", "hi"),
        EXIT_PUBLISHED);
    assert_true(was_received(w, "*14\r\n$7\r\nEVALSHA\r\n" BULK_SHA
                                "$1\r\n3\r\n$15\r\nother:{0}:clock\r\n"
                                "$18\r\nother:{0}:log:news\r\n$19\r\nother:{0}:last:news\r\n"));
    assert_true(was_received(w, "$1\r\nr\r\n$9\r\n604800000\r\n$7\r\n7200000\r\n$1\r\n7\r\n"
                                "$13\r\n{\"data\":\"hi\"}\r\n$0\r\n\r\n$10\r\nother:news\r\n"));
}

/* The server forgets the script in the middle: it gets the text, in order, and nothing is lost. */
static void test_forgotten_script(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {PEER_PREPARES,
                                              {PEER_EXPECT, "\"two\"", 0},
                                              {PEER_SEND, "-NOSCRIPT No matching script.\r\n", 0},
                                              {PEER_SEND, "-NOSCRIPT No matching script.\r\n", 0},
                                              {PEER_EXPECT, "$4\r\nEVAL\r\n", 0},
                                              {PEER_EXPECT, "\"one\"", 0},
                                              {PEER_EXPECT, "$4\r\nEVAL\r\n", 0},
                                              {PEER_EXPECT, "\"two\"", 0},
                                              {PEER_SEND, "$11\r\n1 0 b.1.2-3\r\n", 0},
                                              {PEER_SEND, "$11\r\n1 0 b.1.2-4\r\n", 0},
                                              {0}};
    serve(w, script, NULL);
    give_pipe(w, "one\ntwo\n", true);
    assert_int_equal(RUN_DURABLE(w, "--lines", "log"), EXIT_PUBLISHED);
    assert_string_equal(w->said, "published to log: 2 events, 6 bytes, last id b.1.2-4\n");
    assert_int_equal(w->complained_len, 0);
}

/* Without the right to SCRIPT, the text goes out at once. */
static void test_script_not_loaded(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "LOAD\r\n", 0},
        {PEER_SEND, "$10\r\nrun_id:r\r\n\r\n-NOPERM no SCRIPT\r\n", 0},
        {PEER_EXPECT, "$4\r\nEVAL\r\n", 0},
        {PEER_EXPECT, "\"hi\"", 0},
        {PEER_SEND, "$11\r\n1 0 b.1.2-3\r\n", 0},
        {0}};
    serve(w, script, NULL);
    assert_int_equal(RUN_DURABLE(w, "news", "hi"), EXIT_PUBLISHED);
    assert_string_equal(w->said, "published to news: 2 bytes, id b.1.2-3\n");
}

static void test_no_run_id(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {PEER_GREETING,
                                              {PEER_EXPECT, "LOAD\r\n", 0},
                                              {PEER_SEND, "-NOPERM no INFO\r\n" BULK_SHA, 0},
                                              {0}};
    serve(w, script, NULL);
    assert_int_equal(RUN_DURABLE(w, "news", "hi"), EXIT_REFUSED);
    assert_non_null(strstr(w->complained, "run_id, which durable events need: NOPERM no INFO"));
    assert_false(was_received(w, "EVAL"));
}

/* Stored, but subscribers cannot be told. */
static void test_unannounced(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        PEER_PREPARES, {PEER_EXPECT, "\"hi\"", 0}, {PEER_SEND, "$11\r\n0 0 b.1.2-3\r\n", 0}, {0}};
    serve(w, script, NULL);
    assert_int_equal(RUN_DURABLE(w, "news", "hi"), EXIT_REFUSED);
    assert_non_null(strstr(w->complained, "stored as b.1.2-3, but this Redis user may not"));
    assert_int_equal(w->said_len, 0);
}

static void check_wait(const char *answer, int code, const char *complaint) {
    void *state;
    set_up(&state);
    struct world *w = state;
    const struct peer_step script[] = {PEER_PREPARES,
                                       {PEER_EXPECT, "\"hi\"", 0},
                                       {PEER_SEND, "$11\r\n1 0 b.1.2-3\r\n", 0},
                                       {PEER_EXPECT, "WAIT\r\n$1\r\n2\r\n", 0},
                                       {PEER_SEND, answer, 0},
                                       {PEER_CLOSE, NULL, 0},
                                       {0}};
    serve(w, script, NULL);
    assert_int_equal(RUN_DURABLE(w, "--wait-replicas", "2", "--key", "k", "news", "hi"), code);
    if (complaint != NULL)
        assert_non_null(strstr(w->complained, complaint));
    tear_down(&state);
}

static void test_wait(void **state) {
    (void)state;
    check_wait(":2\r\n", EXIT_PUBLISHED, NULL);
    check_wait(":1\r\n", EXIT_REFUSED,
               "stored as b.1.2-3, but 1 of 2 replicas have it after 3 s; a retry with the same "
               "--key is safe");
    check_wait("", EXIT_REFUSED, "an unknown number of 2 replicas");
}

/* The script's words, and what is none of them. */
static void check_refusal(const char *answer, const char *complaint) {
    void *state;
    set_up(&state);
    struct world *w = state;
    const struct peer_step script[] = {
        PEER_PREPARES, {PEER_EXPECT, "\"hi\"", 0}, {PEER_SEND, answer, 0}, {0}};
    serve(w, script, NULL);
    assert_int_equal(RUN_DURABLE(w, "news", "hi"), EXIT_REFUSED);
    assert_non_null(strstr(w->complained, complaint));
    assert_int_equal(w->said_len, 0);
    tear_down(&state);
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

static void check_lines_key(struct world *w, const char *url) {
    give_pipe(w, "one\ntwo\n", true);
    assert_int_equal(run_at(w, url, (const char *const[]){"--lines", "--key", "k", "log", NULL}),
                     EXIT_PUBLISHED);
}

/* The same input sent twice is published once. */
static void test_lines_with_a_key(void **state) {
    struct world *w = *state;
    struct redis_server server;
    redis_server_start(&server);
    check_lines_key(w, server.url);
    check_lines_key(w, server.url);
    redis_server_stop(&server);
    assert_true(has_match(w->said, "^published to log: 2 events, 6 bytes, last id " ID_PATTERN "\n"
                                   "published to log: 2 events, 6 bytes, last id " ID_PATTERN
                                   ", 2 of them published before\n$"));
}

/* ---- Redis is not as it should be ---- */

static void test_unreachable(void **state) {
    struct world *w = *state;
    assert_int_equal(run_at(w, "unix:/no/socket", (const char *const[]){"t", "d", NULL}),
                     EXIT_UNREACHABLE);
    assert_string_equal(w->complained,
                        "sse-publish: cannot reach Redis at unix:/no/socket: cannot connect: no "
                        "such file or directory; --redis or REDIS_URL says where it is\n");
    assert_int_equal(w->said_len, 0);
}

static void test_clock_unreachable(void **state) {
    struct world *w = *state;
    assert_int_equal(run_at(w, "unix:/no/socket", (const char *const[]){"clock", NULL}),
                     EXIT_UNREACHABLE);
}

static void test_refused(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING, {PEER_EXPECT, "PUBLISH", 0}, {PEER_SEND, "-NOPERM not you\r\n", 0}, {0}};
    serve(w, script, NULL);
    assert_int_equal(RUN(w, "t", "d"), EXIT_REFUSED);
    assert_non_null(strstr(w->complained, "Redis refused: the Redis user lacks a permission"));
    assert_non_null(strstr(w->complained, "(NOPERM not you)\n"));
    assert_int_equal(w->said_len, 0);
}

static void test_refused_connection(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        {PEER_EXPECT, "PING", 0}, {PEER_SEND, "-NOAUTH Authentication required.\r\n", 0}, {0}};
    serve(w, script, NULL);
    assert_int_equal(RUN(w, "t", "d"), EXIT_REFUSED);
    assert_true(has_match(w->complained,
                          "^sse-publish: Redis at redis://127\\.0\\.0\\.1:[0-9]+ "
                          "refused the connection: NOAUTH Authentication required\\.\n$"));
}

static void test_lost_answer(void **state) {
    struct world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING, {PEER_EXPECT, "PUBLISH", 0}, {PEER_CLOSE, NULL, 0}, {0}};
    serve(w, script, NULL);
    assert_int_equal(RUN(w, "t", "d"), EXIT_UNREACHABLE);
    assert_non_null(strstr(w->complained, "the event may be published or not"));
    assert_int_equal(w->said_len, 0);
}

/* ---- clock, letters, signals ---- */

static const struct peer_step answers_many[] = {
    PEER_GREETING,
    {PEER_EXPECT, "PUBLISH", 0},
    {PEER_SEND, ":1\r\n", 0},
    {PEER_REPEAT, NULL, 2},
};

static void test_clock(void **state) {
    struct world *w = *state;
    serve(w, answers_many, NULL);
    signal_after(w, 2, SIGINT);
    assert_int_equal(RUN(w, "clock", "--every", "20ms"), EXIT_PUBLISHED);
    assert_true(
        has_match(w->peer.received.data,
                  "sse:time\r\n\\$[0-9]+\r\nsse1 - - \\{\"data\":\"[0-9]{4}-[0-9]{2}-[0-9]{2}T"
                  "[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z\"\\}"));
    assert_memory_equal(w->said, "published to time: 24 bytes, 1 Redis subscriber\n", 48);
    assert_int_equal(w->complained_len, 0);
}

static void test_clock_of_whole_seconds(void **state) {
    struct world *w = *state;
    serve(w, answers_many, NULL);
    signal_after(w, 1, SIGTERM);
    assert_int_equal(RUN(w, "clock"), EXIT_PUBLISHED);
    assert_memory_equal(w->said, "published to time: 20 bytes, 1 Redis subscriber\n", 48);
}

static void test_letters(void **state) {
    struct world *w = *state;
    serve(w, answers_many, NULL);
    signal_after(w, 3, SIGTERM);
    assert_int_equal(RUN(w, "letters", "--every", "1ms", "abc"), EXIT_PUBLISHED);
    assert_true(
        has_match(w->peer.received.data, "sse:abc\r\n[^\n]+\nsse1 - - \\{\"data\":\"[A-Z]\"\\}"));
}

static void test_clock_goes_on(void **state) {
    struct world *w = *state;
    static const struct peer_step thrown_out[] = {
        PEER_GREETING, {PEER_EXPECT, "PUBLISH", 0}, {PEER_CLOSE, NULL, 0}, {0}};
    serve(w, thrown_out, answers_many);
    signal_after(w, 1, SIGTERM);
    assert_int_equal(RUN(w, "clock", "--every", "5ms"), EXIT_PUBLISHED);
    assert_true(has_match(
        w->complained, "^sse-publish: lost Redis at redis://127\\.0\\.0\\.1:[0-9]+: Redis closed "
                       "the connection; connecting again\n"
                       "sse-publish: connected to Redis again\n$"));
    assert_int_equal(w->peer.accepted, 2);
}

/* Nobody reads what it says any more, as after `| head`. */
static void test_clock_ends_with_its_reader(void **state) {
    struct world *w = *state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    fclose(w->out);
    w->out = fdopen(fds[1], "w");
    serve(w, answers_many, NULL);
    assert_int_equal(RUN(w, "clock", "--every", "1ms"), EXIT_PUBLISHED);
}

static void on_signal_time(uv_timer_t *timer) {
    struct world *w = timer->data;
    if (was_received(w, "\"one\"")) {
        uv_timer_stop(timer);
        raise(SIGINT);
    }
}

/* The input is not over: what was sent is waited for, and said. */
static void test_interrupted_lines(void **state) {
    struct world *w = *state;
    serve(w, answers_one, NULL);
    int end = give_pipe(w, "one\ntwo", false);
    uv_timer_start(&w->look, on_signal_time, LOOK_MS, LOOK_MS);
    assert_int_equal(RUN(w, "--lines", "log"), EXIT_SIGNAL + SIGINT);
    assert_string_equal(w->said, "published to log: 1 event, 3 bytes\n");
    close(end);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_data),
        WITH_WORLD(test_prefix_and_quiet),
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_sizes),
        WITH_WORLD(test_input_not_utf8),
        WITH_WORLD(test_unreadable_input),
        WITH_WORLD(test_lines),
        WITH_WORLD(test_many_lines),
        WITH_WORLD(test_window),
        WITH_WORLD(test_bad_line),
        WITH_WORLD(test_refused_line),
        WITH_WORLD(test_lost_within_lines),
        WITH_WORLD(test_durable),
        WITH_WORLD(test_durable_commands),
        WITH_WORLD(test_forgotten_script),
        WITH_WORLD(test_script_not_loaded),
        WITH_WORLD(test_no_run_id),
        WITH_WORLD(test_unannounced),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_refusals),
        WITH_WORLD(test_lines_with_a_key),
        WITH_WORLD(test_unreachable),
        WITH_WORLD(test_clock_unreachable),
        WITH_WORLD(test_refused),
        WITH_WORLD(test_refused_connection),
        WITH_WORLD(test_lost_answer),
        WITH_WORLD(test_clock),
        WITH_WORLD(test_clock_of_whole_seconds),
        WITH_WORLD(test_letters),
        WITH_WORLD(test_clock_goes_on),
        WITH_WORLD(test_clock_ends_with_its_reader),
        WITH_WORLD(test_interrupted_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
