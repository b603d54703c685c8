/* The HTTP server and the hub over real sockets: streams, slow clients, requests in every cut, and
 * limits. How a server ends is in test_server_close.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "tests/loop/http/http_world.h"
#include "tests/unit/unit.h"

#define LIVE(topics) "event: relay.live\ndata: {\"topics\":[" topics "]}\n\n"
#define RESET(topics) "event: relay.reset\ndata: {\"topics\":[" topics "],\"reason\":\"live\"}\n\n"

static const struct h1 *only_conn(struct world *w) {
    assert_non_null(world_newest(w));
    assert_null(world_newest(w)->conn.next);
    return world_newest(w);
}

/* The bytes of a stream's body behind the greeting. */
static void expect_body(struct client *c, const char *expected) {
    struct buf body = BUF_INIT;
    client_body(c, &body);
    const char *greeting_end = strstr(body.data, "\n:\n");
    assert_non_null(greeting_end);
    assert_memory_equal(body.data, "retry: ", 7);
    assert_string_equal(greeting_end + 3, expected);
    buf_fini(&body);
}

/* A stream that ends at once says why, and when to come back. */
static void expect_turned_away(const struct client *c, const char *reason) {
    struct buf body = BUF_INIT, wanted = BUF_INIT;
    client_body(c, &body);
    unsigned long retry = 0;
    assert_int_equal(sscanf(body.data, "event: relay.close\nretry: %lu\n", &retry), 1);
    buf_printf(&wanted, "event: relay.close\nretry: %lu\ndata: {\"reason\":\"%s\"}\n\n", retry,
               reason);
    assert_string_equal(body.data, wanted.data);
    buf_fini(&body);
    buf_fini(&wanted);
}

