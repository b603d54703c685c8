/* Requests on a kept connection, in every cut: answers, order, publishes, deadlines. */
#include <string.h>
#include <sys/socket.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "tests/loop/http/http_world.h"
#include "tests/unit/unit.h"

#define POST_LIVE(body_len, body)                                                                  \
    REQUEST("POST", "/sse?topic=t&live") "Content-Length: " body_len "\r\n\r\n" body
#define POST(body_len, body)                                                                       \
    REQUEST("POST", "/sse?topic=t") "Content-Length: " body_len "\r\n\r\n" body

static bool is_responding(void *arg) {
    const struct world *w = arg;
    return world_newest(w)->state == H1_RESPONDING;
}

/* ---- order ---- */

/* Wait for the answers to GET(/page) and GET(/nowhere), which are all that came. */
static void expect_page_and_404(struct client *c) {
    client_expect(c, "the console is at /.");
    client_expect(c, "}\n");
    const char *page = strstr(c->seen.data, "\r\n\r\npage");
    assert_non_null(page);
    assert_memory_equal(page + 8, "HTTP/1.1 404 ", 13);
    assert_null(strstr(page + 21, "HTTP/1.1"));
}

static void test_a_kept_connection_answers_in_order_however_it_is_cut(void **state) {
    static const char requests[] = GET("/page") GET("/nowhere");
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    for (size_t cut = 0; cut < sizeof(requests); cut++) {
        client_send_bytes(&c, requests, cut);
        world_pump(&w);
        client_send_bytes(&c, requests + cut, sizeof(requests) - 1 - cut);
        expect_page_and_404(&c);
        client_forget(&c);
    }
    client_close(&c);
    world_stop(&w);
    assert_int_equal(metric_get(&w.metrics.accepted), 1);
    assert_int_equal(metric_get(&w.metrics.requests), 2 * sizeof(requests));
}

static void test_what_is_behind_a_publish_waits_for_its_answer(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, POST_LIVE("5", "hello") POST("3", "bye") GET("/page"));
    for (int i = 0; i < 5; i++)
        world_pump(&w);
    client_read(&c);
    assert_int_equal(c.seen.len, 0);
    assert_int_equal(w.publishes_len, 1);
    assert_memory_equal(w.publishes[0]->envelope, "sse1 - - ", 9);
    assert_non_null(memmem(w.publishes[0]->envelope, w.publishes[0]->envelope_len, "hello", 5));
    assert_string_equal(w.publishes[0]->topics, "t");
    world_answer_publish(&w, RELAY_OK);
    client_expect(&c, "{\"ids\":{\"t\":null}}\n");
    assert_false(client_has(&c, "page"));
    assert_int_equal(w.publishes_len, 1);
    assert_true(w.publishes[0]->durable);
    assert_int_equal(w.publishes[0]->event.data_len, 3);
    assert_memory_equal(w.publishes[0]->event.data, "bye", 3);
    client_forget(&c);
    world_answer_publish(&w, RELAY_OK);
    client_expect(&c, "\r\n\r\npage");
    assert_true(client_has(&c, "{\"ids\":{\"t\":\"" WORLD_ID "\"}}\n"));
    client_close(&c);
    world_stop(&w);
}

static void test_pipelined_answers_larger_than_the_socket_all_arrive(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, GET("/large") GET("/large") GET("/page"));
    world_until(&w, is_responding, &w);
    client_expect(&c, "\r\n\r\npage");
    assert_true(c.seen.len > 2 * WORLD_LARGE_BYTES);
    client_close(&c);
    world_stop(&w);
}

static void test_many_requests_at_once_leave_turns_to_others(void **state) {
    enum { REQUESTS = 1000 };
    struct world w;
    struct client greedy, other;
    struct buf requests = BUF_INIT;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&greedy, &w, 0);
    client_open(&other, &w, 0);
    world_pump(&w);
    for (int i = 0; i < REQUESTS; i++)
        buf_puts(&requests, GET("/page"));
    assert_int_equal(send(greedy.fd, requests.data, requests.len, 0), (ssize_t)requests.len);
    assert_true(send(other.fd, GET("/nowhere"), strlen(GET("/nowhere")), 0) > 0);
    client_expect(&other, "HTTP/1.1 404 ");
    assert_true(metric_get(&w.metrics.requests) < REQUESTS / 2);
    size_t answers = 0;
    while (answers < REQUESTS) {
        client_expect(&greedy, "\r\n\r\npage");
        for (char *at; (at = strstr(greedy.seen.data, "\r\n\r\npage")) != NULL; answers++)
            buf_consume(&greedy.seen, (size_t)(at - greedy.seen.data) + 8);
    }
    assert_int_equal(metric_get(&w.metrics.requests), REQUESTS + 1);
    buf_fini(&requests);
    client_close(&greedy);
    client_close(&other);
    world_stop(&w);
}

