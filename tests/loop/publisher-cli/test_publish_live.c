/* sse-publish as a whole, short of its main(): against a server that plays a script, and a real
 * one. Live events mostly, which are one command each; test_publish_durable.c has the others.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "publisher-cli/publish/writer.h"
#include "relay/base/mem.h"
#include "tests/loop/publisher-cli/publish_world.h"
#include "tests/loop/redis/redis_server.h"
#include "tests/unit/unit.h"

enum { LOOK_MS = 5, MIB = 1024 * 1024 };

static const struct peer_step answers_one[] = {
    PEER_GREETING, {PEER_EXPECT, "PUBLISH\r\n", 0}, {PEER_SEND, ":2\r\n", 0}, {0}};

/* ---- one event ---- */

static void test_data(void **state) {
    struct publish_world *w = *state;
    publish_world_serve(w, answers_one, NULL);
    assert_int_equal(RUN_LIVE(w, "--event", "e", "--retry", "3s", "news", "a\nb"), EXIT_DONE);
    assert_true(publish_world_received(
        w, "*3\r\n$7\r\nPUBLISH\r\n$8\r\nsse:news\r\n$49\r\n"
           "sse1 - - {\"event\":\"e\",\"data\":\"a\\nb\",\"retry\":3000}\r\n"));
    assert_int_equal(w->said_len + w->complained_len, 0);
}

static void test_prefix_and_quiet(void **state) {
    struct publish_world *w = *state;
    publish_world_serve(w, answers_one, NULL);
    assert_int_equal(RUN_LIVE(w, "-q", "--prefix", "other", "news", ""), EXIT_DONE);
    assert_true(publish_world_received(w, "$10\r\nother:news\r\n"));
    assert_true(publish_world_received(w, "sse1 - - {\"data\":\"\"}\r\n"));
    assert_int_equal(w->said_len + w->complained_len, 0);
}

static void check_input(const char *text, const char *data) {
    void *state;
    publish_world_set_up(&state);
    struct publish_world *w = state;
    publish_world_serve(w, answers_one, NULL);
    publish_world_give_pipe(w, text, true);
    assert_int_equal(RUN_LIVE(w, "news", "-"), EXIT_DONE);
    assert_true(publish_world_received(w, data));
    publish_world_tear_down(&state);
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
    publish_world_set_up(&state);
    struct publish_world *w = state;
    char *bytes = many_bytes(count, end);
    publish_world_serve(w, answers_one, NULL);
    publish_world_give_file(w, bytes, strlen(bytes));
    assert_int_equal(option == NULL ? RUN_LIVE(w, "news") : RUN_LIVE(w, option, "news"), code);
    assert_int_equal(publish_world_received(w, "PUBLISH"), code == EXIT_DONE);
    if (code != EXIT_DONE && option == NULL)
        assert_string_equal(w->complained, "sse-publish: standard input is longer than 1 MiB; "
                                           "nothing is published\n");
    if (code != EXIT_DONE && option != NULL)
        assert_non_null(strstr(w->complained, "standard input:1: the line is longer than 1 MiB\n"));
    free(bytes);
    publish_world_tear_down(&state);
}

static void test_sizes(void **state) {
    (void)state;
    check_size(MIB, "", NULL, EXIT_DONE);
    check_size(MIB, "\r\n", NULL, EXIT_DONE);
    check_size(MIB + 1, "", NULL, EXIT_USAGE);
    check_size(3 * MIB, "\n", NULL, EXIT_USAGE);
    check_size(MIB, "\r\n", "--lines", EXIT_DONE);
    check_size(MIB + 1, "\n", "--lines", EXIT_REFUSED);
    check_size(3 * MIB, "", "--lines", EXIT_REFUSED);
}

static void test_input_not_utf8(void **state) {
    struct publish_world *w = *state;
    publish_world_serve(w, answers_one, NULL);
    publish_world_give_pipe(w, "a\xff", true);
    assert_int_equal(RUN_LIVE(w, "news"), EXIT_USAGE);
    assert_string_equal(w->complained, "sse-publish: standard input is not valid UTF-8; nothing is "
                                       "published\n");
    assert_false(publish_world_received(w, "PUBLISH"));
}

static void test_unreadable_input(void **state) {
    struct publish_world *w = *state;
    publish_world_serve(w, answers_one, NULL);
    close(w->in_fd);
    w->in_fd = open("/", O_RDONLY);
    assert_int_equal(RUN_LIVE(w, "news"), EXIT_USAGE);
    assert_non_null(strstr(w->complained, "cannot read standard input: "));
}

