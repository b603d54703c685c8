/* Connections that begin with a header of the PROXY protocol: what becomes of them, and their end
 * after each of its bytes. */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "relay/base/log.h"
#include "relay/http/client_address.h"
#include "tests/loop/http/http_world.h"
#include "tests/unit/unit.h"

static const char line[] = "PROXY TCP4 198.51.100.7 192.0.2.1 40000 443\r\n";
static const char binary[] =
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc6\x33\x64\7\xc0\0\2\1\1\2\3\4\4\0\0";

static const struct {
    const char *bytes;
    size_t len;
} headers[] = {{line, sizeof(line) - 1}, {binary, sizeof(binary) - 1}};
enum { HEADERS = 2 };

static struct ip_networks loopback, elsewhere;

static int make_networks(void **state) {
    (void)state;
    assert_null(ip_networks_add(&loopback, "loopback"));
    assert_null(ip_networks_add(&elsewhere, "192.0.2.0/24"));
    return 0;
}

static int free_networks(void **state) {
    (void)state;
    ip_networks_fini(&loopback);
    ip_networks_fini(&elsewhere);
    return 0;
}

static void start(struct world *w, const struct ip_networks *trusted) {
    world_start(w, &(struct world_options){.proxied = true, .trusted_proxies = trusted});
}

static void pump(struct world *w) {
    for (int i = 0; i < 3; i++)
        world_pump(w);
}

static uint64_t refused(const struct world *w, enum http_proxy_refusal why) {
    return metric_get(&w->metrics.proxy_refused[why]);
}

static void the_client_is_who_was_named(void **state) {
    (void)state;
    for (size_t i = 0; i < HEADERS; i++) {
        struct world w;
        struct client c;
        char text[IP_ADDRESS_TEXT];
        start(&w, &loopback);
        client_open(&c, &w, 0);
        client_send_bytes(&c, headers[i].bytes, headers[i].len);
        client_send(&c, GET("/page"));
        client_expect(&c, "\r\n\r\npage");
        struct ip_address named = exchange_client_address(&world_newest(&w)->exchange);
        assert_string_equal(ip_address_format(&named, text), "198.51.100.7");
        client_stream(&c, "t");
        named = exchange_client_address(&world_newest(&w)->exchange);
        assert_string_equal(ip_address_format(&named, text), "198.51.100.7");
        world_event(&w, "t", "told");
        client_expect(&c, "data: told\n\n");
        client_close(&c);
        world_stop(&w);
    }
}

/* With the beginning of a header there is nothing left to read that would wake the loop again. */
static void a_header_in_pieces_is_taken_piece_by_piece(void **state) {
    (void)state;
    for (size_t i = 0; i < HEADERS; i++) {
        struct world w;
        struct client c;
        start(&w, &loopback);
        client_open(&c, &w, 0);
        for (size_t at = 0; at < headers[i].len; at++) {
            int waiting = 1;
            client_send_bytes(&c, headers[i].bytes + at, 1);
            pump(&w);
            assert_int_equal(ioctl(world_newest(&w)->conn.transport.fd, FIONREAD, &waiting), 0);
            assert_int_equal(waiting, 0);
        }
        client_send(&c, GET("/page"));
        client_expect(&c, "\r\n\r\npage");
        client_close(&c);
        world_stop(&w);
    }
}

static void it_ends_after_each_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < HEADERS; i++) {
        for (size_t cut = 0; cut <= headers[i].len; cut++) {
            struct world w;
            struct client stays, leaves, resets;
            start(&w, &loopback);
            client_open(&stays, &w, 0);
            client_open(&leaves, &w, 0);
            client_open(&resets, &w, 0);
            client_send_bytes(&stays, headers[i].bytes, cut);
            client_send_bytes(&leaves, headers[i].bytes, cut);
            client_send_bytes(&resets, headers[i].bytes, cut);
            pump(&w);
            client_close(&leaves);
            client_abort(&resets);
            pump(&w);
            world_stop(&w); /* with the one that stays */
            client_close(&stays);
        }
    }
}

static void it_has_to_arrive(void **state) {
    struct world w;
    struct client c;
    (void)state;
    start(&w, &loopback);
    client_open(&c, &w, 0);
    client_send_bytes(&c, line, sizeof(line) - 2);
    pump(&w);
    world_skip(&w, WORLD_HEADER_MS - 1000);
    assert_int_equal(server_connections(w.server), 1);
    world_skip(&w, WORLD_HEADER_MS + 1000);
    client_expect_end(&c);
    assert_int_equal(c.seen.len, 0);
    assert_int_equal(refused(&w, HTTP_PROXY_UNFINISHED), 1);
    client_close(&c);
    world_stop(&w);
}

static void a_drain_does_not_wait_for_it(void **state) {
    struct world w;
    struct client c;
    (void)state;
    start(&w, &loopback);
    client_open(&c, &w, 0);
    pump(&w);
    server_drain(w.server);
    world_skip(&w, 1000);
    assert_int_equal(server_connections(w.server), 0);
    client_close(&c);
    world_stop(&w);
}

static void a_stranger_is_closed_unread(void **state) {
    struct world w;
    struct client c;
    (void)state;
    start(&w, &elsewhere);
    client_open(&c, &w, 0);
    client_send_bytes(&c, line, sizeof(line) - 1);
    client_expect_end(&c);
    assert_int_equal(refused(&w, HTTP_PROXY_UNTRUSTED), 1);
    assert_int_equal(metric_get(&w.metrics.requests), 0);
    client_close(&c);
    world_stop(&w);
}

static void what_is_no_header_is_closed(void **state) {
    static const struct {
        const char *bytes;
        enum http_proxy_refusal why;
    } bad[] = {{GET("/page"), HTTP_PROXY_MISSING},
               {"PROXY TCP4 1.1.1.1\r\n", HTTP_PROXY_MALFORMED},
               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP_PROXY_MISSING}};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world w;
        struct client c;
        start(&w, &loopback);
        client_open(&c, &w, 0);
        client_send(&c, bad[i].bytes);
        client_expect_end(&c);
        assert_int_equal(c.seen.len, 0);
        assert_int_equal(refused(&w, bad[i].why), 1);
        client_close(&c);
        world_stop(&w);
    }
}

/* As one that was reset: the system knows its peer no more. What it sent may be there to read, and
 * must not pass for that of a unix socket. */
static void a_peer_that_is_gone_is_no_unix_socket(void **state) {
    struct world w;
    const struct ip_networks unix_only = {.unix_sockets = true};
    (void)state;
    start(&w, &unix_only);
    server_adopt(w.server, socket(AF_INET, SOCK_STREAM, 0), (struct http_door){.proxied = true});
    assert_int_equal(metric_get(&w.metrics.accepted), 1);
    assert_int_equal(server_connections(w.server), 0);
    assert_int_equal(refused(&w, HTTP_PROXY_UNTRUSTED), 0);
    world_stop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_is_who_was_named),
        cmocka_unit_test(a_header_in_pieces_is_taken_piece_by_piece),
        cmocka_unit_test(it_ends_after_each_byte),
        cmocka_unit_test(it_has_to_arrive),
        cmocka_unit_test(a_drain_does_not_wait_for_it),
        cmocka_unit_test(a_stranger_is_closed_unread),
        cmocka_unit_test(what_is_no_header_is_closed),
        cmocka_unit_test(a_peer_that_is_gone_is_no_unix_socket),
    };
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
    return cmocka_run_group_tests(tests, make_networks, free_networks);
}
