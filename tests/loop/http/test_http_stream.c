/* A GET by libcurl in the loop: streams and answers, its deadlines and bounds, and its end at every
 * step. */
#include "publisher-cli/tail/http_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/loop/redis/redis_peer.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 60000, LONG_MS = 60000, SHORT_MS = 50 };

#define STREAM_HEAD                                                                                \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=utf-8\r\n"                         \
    "Transfer-Encoding: chunked\r\n\r\n"

struct world {
    uv_loop_t loop;
    uv_timer_t patience;
    struct peer peer;
    struct http_stream http;
    struct http_stream_options options;
    char url[64];
    struct buf bytes; /* of streams */
    int gets;         /* that follow each other */
    int steps;        /* callbacks that came */
    int close_at;     /* the step that closes; 0: none but the last end */
    int bytes_return; /* what on_bytes answers */
    int opens, ends, closes;
    int error; /* of the last end */
    long status;
    bool was_stream;
    uint64_t retry_ms;
    struct buf why, body;
};

static void step(struct world *w) {
    assert_int_equal(w->closes, 0);
    if (++w->steps == w->close_at) {
        http_stream_close(&w->http);
        http_stream_close(&w->http);
        assert_int_equal(w->closes, 0); /* never from inside */
    }
}

static void on_open(void *arg) {
    struct world *w = arg;
    w->opens++;
    step(w);
}

static int on_bytes(void *arg, const char *bytes, size_t len) {
    struct world *w = arg;
    buf_append(&w->bytes, bytes, len);
    step(w);
    return w->bytes_return;
}

static void on_end(void *arg, const struct http_stream_end *end) {
    struct world *w = arg;
    w->ends++;
    w->error = end->error;
    w->status = end->status;
    w->was_stream = end->was_stream;
    w->retry_ms = end->retry_ms;
    buf_reset(&w->why);
    buf_puts(&w->why, end->why);
    buf_reset(&w->body);
    buf_append(&w->body, end->body, end->body_len);
    step(w);
    if (w->close_at == w->steps)
        return;
    if (w->ends < w->gets)
        http_stream_get(&w->http, w->url, "", "");
    else
        http_stream_close(&w->http);
}

static void on_closed(void *arg) {
    struct world *w = arg;
    w->closes++;
}

static const struct http_stream_callbacks callbacks = {
    .on_open = on_open, .on_bytes = on_bytes, .on_end = on_end, .on_closed = on_closed};

static void on_patience(uv_timer_t *timer) {
    (void)timer;
    fail_msg("it does not end");
}

static int set_up(void **state) {
    struct world *w = mem_zalloc(sizeof(*w));
    setenv("no_proxy", "*", 1); /* whatever the surroundings have */
    curl_global_init(CURL_GLOBAL_DEFAULT);
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->patience);
    uv_timer_start(&w->patience, on_patience, PATIENCE_MS, 0);
    uv_unref((uv_handle_t *)&w->patience);
    peer_start(&w->peer, &w->loop, NULL);
    snprintf(w->url, sizeof(w->url), "http://127.0.0.1%s", strrchr(w->peer.url, ':'));
    w->options = (struct http_stream_options){
        .user_agent = "test", .answer_ms = LONG_MS, .idle_ms = LONG_MS};
    w->gets = 1;
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    peer_close(&w->peer);
    uv_close((uv_handle_t *)&w->patience, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0); /* nothing was left */
    buf_fini(&w->bytes);
    buf_fini(&w->why);
    buf_fini(&w->body);
    free(w);
    curl_global_cleanup();
    return 0;
}

static void run(struct world *w, const char *last_id, const char *token) {
    http_stream_start(&w->http, &w->loop, &w->options, &callbacks, w);
    http_stream_get(&w->http, w->url, last_id, token);
    assert_int_equal(w->steps, 0); /* never from inside */
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->closes, 1);
}

static void play(struct world *w, const struct peer_step *script) {
    peer_add_script(&w->peer, script);
    run(w, "", "");
}

#define SEEN(w, text) (memmem((w)->peer.received.data, (w)->peer.received.len, text, strlen(text)))

/* ---- it works ---- */