/* ---- lines ---- */

static void test_lines(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "{\"event\":\"e\",\"data\":\"one\"}", 0},
        {PEER_EXPECT, "{\"event\":\"e\",\"data\":\"\"}", 0},
        {PEER_EXPECT, "{\"event\":\"e\",\"data\":\"two\"}", 0},
        {PEER_EXPECT, "{\"event\":\"e\",\"data\":\"three\"}", 0},
        {PEER_SEND_MANY, ":0\r\n", 4},
        {0}};
    publish_world_serve(w, script, NULL);
    publish_world_give_pipe(w, "one\n\ntwo\r\nthree", true);
    assert_int_equal(RUN_LIVE(w, "--lines", "--event", "e", "log"), EXIT_DONE);
    assert_int_equal(w->said_len, 0);
    assert_true(
        text_matches(w->complained, "^sse-publish: published 4 events to 1 topic in [^;]+\n$"));
}

/* A real server, and far more lines than may be on their way at once. */
static void test_many_lines(void **state) {
    struct publish_world *w = *state;
    struct redis_server server;
    struct buf text = BUF_INIT;
    for (int i = 0; i < 100000; i++)
        buf_puts(&text, "0123456789\n");
    redis_server_start(&server);
    publish_world_give_file(w, text.data, text.len);
    int code = publish_world_run(w, server.url, (const char *const[]){"--lines", "log", NULL});
    redis_server_stop(&server);
    buf_fini(&text);
    assert_int_equal(code, EXIT_DONE);
    assert_non_null(strstr(w->complained, "published 100,000 events to 1 topic in "));
}

/* Without answers no more than the window leaves, however much there is to read. */
static void test_window(void **state) {
    enum { WINDOW = WRITER_WINDOW_BATCHES * BATCH_ITEMS_MAX };
    struct publish_world *w = *state;
    char last[32], behind[32];
    snprintf(last, sizeof(last), "\"n%d\"", WINDOW);
    snprintf(behind, sizeof(behind), "\"n%d\"", WINDOW + 1);
    const struct peer_step script[] = {PEER_GREETING, {PEER_EXPECT, last, 0}, {0}};
    struct buf text = BUF_INIT;
    for (int i = 1; i <= 2 * WINDOW; i++)
        buf_printf(&text, "n%d\n", i);
    publish_world_serve(w, script, NULL);
    publish_world_give_file(w, text.data, text.len);
    buf_fini(&text);
    assert_int_equal(RUN_LIVE(w, "--lines", "--timeout", "200ms", "log"), EXIT_UNREACHABLE);
    assert_false(publish_world_received(w, behind));
    assert_true(text_matches(w->complained, "lines 1 to [0-9]+ of the input may be published"));
}

static void test_bad_line(void **state) {
    struct publish_world *w = *state;
    publish_world_serve(w, answers_one, NULL);
    publish_world_give_pipe(w,
                            "good\nb\xff"
                            "d\nnever\n",
                            true);
    assert_int_equal(RUN_LIVE(w, "--lines", "log"), EXIT_REFUSED);
    assert_true(text_matches(w->complained,
                             "^sse-publish: standard input:2: the data is not valid UTF-8\n"
                             "sse-publish: stopped at this line, which is line 2 of the input: "
                             "--resume-from 2 goes on with it, [^\n]+\n"
                             "sse-publish: published 1 event to 1 topic in [^;]+; 1 failed\n$"));
    assert_false(publish_world_received(w, "never"));
}

static void test_refused_line(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING,
        {PEER_EXPECT, "\"four\"", 0},
        {PEER_SEND, ":0\r\n-OOM no memory\r\n:0\r\n-OOM no memory\r\n", 0},
        {0}};
    publish_world_serve(w, script, NULL);
    publish_world_give_pipe(w, "one\ntwo\nthree\nfour\n", true);
    assert_int_equal(RUN_LIVE(w, "--lines", "log"), EXIT_REFUSED);
    assert_true(text_matches(
        w->complained,
        "^sse-publish: standard input:1-4: Redis refused 2 events: Redis is out of memory; [^\n]+\n"
        "sse-publish: stopped at line 2 of the input: --resume-from 2 goes on with it; 1 event "
        "behind it had been sent, and is published\n"
        "sse-publish: published 2 events to 1 topic in [^;]+; 2 failed\n$"));
}