static size_t count(const struct buf *bytes, const char *text) {
    size_t n = 0;
    for (const char *at = bytes->data; at != NULL && (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

/* ---- streams ---- */

static void test_a_stream_opens_before_the_bus_answers(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start_stream(&w, &(struct world_options){.holds_replays = true}, &c, "a,b");
    assert_true(client_has(&c, "HTTP/1.1 200 OK\r\n"));
    assert_true(client_has(&c, "Content-Type: text/event-stream; charset=utf-8\r\n"));
    assert_true(client_has(&c, "Cache-Control: no-cache, no-store, no-transform\r\n"));
    assert_true(client_has(&c, "Vary: Origin\r\n"));
    assert_true(client_has(&c, "Connection: close\r\n"));
    assert_false(client_has(&c, "Content-Length"));
    world_event(&w, "a", "early"); /* live events wait for nothing */
    world_go_live(&w);
    world_event(&w, "b", "1\r2");
    client_expect(&c, "data: 2\n\n");
    expect_body(&c, "data: early\n\n" LIVE("\"a\",\"b\"") "data: 1\ndata: 2\n\n");
    client_close(&c);
    world_stop(&w);
}

static void test_http10_is_not_chunked_and_ends_with_the_connection(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, "GET /sse?topic=t HTTP/1.0\r\n\r\n");
    client_expect(&c, LIVE("\"t\""));
    assert_true(client_has(&c, "Connection: close\r\n"));
    world_event(&w, "t", "x");
    client_expect(&c, "data: x\n\n");
    hub_drain(w.hub, clock_mono_ms(), 0);
    client_expect_end(&c);
    assert_false(client_has(&c, "0\r\n\r\n"));
    client_close(&c);
    world_stop(&w);
}

/* The events "<i>:xxx…" for i from 0 to @n - 1, in @turns at a time. */
static void send_events(struct world *w, const char *topic, int n, size_t len, bool pump_each) {
    char *data = malloc(len + 1);
    memset(data, 'x', len);
    data[len] = '\0';
    for (int i = 0; i < n; i++) {
        int digits = snprintf(data, len, "%d", i);
        data[digits] = ':';
        world_event(w, topic, data);
        if (pump_each)
            world_pump(w);
    }
    free(data);
}

static void expect_numbers(struct client *c, int n) {
    struct buf body = BUF_INIT;
    client_body(c, &body);
    const char *at = body.data;
    for (int i = 0; i < n; i++) {
        char text[32];
        snprintf(text, sizeof(text), "data: %d:", i);
        at = strstr(at, text);
        if (at == NULL)
            fail_msg("event %d is missing or out of order", i);
    }
    assert_int_equal(count(&body, "data: ") - count(&body, "relay."), n);
    buf_fini(&body);
}

static void test_partial_writes_lose_and_double_nothing(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start_stream(&w, &(struct world_options){.send_buffer_bytes = 4096}, &c, "t");
    send_events(&w, "t", 300, 1000, true);
    assert_true(hub_unsent(only_conn(&w)->exchange.subscriber) >
                0); /* or the buffers are not small */
    client_expect(&c, "data: 299:");
    client_expect(&c, "x\n\n\r\n");
    expect_numbers(&c, 300);
    assert_int_equal(metric_get(&w.hub_metrics.deliveries), 300);
    assert_int_equal(metric_get(&w.hub_metrics.dropped), 0);
    client_close(&c);
    world_stop(&w);
}

/* What comes in one turn may be far more than an outbox holds; a client whose socket is empty loses
 * nothing of it. */
static void test_a_burst_does_not_overrun_a_client_that_keeps_up(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start_stream(&w, &(struct world_options){.outbox_limit_bytes = 16 * 1024}, &c, "t");
    send_events(&w, "t", 100, 1000, false);
    client_expect(&c, "data: 99:");
    expect_numbers(&c, 100);
    assert_int_equal(metric_get(&w.hub_metrics.dropped), 0);
    client_close(&c);
    world_stop(&w);
}

static void test_a_slow_client_is_bounded_and_told(void **state) {
    enum { LIMIT = 16 * 1024, EVENT = 1000 };
    struct world w;
    struct client slow, fast;
    struct buf body = BUF_INIT;
    (void)state;
    world_start_stream(
        &w, &(struct world_options){.outbox_limit_bytes = LIMIT, .send_buffer_bytes = 4096}, &slow,
        "t,u");
    const struct subscriber *stuck = only_conn(&w)->exchange.subscriber;
    client_open(&fast, &w, 0);
    client_stream(&fast, "t");
    for (int i = 0; i < 200; i++) {
        send_events(&w, "t", 1, EVENT, true);
        client_read(&fast);
        assert_true(hub_unsent(stuck) <= LIMIT);
    }
    assert_int_equal(metric_get(&w.hub_metrics.lagging), 1);
    assert_true(metric_get(&w.hub_metrics.dropped) > 100);
    client_expect(&slow, RESET("\"t\""));
    world_event(&w, "t", "after");
    client_expect(&slow, "data: after\n\n");
    client_body(&slow, &body);
    assert_int_equal(count(&body, "relay.reset"), 1);
    assert_int_equal(count(&body, "data: 0:") + metric_get(&w.hub_metrics.dropped), 200);
    client_expect(&fast, "data: after\n\n");
    buf_reset(&body);
    client_body(&fast, &body);
    assert_int_equal(count(&body, "relay.reset"), 0);
    assert_int_equal(count(&body, "data: 0:"), 200);
    assert_int_equal(metric_get(&w.hub_metrics.lagging), 0);
    buf_fini(&body);
    client_close(&slow);
    client_close(&fast);
    world_stop(&w);
}

static void test_a_client_that_takes_nothing_is_closed_in_time(void **state) {
    struct world w;
    struct client stuck, other;
    (void)state;
    world_start_stream(&w, &(struct world_options){.send_buffer_bytes = 4096}, &stuck, "t");
    client_open(&other, &w, 0);
    client_stream(&other, "u");
    send_events(&w, "t", 100, 1000, true);
    world_skip(&w, WORLD_WRITE_MS - 5000);
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_WRITE_TIMEOUT]), 0);
    world_skip(&w, 6000);
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_WRITE_TIMEOUT]), 1);
    client_expect_end(&stuck);
    world_event(&w, "u", "still here");
    client_expect(&other, "data: still here\n\n");
    client_close(&stuck);
    client_close(&other);
    world_stop(&w);
}

static void test_progress_puts_the_write_deadline_off(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start_stream(&w, &(struct world_options){.send_buffer_bytes = 4096}, &c, "t");
    send_events(&w, "t", 200, 1000, true);
    const struct conn *conn = &only_conn(&w)->conn;
    uint64_t since_ms = conn->progress_ms;
    assert_true(since_ms > 0);
    usleep(500 * 1000);
    while (conn->progress_ms == since_ms) { /* until it has taken some more */
        client_read(&c);
        world_pump(&w);
    }
    /* The first deadline has passed, the one from the progress has not. */
    server_tick(w.server, conn->progress_ms + WORLD_WRITE_MS - WHEEL_TICK_MS);
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_WRITE_TIMEOUT]), 0);
    client_close(&c);
    world_stop(&w);
}