static void test_a_stream_behind_other_requests(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, GET("/page") GET("/sse?topic=t") GET("/page"));
    client_expect(&c, "relay.live");
    world_event(&w, "t", "x");
    client_expect(&c, "data: x\n\n");
    assert_int_equal(metric_get(&w.metrics.requests), 2); /* the third is thrown away */
    client_close(&c);
    world_stop(&w);
}

static void test_100_continue(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, REQUEST("POST", "/sse?topic=t") "Expect: 100-continue\r\n"
                                                    "Content-Length: 2\r\n\r\n");
    client_expect(&c, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(w.publishes_len, 0);
    client_send(&c, "hi");
    world_until(&w, world_has_publish, &w);
    world_answer_publish(&w, RELAY_OK);
    client_expect(&c, "HTTP/1.1 200 OK\r\n");
    client_close(&c);
    world_stop(&w);
}

/* ---- publishes ---- */

static void test_each_end_of_a_publish_has_its_answer(void **state) {
    static const struct {
        int status;
        const char *answer;
    } ends[] = {
        {RELAY_OK, "HTTP/1.1 200 "},        {RELAY_EAGAIN, "HTTP/1.1 503 "},
        {RELAY_ECONN, "HTTP/1.1 504 "},     {RELAY_ETIMEOUT, "HTTP/1.1 504 "},
        {RELAY_ECANCELED, "HTTP/1.1 504 "}, /* it may have been sent */
        {RELAY_EREMOTE, "HTTP/1.1 502 "},
    };
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        client_send(&c, POST("1", "x"));
        world_until(&w, world_has_publish, &w);
        world_answer_publish(&w, ends[i].status);
        client_expect(&c, "}\n");
        assert_memory_equal(c.seen.data, ends[i].answer, strlen(ends[i].answer));
        client_forget(&c);
    }
    client_close(&c);
    world_stop(&w);
}

static void test_an_answer_that_nobody_waits_for_any_more(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, POST("1", "x"));
    world_until(&w, world_has_publish, &w);
    client_abort(&c);
    world_pump(&w);
    world_answer_publish(&w, RELAY_OK); /* written into a socket that was reset */
    world_until(&w, world_is_empty, &w);
    world_stop(&w);
}

/* One request must not take memory without bound on its way to Redis: 1 MiB that JSON writes in 6,
 * times topics. */
static void test_a_body_that_is_too_large_for_its_topics(void **state) {
    static char body[1024 * 1024];
    struct world w;
    struct client c;
    (void)state;
    memset(body, '\x01', sizeof(body));
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, REQUEST("POST", "/sse?topics=a,b,c,d,e,f") "Content-Length: 1048576\r\n\r\n");
    client_send_bytes(&c, body, sizeof(body));
    client_expect(&c, "}\n");
    assert_true(client_has(&c, "HTTP/1.1 413 "));
    assert_int_equal(w.publishes_len, 0);
    client_forget(&c);
    client_send(&c, REQUEST("POST", "/sse?topics=a,b,c,d,e") "Content-Length: 1048576\r\n\r\n");
    client_send_bytes(&c, body, sizeof(body));
    world_until(&w, world_has_publish, &w);
    world_answer_publish(&w, RELAY_OK);
    client_expect(&c, "HTTP/1.1 200 ");
    client_close(&c);
    world_stop(&w);
}

/* A client that writes its whole request before it reads gets the refusal, not a reset. */
static void test_a_body_that_is_too_large_is_answered(void **state) {
    static char body[12 * 1024 * 1024]; /* more than the kernel takes at once */
    struct world w;
    struct client c;
    (void)state;
    memset(body, 'b', sizeof(body));
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, REQUEST("POST", "/sse?topic=t") "Content-Length: 12582912\r\n\r\n");
    client_send_bytes(&c, body, sizeof(body));
    client_expect_end(&c);
    assert_false(c.reset);
    assert_true(client_has(&c, "HTTP/1.1 413 "));
    client_close(&c);
    world_stop(&w);
}

/* ---- deadlines ---- */

