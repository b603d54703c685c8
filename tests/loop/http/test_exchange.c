/* The exchange of an HTTP/1 connection as those see it who serve, and what its transport may ask.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/base/err.h"
#include "relay/http/client_address.h"
#include "tests/loop/http/awkward.h"
#include "tests/loop/http/http_world.h"
#include "tests/unit/unit.h"

static bool has_connection(void *arg) {
    const struct world *w = arg;
    return world_newest(w) != NULL;
}

static struct exchange *newest_exchange(struct world *w) {
    world_until(w, has_connection, w);
    return (struct exchange *)(uintptr_t)&world_newest(w)->exchange;
}

static struct transport *newest_transport(struct world *w) {
    world_until(w, has_connection, w);
    return (struct transport *)(uintptr_t)&world_newest(w)->conn.transport;
}

static void test_the_client_has_an_address(void **state) {
    struct world w;
    struct client c;
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    struct ip_address seen = exchange_client_address(newest_exchange(&w));
    assert_int_equal(getsockname(c.fd, (struct sockaddr *)&own, &len), 0);
    assert_int_equal(seen.version, 4);
    assert_memory_equal(seen.bytes, &own.sin_addr, 4);
    assert_true(newest_exchange(&w)->loopback);
    client_close(&c);
    world_stop(&w);
}

static void test_a_client_of_a_socket_file_has_none(void **state) {
    struct world w;
    int pair[2];
    (void)state;
    world_start(&w, &(struct world_options){0});
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    server_adopt(w.server, pair[0], (struct http_door){0});
    assert_int_equal(exchange_client_address(newest_exchange(&w)).version, 0);
    assert_false(newest_exchange(&w)->loopback);
    close(pair[1]);
    world_stop(&w);
}

static void test_an_abort_ends_a_stream_for_its_reason(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_stream(&c, "t");
    exchange_abort(newest_exchange(&w), HUB_END_INPUT);
    client_expect_end(&c);
    assert_false(client_has(&c, "relay.close"));
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_INPUT]), 1);
    assert_int_equal(metric_get(&w.hub_metrics.subscribers), 0);
    client_close(&c);
    world_stop(&w);
}

static void test_an_abort_ends_who_waits(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, "POST /sse?topic=t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    world_until(&w, world_has_publish, &w);
    assert_ptr_equal(w.publishes[0]->waiter, newest_exchange(&w));
    exchange_abort(newest_exchange(&w), HUB_END_CLIENT);
    assert_null(w.publishes[0]->waiter);
    client_expect_end(&c);
    assert_int_equal(c.seen.len, 0);
    world_until(&w, world_is_empty, &w);
    world_answer_publish(&w, RELAY_OK);
    client_close(&c);
    world_stop(&w);
}

/* A stream and a connection between two requests hold nothing of a request. */
static void test_nothing_is_held_while_nothing_is_asked(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    assert_null(newest_exchange(&w)->request);
    client_send(&c, "GET /page HTTP/1.1\r\nHost: local");
    for (int i = 0; i < 10; i++)
        world_pump(&w);
    assert_non_null(world_newest(&w)->work);
    client_send(&c, "host\r\n\r\n");
    client_expect(&c, "\r\n\r\npage");
    assert_null(world_newest(&w)->work);
    assert_null(newest_exchange(&w)->request);
    client_stream(&c, "t");
    assert_null(world_newest(&w)->work);
    assert_null(newest_exchange(&w)->request);
    client_close(&c);
    world_stop(&w);
}

/* As in TLS, where a write may have to wait for the other side's half of a handshake. */
static void test_a_write_may_wait_for_what_the_client_sends(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_stream(&c, "t");
    awkward_hold_writes(newest_transport(&w));
    world_event(&w, "t", "held");
    for (int i = 0; i < 10; i++)
        world_pump(&w);
    client_read(&c);
    assert_false(client_has(&c, "held"));
    assert_int_equal(world_newest(&w)->conn.polled, UV_READABLE); /* it does not spin */
    client_send(&c, "x");
    client_expect(&c, "data: held\n\n");
    client_close(&c);
    world_stop(&w);
}

/* As in TLS, whose close_notify may not fit at once. */
static void test_the_end_may_take_two_attempts(void **state) {
    struct world w;
    struct client c;
    (void)state;
    world_start(&w, &(struct world_options){0});
    client_open(&c, &w, 0);
    client_send(&c, "GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client_expect_end(&c);
    assert_false(c.reset);
    assert_int_equal(world_newest(&w)->state, H1_LINGERING);
    client_close(&c);
    world_stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_client_has_an_address),
        cmocka_unit_test(test_a_client_of_a_socket_file_has_none),
        cmocka_unit_test(test_an_abort_ends_a_stream_for_its_reason),
        cmocka_unit_test(test_an_abort_ends_who_waits),
        cmocka_unit_test(test_nothing_is_held_while_nothing_is_asked),
    };
    const struct CMUnitTest awkward_tests[] = {
        cmocka_unit_test(test_a_write_may_wait_for_what_the_client_sends),
        cmocka_unit_test(test_the_end_may_take_two_attempts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) +
           cmocka_run_group_tests_name("on an awkward transport", awkward_tests, world_be_awkward,
                                       world_be_plain);
}