static void a_stream(void **state) {
    static const struct peer_step script[] = {{PEER_EXPECT, "\r\n\r\n", 0},
                                              {PEER_SEND, STREAM_HEAD "3\r\none\r\n", 0},
                                              {PEER_SEND, "3\r\ntwo\r\n0\r\n\r\n", 0},
                                              {PEER_END, NULL, 0}};
    struct world *w = *state;
    peer_add_script(&w->peer, script);
    run(w, "an id", "a.token");
    assert_string_equal(w->bytes.data, "onetwo");
    assert_int_equal(w->error, RELAY_OK);
    assert_true(w->was_stream && w->opens == 1 && w->status == 200);
    assert_non_null(SEEN(w, "Accept: text/event-stream\r\n"));
    assert_non_null(SEEN(w, "Last-Event-ID: an id\r\n"));
    assert_non_null(SEEN(w, "Authorization: Bearer a.token\r\n"));
}

static void one_after_the_other(void **state) {
    static const struct peer_step script[] = {
        {PEER_EXPECT, "\r\n\r\n", 0},
        {PEER_SEND, STREAM_HEAD "3\r\none\r\n0\r\n\r\n", 0},
        {PEER_EXPECT, "\r\n\r\n", 0},
        {PEER_SEND, "HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno", 0},
        {PEER_CLOSE, NULL, 0}};
    struct world *w = *state;
    w->gets = 4;
    play(w, script);
    assert_int_equal(w->opens, 2);
    assert_string_equal(w->bytes.data, "oneone");
    assert_true(w->status == 503 && !w->was_stream && w->error == RELAY_OK && w->retry_ms == 7000);
    assert_string_equal(w->body.data, "no");
    assert_null(SEEN(w, "Last-Event-ID"));
    assert_null(SEEN(w, "Authorization"));
}

static void a_code_of_on_bytes_ends_it(void **state) {
    static const struct peer_step script[] = {{PEER_SEND, STREAM_HEAD "3\r\none\r\n", 0},
                                              {PEER_END, NULL, 0}};
    struct world *w = *state;
    w->bytes_return = RELAY_EOVERFLOW;
    play(w, script);
    assert_int_equal(w->error, RELAY_EOVERFLOW);
}

/* ---- it fails ---- */

static void nobody_listens(void **state) {
    struct world *w = *state;
    snprintf(w->url, sizeof(w->url), "http://127.0.0.1:1/");
    run(w, "", "");
    assert_true(w->error == RELAY_ECONN && w->status == 0 && w->why.len > 0);
}

static void a_stream_breaks_off(void **state) {
    static const struct peer_step script[] = {
        {PEER_EXPECT, "\r\n\r\n", 0}, {PEER_SEND, STREAM_HEAD "3\r\non", 0}, {PEER_CLOSE, NULL, 0}};
    struct world *w = *state;
    play(w, script);
    assert_true(w->error == RELAY_ECONN && w->was_stream && w->why.len > 0);
}

static void a_stream_falls_silent(void **state) {
    static const struct peer_step script[] = {{PEER_SEND, STREAM_HEAD "3\r\none\r\n", 0},
                                              {PEER_END, NULL, 0}};
    struct world *w = *state;
    w->options.idle_ms = SHORT_MS;
    play(w, script);
    assert_int_equal(w->error, RELAY_ETIMEOUT);
    assert_string_equal(w->why.data, "nothing came for 0.05 s");
    assert_string_equal(w->bytes.data, "one");
}

/* A head that trickles is no answer, nor is the body of a refusal. */
static void an_answer_does_not_come(void **state) {
    static const struct peer_step silence[] = {{PEER_END, NULL, 0}};
    static const struct peer_step head[] = {{PEER_SEND, "HTTP/1.1 200 OK\r\nA: b\r\n", 0},
                                            {PEER_END, NULL, 0}};
    static const struct peer_step body[] = {
        {PEER_SEND, "HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\nbody", 0}, {PEER_END, NULL, 0}};
    struct world *w = *state;
    w->options.answer_ms = SHORT_MS;
    w->gets = 3;
    peer_add_script(&w->peer, silence);
    peer_add_script(&w->peer, head);
    peer_add_script(&w->peer, body);
    run(w, "", "");
    assert_int_equal(w->error, RELAY_ETIMEOUT);
    assert_string_equal(w->why.data, "it did not answer within 0.05 s");
    assert_int_equal(w->opens, 0);
    assert_int_equal(w->peer.accepted, 3);
}