/* What was answered is not sent again; what was not is, and may be there twice. */
static void test_lost_within_lines(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step cut[] = {PEER_GREETING,
                                           {PEER_EXPECT, "\"three\"", 0},
                                           {PEER_SEND, ":0\r\n", 0},
                                           {PEER_CLOSE, NULL, 0},
                                           {0}};
    static const struct peer_step again[] = {PEER_GREETING,
                                             {PEER_EXPECT, "\"two\"", 0},
                                             {PEER_EXPECT, "\"three\"", 0},
                                             {PEER_SEND, ":0\r\n:0\r\n", 0},
                                             {0}};
    publish_world_serve(w, cut, again);
    publish_world_give_pipe(w, "one\ntwo\nthree\n", true);
    assert_int_equal(RUN_LIVE(w, "--lines", "log"), EXIT_DONE);
    assert_null(strstr(strstr(w->peer.received.data, "\"one\"") + 1, "\"one\""));
    assert_true(text_matches(
        w->complained, "^sse-publish: lost Redis at redis://127\\.0\\.0\\.1:[0-9]+: Redis closed "
                       "the connection; connecting again\n"
                       "sse-publish: connected to Redis again\n"
                       "sse-publish: published 3 events to 1 topic in [^;]+; 2 perhaps there "
                       "twice, since the connection was lost\n$"));
}

/* ---- Redis is not as it should be ---- */

static void test_unreachable(void **state) {
    struct publish_world *w = *state;
    assert_int_equal(publish_world_run(w, "unix:/no/socket", (const char *const[]){"t", "d", NULL}),
                     EXIT_UNREACHABLE);
    assert_string_equal(w->complained,
                        "sse-publish: cannot reach Redis at unix:/no/socket: cannot connect: no "
                        "such file or directory; --redis or REDIS_URL says where it is\n");
    assert_int_equal(w->said_len, 0);
}

static void test_clock_unreachable(void **state) {
    struct publish_world *w = *state;
    assert_int_equal(publish_world_run(w, "unix:/no/socket", (const char *const[]){"clock", NULL}),
                     EXIT_UNREACHABLE);
}

static void test_refused(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING, {PEER_EXPECT, "PUBLISH", 0}, {PEER_SEND, "-NOPERM not you\r\n", 0}, {0}};
    publish_world_serve(w, script, NULL);
    assert_int_equal(RUN_LIVE(w, "t", "d"), EXIT_REFUSED);
    assert_non_null(strstr(w->complained, "Redis refused: the Redis user lacks a permission"));
    assert_non_null(
        strstr(w->complained, "(NOPERM not you); `sse-publish doctor` names what is missing\n"));
    assert_int_equal(w->said_len, 0);
}

static void test_refused_connection(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step script[] = {
        {PEER_EXPECT, "PING", 0}, {PEER_SEND, "-NOAUTH Authentication required.\r\n", 0}, {0}};
    publish_world_serve(w, script, NULL);
    assert_int_equal(RUN_LIVE(w, "t", "d"), EXIT_REFUSED);
    assert_true(text_matches(w->complained,
                             "^sse-publish: Redis at redis://127\\.0\\.0\\.1:[0-9]+ "
                             "refused the connection: NOAUTH Authentication required; a password "
                             "is given as REDIS_URL=redis://:PASSWORD@HOST, [^\n]+\n$"));
}

static void test_lost_answer(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step script[] = {
        PEER_GREETING, {PEER_EXPECT, "PUBLISH", 0}, {PEER_CLOSE, NULL, 0}, {0}};
    publish_world_serve(w, script, NULL);
    assert_int_equal(RUN_LIVE(w, "--timeout", "300ms", "t", "d"), EXIT_UNREACHABLE);
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
    struct publish_world *w = *state;
    publish_world_serve(w, answers_many, NULL);
    publish_world_signal_after(w, 2, SIGINT);
    assert_int_equal(RUN_LIVE(w, "--output", "json", "clock", "--every", "20ms"), EXIT_DONE);
    assert_true(
        text_matches(w->peer.received.data,
                     "sse:time\r\n\\$[0-9]+\r\nsse1 - - \\{\"data\":\"[0-9]{4}-[0-9]{2}-[0-9]{2}T"
                     "[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z\"\\}"));
    assert_memory_equal(w->said, "{\"topic\":\"time\",\"id\":null,\"subscribers\":1}\n", 43);
}