static void test_input_behind_the_head_is_thrown_away_up_to_a_limit(void **state) {
    struct world w;
    struct client c;
    static char junk[32 * 1024];
    (void)state;
    memset(junk, 'j', sizeof(junk));
    world_start_stream(&w, &(struct world_options){0}, &c, "t");
    client_send(&c, GET("/page"));
    client_send_bytes(&c, junk, sizeof(junk));
    world_event(&w, "t", "x");
    client_expect(&c, "data: x\n\n");
    expect_body(&c, LIVE("\"t\"") "data: x\n\n");
    client_send_bytes(&c, junk, sizeof(junk));
    client_expect_end(&c);
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_INPUT]), 1);
    client_close(&c);
    world_stop(&w);
}

static void test_a_stream_ends_when_its_client_goes(void **state) {
    struct world w;
    struct client closes, resets;
    (void)state;
    world_start_stream(&w, &(struct world_options){0}, &closes, "t");
    client_open(&resets, &w, 0);
    client_stream(&resets, "t");
    client_close(&closes);
    client_abort(&resets);
    for (int i = 0; i < 3; i++) {
        world_event(&w, "t", "x");
        world_pump(&w);
    }
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_CLIENT]), 2);
    assert_int_equal(server_connections(w.server), 0);
    world_stop(&w);
}

static void test_an_old_stream_ends_properly(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start_stream(&w, &(struct world_options){.max_age_ms = 60000}, &c, "t");
    world_event(&w, "t", "last");
    world_pump(&w);
    world_skip(&w, 70000);
    client_expect_end(&c);
    assert_false(c.reset);
    struct buf body = BUF_INIT;
    client_body(&c, &body); /* checks the last chunk */
    assert_non_null(strstr(body.data, "data: last\n\nevent: relay.close\nretry: "));
    buf_fini(&body);
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_MAX_AGE]), 1);
    client_close(&c);
    world_stop(&w);
}

/* The end waits behind what the socket has not taken yet, however few bytes it takes at a time. */
static void test_a_slow_stream_ends_properly(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start_stream(&w, &(struct world_options){.send_buffer_bytes = 4096}, &c, "t");
    send_events(&w, "t", 300, 1000, true);
    hub_drain(w.hub, clock_mono_ms(), 0);
    while (only_conn(&w)->state != H1_FINISHING)
        world_pump(&w);
    assert_true(hub_unsent(only_conn(&w)->exchange.subscriber) > 0);
    client_expect_end(&c);
    assert_false(c.reset);
    expect_numbers(&c, 300); /* checks the last chunk */
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_DRAIN]), 1);
    client_close(&c);
    world_stop(&w);
}

/* ---- limits ---- */

static void test_connections_beyond_the_limit_are_answered(void **state) {
    struct world w;
    struct client first, browser, other, page, head;
    (void)state;
    world_start_stream(&w, &(struct world_options){.max_connections = 1}, &first, "t");
    client_open(&browser, &w, 0);
    client_send(&browser, REQUEST("GET", "/sse?topic=t") "Accept: text/event-stream\r\n\r\n");
    client_expect_end(&browser);
    expect_turned_away(&browser, "full");
    assert_true(client_has(&browser, "HTTP/1.1 200 OK\r\n"));
    client_open(&other, &w, 0);
    client_send(&other, GET("/sse?topic=t"));
    client_expect_end(&other);
    assert_true(client_has(&other, "HTTP/1.1 503 "));
    assert_true(client_has(&other, "Retry-After: "));
    client_open(&head, &w, 0);
    client_send(&head, REQUEST("HEAD", "/sse?topic=t") "Accept: text/event-stream\r\n\r\n");
    client_expect_end(&head);
    assert_true(client_has(&head, "HTTP/1.1 200 OK\r\n"));
    assert_memory_equal(head.seen.data + head.seen.len - 4, "\r\n\r\n", 4); /* and no body */
    assert_false(client_has(&head, "retry"));
    client_open(&page, &w, 0);
    client_send(&page, GET("/page"));
    client_expect_end(&page);
    assert_true(client_has(&page, "\r\n\r\npage"));
    world_event(&w, "t", "x");
    client_expect(&first, "data: x\n\n");
    client_close(&first);
    client_close(&browser);
    client_close(&other);
    client_close(&head);
    client_close(&page);
    world_stop(&w);
}