/* A body that has to be unpacked first is refused by its head. */
static void test_bodies_that_are_not_the_data_itself(void **state) {
    (void)state;
    static const struct {
        const char *headers, *sentence; /* NULL: it is taken */
    } cases[] = {
        {"Content-Type: multipart/form-data; boundary=x", "form in several parts"},
        {"Content-Type: Multipart/Mixed", "form in several parts"},
        {"Content-Encoding: gzip", "compressed body"},
        {"Content-Encoding: br", "compressed body"},
        {"Content-Type: text/plain; charset=utf-16", "has to be UTF-8"},
        {"Content-Type: text/plain;a=b; charset=\"UTF-16LE\"", "has to be UTF-8"},
        {"Content-Type: application/json; charset=UTF-32", "has to be UTF-8"},
        {"Content-Type: text/plain; charset=utf-8\r\nContent-Encoding: identity", NULL},
        {"Content-Type: application/x-www-form-urlencoded", NULL},
        {"Content-Type: application/json; xcharset=utf-16", NULL},
    };
    struct world w;
    world_start(&w, &(struct world_options){0});
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client c;
        struct buf request = BUF_INIT;
        client_open(&c, &w, 0);
        buf_printf(&request,
                   "POST /sse?topic=t HTTP/1.1\r\nHost: localhost\r\n%s\r\nContent-Length: 1\r\n"
                   "\r\nx",
                   cases[i].headers);
        client_send(&c, request.data);
        if (cases[i].sentence != NULL) {
            client_expect(&c, "HTTP/1.1 415 Unsupported Media Type\r\n");
            client_expect(&c, cases[i].sentence);
            assert_int_equal(w.publishes_len, 0);
        } else {
            while (w.publishes_len == 0)
                world_pump(&w);
            world_answer_publish(&w, RELAY_OK);
            client_expect(&c, "HTTP/1.1 200 OK\r\n");
        }
        buf_fini(&request);
        client_close(&c);
    }
    world_stop(&w);
}

static void test_an_unfinished_head_is_answered_408(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, REQUEST("GET", "/page") "Origin: https://page.example\r\nX-Half");
    world_pump(&w);
    world_skip(&w, WORLD_HEADER_MS - 1000);
    client_send(&c, ": more"); /* trickling puts nothing off */
    world_skip(&w, 1000);
    client_expect_end(&c);
    assert_true(client_has(&c, "HTTP/1.1 408 "));
    assert_true(client_has(&c, "Connection: close\r\n"));
    assert_true(client_has(&c, "Access-Control-Allow-Origin: https://page.example\r\n"));
    client_close(&c);
    world_stop(&w);
}

static void test_an_unfinished_body_is_answered_408(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, REQUEST("POST", "/sse?topic=t") "Content-Length: 5\r\n\r\nhal");
    world_pump(&w);
    world_skip(&w, WORLD_BODY_MS - 1000);
    assert_int_equal(server_connections(w.server), 1);
    world_skip(&w, 1000);
    client_expect_end(&c);
    assert_true(client_has(&c, "HTTP/1.1 408 "));
    assert_int_equal(w.publishes_len, 0);
    client_close(&c);
    world_stop(&w);
}

static void test_idle_connections_are_closed_without_a_word(void **state) {
    struct world w;
    struct client fresh, used;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&fresh, &w, 0);
    client_open(&used, &w, 0);
    client_send(&used, GET("/page"));
    client_expect(&used, "page");
    client_forget(&used);
    world_skip(&w, WORLD_HEADER_MS);
    client_expect_end(&fresh);
    assert_int_equal(fresh.seen.len, 0);
    assert_int_equal(server_connections(w.server), 1);
    world_skip(&w, WORLD_IDLE_MS - WORLD_HEADER_MS);
    client_expect_end(&used);
    assert_int_equal(used.seen.len, 0);
    client_close(&fresh);
    client_close(&used);
    world_stop(&w);
}

static void test_an_answer_that_is_not_taken_ends_in_time(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){.send_buffer_bytes = 4096});
    client_open(&c, &w, 2048);
    client_send(&c, GET("/large"));
    world_pump(&w);
    world_skip(&w, WORLD_WRITE_MS - 1000);
    assert_int_equal(server_connections(w.server), 1);
    world_skip(&w, 1000);
    assert_int_equal(server_connections(w.server), 0);
    client_close(&c);
    world_stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_kept_connection_answers_in_order_however_it_is_cut),
        cmocka_unit_test(test_what_is_behind_a_publish_waits_for_its_answer),
        cmocka_unit_test(test_pipelined_answers_larger_than_the_socket_all_arrive),
        cmocka_unit_test(test_many_requests_at_once_leave_turns_to_others),
        cmocka_unit_test(test_a_stream_behind_other_requests),
        cmocka_unit_test(test_100_continue),
        cmocka_unit_test(test_each_end_of_a_publish_has_its_answer),
        cmocka_unit_test(test_an_answer_that_nobody_waits_for_any_more),
        cmocka_unit_test(test_a_body_that_is_too_large_for_its_topics),
        cmocka_unit_test(test_a_body_that_is_too_large_is_answered),
        cmocka_unit_test(test_bodies_that_are_not_the_data_itself),
        cmocka_unit_test(test_an_unfinished_head_is_answered_408),
        cmocka_unit_test(test_an_unfinished_body_is_answered_408),
        cmocka_unit_test(test_idle_connections_are_closed_without_a_word),
        cmocka_unit_test(test_an_answer_that_is_not_taken_ends_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) +
           cmocka_run_group_tests_name("on an awkward transport", tests, world_be_awkward,
                                       world_be_plain);
}