/* What no other attempt would get over: junk, and what asks for more memory than an answer needs.
 */
static void answers_that_are_none(void **state) {
    static const struct peer_step junk[] = {{PEER_SEND, "SSH-2.0-OpenSSH_9.2\r\n", 0},
                                            {PEER_END, NULL, 0}};
    static const struct peer_step many[] = {{PEER_SEND, "HTTP/1.1 200 OK\r\n", 0},
                                            {PEER_SEND_MANY, "A-Header: with a value\r\n", 100000},
                                            {PEER_END, NULL, 0}};
    static const struct peer_step circle[] = {
        {PEER_EXPECT, "\r\n\r\n", 0},
        {PEER_SEND, "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 0},
        {PEER_REPEAT, NULL, 2}};
    static const struct peer_step file[] = {
        {PEER_EXPECT, "\r\n\r\n", 0},
        {PEER_SEND,
         "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", 0},
        {PEER_END, NULL, 0}};
    const struct peer_step *const scripts[] = {junk, many, circle, file};
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        w->peer.script_count = 0;
        w->steps = w->ends = w->closes = 0;
        play(w, scripts[i]);
        assert_int_equal(w->error, RELAY_EPROTO);
        assert_true(w->why.len > 0);
        assert_int_equal(w->opens, 0);
    }
}

static void of_a_long_refusal_the_beginning_is_kept(void **state) {
    static const struct peer_step script[] = {
        {PEER_SEND, "HTTP/1.1 404 No\r\nContent-Type: text/plain\r\n\r\n", 0},
        {PEER_SEND_MANY, "0123456789abcdef", 100000},
        {PEER_END, NULL, 0}};
    struct world *w = *state;
    play(w, script);
    assert_true(w->error == RELAY_OK && w->status == 404);
    assert_int_equal(w->body.len, HTTP_STREAM_BODY_MAX);
}

/* ---- it is closed ---- */

static void closed_at_once(void **state) {
    static const struct peer_step script[] = {{PEER_END, NULL, 0}};
    struct world *w = *state;
    peer_add_script(&w->peer, script);
    for (int turns = 0; turns < 6; turns++) {
        w->closes = 0;
        http_stream_start(&w->http, &w->loop, &w->options, &callbacks, w);
        http_stream_get(&w->http, w->url, "", "");
        for (int i = 0; i < turns; i++)
            uv_run(&w->loop, UV_RUN_NOWAIT);
        http_stream_close(&w->http);
        http_stream_close(&w->http);
        assert_int_equal(w->closes, 0);
        uv_run(&w->loop, UV_RUN_DEFAULT);
        assert_int_equal(w->closes, 1);
        assert_int_equal(w->ends, 0);
    }
}

static void closed_without_a_get(void **state) {
    struct world *w = *state;
    http_stream_start(&w->http, &w->loop, &w->options, &callbacks, w);
    http_stream_close(&w->http);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->closes, 1);
}

/* In each callback: on_open, on_bytes, on_end, and those of the next GET. */
static void closed_at_each_step(void **state) {
    static const struct peer_step script[] = {{PEER_EXPECT, "\r\n\r\n", 0},
                                              {PEER_SEND, STREAM_HEAD "3\r\none\r\n0\r\n\r\n", 0},
                                              {PEER_REPEAT, NULL, 2}};
    struct world *w = *state;
    peer_add_script(&w->peer, script);
    w->gets = 2;
    for (w->close_at = 1; w->close_at <= 6; w->close_at++) {
        w->steps = w->opens = w->ends = w->closes = 0;
        run(w, "", "");
        assert_int_equal(w->steps, w->close_at);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_stream),
        TEST(one_after_the_other),
        TEST(a_code_of_on_bytes_ends_it),
        TEST(nobody_listens),
        TEST(a_stream_breaks_off),
        TEST(a_stream_falls_silent),
        TEST(an_answer_does_not_come),
        TEST(answers_that_are_none),
        TEST(of_a_long_refusal_the_beginning_is_kept),
        TEST(closed_at_once),
        TEST(closed_without_a_get),
        TEST(closed_at_each_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