enum { CROWD = 70 };

static void test_far_too_many_wait_in_the_kernel_and_are_served_later(void **state) {
    struct world w;
    struct client crowd[CROWD];
    (void)state;
    world_start(&w, &(struct world_options){.max_connections = 1});
    for (int i = 0; i < CROWD; i++)
        client_open(&crowd[i], &w, 0);
    for (int i = 0; i < 10; i++)
        world_pump(&w);
    assert_int_equal(server_connections(w.server), 1 + 64);
    assert_int_equal(metric_get(&w.metrics.accept_paused), 1);
    for (int i = 0; i < CROWD - 5; i++)
        client_close(&crowd[i]);
    for (int i = CROWD - 5; i < CROWD; i++) {
        client_send(&crowd[i], GET("/page"));
        client_expect(&crowd[i], "\r\n\r\npage");
        client_close(&crowd[i]);
    }
    world_stop(&w);
}

/* ---- the node goes down ---- */

static void test_a_drain_ends_streams_and_idle_connections(void **state) {
    struct world w;
    struct client stream, idle, busy;
    (void)state;
    world_start_stream(&w, &(struct world_options){0}, &stream, "t");
    client_open(&idle, &w, 0);
    client_open(&busy, &w, 0);
    client_send(&busy, REQUEST("POST", "/sse?topic=t") "Content-Length: 1\r\n\r\nx");
    world_pump(&w);
    atomic_store(&w.shared.draining, true);
    server_stop_accepting(w.server);
    hub_drain(w.hub, clock_mono_ms(), 1000);
    server_drain(w.server);
    client_send(&idle, REQUEST("GET", "/sse?topic=t") "Accept: text/event-stream\r\n\r\n");
    client_expect_end(&idle); /* rejected, and asked to come back soon */
    expect_turned_away(&idle, "drain");
    world_answer_publish(&w, RELAY_OK);
    client_expect(&busy, "\"t\":\"" WORLD_ID "\"");
    assert_true(client_has(&busy, "Connection: close\r\n"));
    world_skip(&w, 1000);
    client_expect_end(&stream);
    assert_false(stream.reset);
    assert_true(client_has(&stream, "\r\n0\r\n\r\n"));
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_DRAIN]), 1);
    client_close(&stream);
    client_close(&idle);
    client_close(&busy);
    world_stop(&w);
}

static void test_a_connection_that_asks_nothing_ends_soon_in_a_drain(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    world_pump(&w);
    assert_int_equal(server_connections(w.server), 1);
    server_drain(w.server);
    world_skip(&w, 1000);
    client_expect_end(&c);
    client_close(&c);
    world_stop(&w);
}

static void test_what_the_kernel_accepted_is_answered(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    assert_int_equal(server_connections(w.server), 0);
    server_stop_accepting(w.server);
    assert_int_equal(server_connections(w.server), 1);
    client_send(&c, GET("/page"));
    client_expect(&c, "\r\n\r\npage");
    client_close(&c);
    world_stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_opens_before_the_bus_answers),
        cmocka_unit_test(test_http10_is_not_chunked_and_ends_with_the_connection),
        cmocka_unit_test(test_partial_writes_lose_and_double_nothing),
        cmocka_unit_test(test_a_burst_does_not_overrun_a_client_that_keeps_up),
        cmocka_unit_test(test_a_slow_client_is_bounded_and_told),
        cmocka_unit_test(test_a_client_that_takes_nothing_is_closed_in_time),
        cmocka_unit_test(test_progress_puts_the_write_deadline_off),
        cmocka_unit_test(test_input_behind_the_head_is_thrown_away_up_to_a_limit),
        cmocka_unit_test(test_a_stream_ends_when_its_client_goes),
        cmocka_unit_test(test_an_old_stream_ends_properly),
        cmocka_unit_test(test_a_slow_stream_ends_properly),
        cmocka_unit_test(test_connections_beyond_the_limit_are_answered),
        cmocka_unit_test(test_far_too_many_wait_in_the_kernel_and_are_served_later),
        cmocka_unit_test(test_a_drain_ends_streams_and_idle_connections),
        cmocka_unit_test(test_a_connection_that_asks_nothing_ends_soon_in_a_drain),
        cmocka_unit_test(test_what_the_kernel_accepted_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) +
           cmocka_run_group_tests_name("on an awkward transport", tests, world_be_awkward,
                                       world_be_plain);
}