static void test_clock_of_whole_seconds(void **state) {
    struct publish_world *w = *state;
    publish_world_serve(w, answers_many, NULL);
    publish_world_signal_after(w, 1, SIGTERM);
    assert_int_equal(RUN_LIVE(w, "--output", "json", "clock"), EXIT_DONE);
    assert_true(text_matches(w->peer.received.data, "T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\"\\}"));
}

static void test_letters(void **state) {
    struct publish_world *w = *state;
    publish_world_serve(w, answers_many, NULL);
    publish_world_signal_after(w, 3, SIGTERM);
    assert_int_equal(RUN_LIVE(w, "--output", "json", "letters", "--every", "1ms", "abc"),
                     EXIT_DONE);
    assert_true(text_matches(w->peer.received.data,
                             "sse:abc\r\n[^\n]+\nsse1 - - \\{\"data\":\"[A-Z]\"\\}"));
}

static void test_clock_goes_on(void **state) {
    struct publish_world *w = *state;
    static const struct peer_step thrown_out[] = {
        PEER_GREETING, {PEER_EXPECT, "PUBLISH", 0}, {PEER_CLOSE, NULL, 0}, {0}};
    publish_world_serve(w, thrown_out, answers_many);
    publish_world_signal_after(w, 1, SIGTERM);
    assert_int_equal(RUN_LIVE(w, "--output", "json", "clock", "--every", "5ms"), EXIT_DONE);
    assert_true(text_matches(
        w->complained, "^sse-publish: lost Redis at redis://127\\.0\\.0\\.1:[0-9]+: Redis closed "
                       "the connection; connecting again\n"
                       "sse-publish: connected to Redis again\n"
                       "sse-publish: published [0-9,]+ events? to 1 topic in [^\n]+\n$"));
    assert_int_equal(w->peer.accepted, 2);
}

/* Nobody reads what it says any more, as after `| head`. */
static void test_clock_ends_with_its_reader(void **state) {
    struct publish_world *w = *state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    fclose(w->out);
    w->out = fdopen(fds[1], "w");
    publish_world_serve(w, answers_many, NULL);
    assert_int_equal(RUN_LIVE(w, "--output", "json", "clock", "--every", "1ms"), EXIT_DONE);
}

static void on_signal_time(uv_timer_t *timer) {
    struct publish_world *w = timer->data;
    if (publish_world_received(w, "\"one\"")) {
        uv_timer_stop(timer);
        raise(SIGINT);
    }
}

/* The input is not over: what was sent is waited for, and said. */
static void test_interrupted_lines(void **state) {
    struct publish_world *w = *state;
    publish_world_serve(w, answers_one, NULL);
    int end = publish_world_give_pipe(w, "one\ntwo", false);
    uv_timer_start(&w->look, on_signal_time, LOOK_MS, LOOK_MS);
    assert_int_equal(RUN_LIVE(w, "--lines", "log"), EXIT_SIGNAL + SIGINT);
    assert_true(text_matches(w->complained,
                             "stopped behind line 1 of the input: --resume-from 2 goes on\n"
                             "sse-publish: published 1 event to 1 topic in "));
    close(end);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_PUBLISH_WORLD(test_data),
        WITH_PUBLISH_WORLD(test_prefix_and_quiet),
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_sizes),
        WITH_PUBLISH_WORLD(test_input_not_utf8),
        WITH_PUBLISH_WORLD(test_unreadable_input),
        WITH_PUBLISH_WORLD(test_lines),
        WITH_PUBLISH_WORLD(test_many_lines),
        WITH_PUBLISH_WORLD(test_window),
        WITH_PUBLISH_WORLD(test_bad_line),
        WITH_PUBLISH_WORLD(test_refused_line),
        WITH_PUBLISH_WORLD(test_lost_within_lines),
        WITH_PUBLISH_WORLD(test_unreachable),
        WITH_PUBLISH_WORLD(test_clock_unreachable),
        WITH_PUBLISH_WORLD(test_refused),
        WITH_PUBLISH_WORLD(test_refused_connection),
        WITH_PUBLISH_WORLD(test_lost_answer),
        WITH_PUBLISH_WORLD(test_clock),
        WITH_PUBLISH_WORLD(test_clock_of_whole_seconds),
        WITH_PUBLISH_WORLD(test_letters),
        WITH_PUBLISH_WORLD(test_clock_goes_on),
        WITH_PUBLISH_WORLD(test_clock_ends_with_its_reader),
        WITH_PUBLISH_WORLD(test_interrupted_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
