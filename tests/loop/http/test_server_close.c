/* The end of a server: with connections in every state, right after every step of a connection's
 * life, and with clients that go first. Each ends with uv_loop_close() == 0 (world_stop()). */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "tests/loop/http/http_world.h"
#include "tests/unit/unit.h"

static void pump(struct world *w) {
    for (int i = 0; i < 3; i++)
        world_pump(w);
}

/* ---- every state ---- */

static void reach_idle(struct client *c) {
    pump(c->world);
}

static void reach_half_a_head(struct client *c) {
    client_send(c, "GET /page HTTP/1.1\r\nHo");
}

static void reach_half_a_body(struct client *c) {
    client_send(c, REQUEST("POST", "/sse?topic=t") "Content-Length: 10\r\n\r\nhalf");
}

static void reach_waiting(struct client *c) {
    client_send(c, REQUEST("POST", "/sse?topic=t") "Content-Length: 1\r\n\r\nx" GET("/page"));
}

static void reach_responding(struct client *c) {
    client_send(c, GET("/large") GET("/page"));
}

static void reach_replaying(struct client *c) {
    client_stream(c, "t");
}

static void reach_live(struct client *c) {
    client_stream(c, "t");
    world_go_live(c->world);
    client_expect(c, "relay.live");
}

/* The socket is full, and the outbox too. */
static void reach_lagging(struct client *c) {
    static char data[1000];
    reach_live(c);
    memset(data, 'x', sizeof(data));
    for (int i = 0; i < 100; i++) {
        world_event_bytes(c->world, "t", data, sizeof(data));
        world_pump(c->world);
    }
}

static void reach_gap(struct client *c) {
    reach_live(c);
    hub_receive(c->world->hub, &bus_gap_new("t", 1, RESET_LIVE)->base);
}

/* The last bytes of the stream wait behind a full socket. */
static void reach_finishing(struct client *c) {
    reach_lagging(c);
    hub_drain(c->world->hub, clock_mono_ms(), 0);
    world_skip(c->world, 0);
}

static void reach_lingering(struct client *c) {
    client_send(c, REQUEST("GET", "/page") "Connection: close\r\n\r\n");
    client_expect(c, "\r\n\r\npage");
}

static const struct {
    const char *name;
    void (*reach)(struct client *c);
    enum h1_state state;
} states[] = {
    {"idle", reach_idle, H1_READING},
    {"half a head", reach_half_a_head, H1_READING},
    {"half a body", reach_half_a_body, H1_READING},
    {"waiting", reach_waiting, H1_WAITING},
    {"responding", reach_responding, H1_RESPONDING},
    {"replaying", reach_replaying, H1_STREAMING},
    {"live", reach_live, H1_STREAMING},
    {"lagging", reach_lagging, H1_STREAMING},
    {"gap", reach_gap, H1_STREAMING},
    {"lingering", reach_lingering, H1_LINGERING},
    {"finishing", reach_finishing, H1_FINISHING}, /* last: it drains the hub */
};
enum { STATES = sizeof(states) / sizeof(states[0]) };

static const struct world_options tight = {
    .outbox_limit_bytes = 4096, .send_buffer_bytes = 4096, .holds_replays = true};

/* A new connection, which is the first of the server's list, in state @i. */
static void reach(struct world *w, struct client *c, size_t i) {
    client_open(c, w, 2048);
    states[i].reach(c);
    pump(w);
    if (world_newest(w) == NULL || world_newest(w)->state != states[i].state)
        fail_msg("\"%s\" was not reached", states[i].name);
}

static void test_the_server_closes_in_each_state(void **state) {
    (void)state;
    for (size_t i = 0; i < STATES; i++) {
        struct world w;
        struct client c;
        world_start(&w, &tight);
        reach(&w, &c, i);
        world_stop(&w);
        client_close(&c);
    }
}

static void test_the_server_closes_with_all_of_them_at_once(void **state) {
    struct world w;
    struct client clients[STATES];
    (void)state;
    world_start(&w, &tight);
    for (size_t i = 0; i < STATES - 1; i++)
        reach(&w, &clients[i], i);
    world_event(&w, "t", "in the middle of a turn");
    world_stop(&w);
    for (size_t i = 0; i < STATES - 1; i++)
        client_close(&clients[i]);
    for (int why = 0; why < HUB_ENDS; why++)
        if (why != HUB_END_SHUTDOWN)
            assert_int_equal(metric_get(&w.metrics.ends[why]), 0);
}

/* In the same turn as the client's end is there to be seen, and one turn later. */
static void test_the_client_goes_first_in_each_state(void **state) {
    (void)state;
    for (size_t i = 0; i < STATES; i++) {
        for (int how = 0; how < 4; how++) {
            struct world w;
            struct client c;
            world_start(&w, &tight);
            reach(&w, &c, i);
            if (how & 1)
                client_abort(&c);
            else
                client_close(&c);
            if (how & 2) {
                world_event(&w, "t", "x");
                pump(&w);
                if (states[i].state != H1_WAITING)
                    assert_int_equal(server_connections(w.server), 0);
            }
            world_stop(&w);
        }
    }
}

static void test_deadlines_end_each_state(void **state) {
    (void)state;
    for (size_t i = 0; i < STATES; i++) {
        struct world w;
        struct client c;
        world_start(&w, &tight);
        reach(&w, &c, i);
        world_skip(&w, WORLD_IDLE_MS + WORLD_WRITE_MS);
        pump(&w);
        world_skip(&w, WORLD_IDLE_MS); /* a 408 that lingers, too */
        bool stays = states[i].reach == reach_waiting || states[i].reach == reach_replaying ||
                     states[i].reach == reach_live || states[i].reach == reach_gap;
        if (server_connections(w.server) != stays)
            fail_msg("\"%s\" after all deadlines", states[i].name);
        world_stop(&w);
        client_close(&c);
    }
}

/* ---- every step ---- */

struct life {
    struct world w;
    struct client c;
};

static void step_open(struct life *l) {
    client_open(&l->c, &l->w, 0);
}

static void step_first_line(struct life *l) {
    client_send(&l->c, "POST /sse?topic=t HTTP/1.1\r\n");
}

static void step_rest_of_head(struct life *l) {
    client_send(&l->c, "Host: localhost\r\nContent-Length: 4\r\n\r\n");
}

static void step_half_of_body(struct life *l) {
    client_send(&l->c, "da");
}

static void step_rest_of_body_and_another(struct life *l) {
    client_send(&l->c, "ta" GET("/page") "GET /sse?top");
}

static void step_answer(struct life *l) {
    world_answer_publish(&l->w, RELAY_OK);
}

static void step_stream(struct life *l) {
    client_send(&l->c, "ic=t HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static void step_go_live(struct life *l) {
    world_go_live(&l->w);
}

static void step_event(struct life *l) {
    world_event(&l->w, "t", "x");
}

static void step_turn(struct life *l) {
    hub_turn(l->w.hub);
}

static void step_read(struct life *l) {
    client_read(&l->c);
}

static void step_stop_accepting(struct life *l) {
    server_stop_accepting(l->w.server);
}

static void step_drain(struct life *l) {
    atomic_store(&l->w.shared.draining, true);
    hub_drain(l->w.hub, clock_mono_ms(), 0);
    server_drain(l->w.server);
}

static void step_deadlines(struct life *l) {
    l->w.skew_ms += 1000;
    hub_tick(l->w.hub, clock_mono_ms() + l->w.skew_ms);
}

static void step_client_ends(struct life *l) {
    shutdown(l->c.fd, SHUT_WR);
}

static void (*const steps[])(struct life *) = {
    step_open,
    step_first_line,
    step_rest_of_head,
    step_half_of_body,
    step_rest_of_body_and_another,
    step_answer,
    step_stream,
    step_go_live,
    step_event,
    step_turn,
    step_event,
    step_read,
    step_stop_accepting,
    step_drain,
    step_deadlines,
    step_turn,
    step_client_ends,
};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

/* Right behind a step, before the loop has seen what it did; and with a turn of the loop before. */
static void test_the_server_closes_right_after_each_step(void **state) {
    (void)state;
    for (int looks = 0; looks < 2; looks++) {
        for (int k = 0; k <= STEPS; k++) {
            struct life l = {.c = {.fd = -1}};
            world_start(&l.w, &(struct world_options){.holds_replays = true});
            for (int i = 0; i < k; i++) {
                if (i > 0)
                    pump(&l.w);
                steps[i](&l);
            }
            if (looks)
                world_pump(&l.w);
            if (k == STEPS && looks)
                assert_true(client_has(&l.c, "data: x\n\n")); /* the whole life was lived */
            world_stop(&l.w);
            if (l.c.fd >= 0)
                client_close(&l.c);
        }
    }
}

/* ---- the law of closing ---- */

static void on_closed(void *arg) {
    ++*(int *)arg;
}

static void test_closed_is_told_by_the_loop_even_when_nothing_is_open(void **state) {
    uv_loop_t loop;
    struct http_shared shared = {.max_connections = 1};
    struct http_route none = {NULL, NULL, NULL};
    struct http_options options = {.shared = &shared, .routes = &none};
    struct http_metrics metrics = {0};
    int closed = 0;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct server *server = server_new(&loop, &options, NULL, &metrics);
    server_close(server, on_closed, &closed);
    assert_int_equal(closed, 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(closed, 1);
    server_free(server);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_a_connection_that_comes_after_the_end_is_refused(void **state) {
    struct world w;
    int pair[2];
    char byte;
    (void)state;
    world_start(&w, &(struct world_options){0});
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    server_close(w.server, on_closed, &w.closed);
    server_close(w.server, on_closed, &w.closed);
    server_adopt(w.server, pair[0], (struct http_door){0});
    assert_int_equal(read(pair[1], &byte, 1), 0);
    assert_int_equal(uv_run(&w.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(w.closed, 1);
    close(pair[1]);
    w.closed = 0;
    server_free(w.server);
    hub_free(w.hub);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    listener_fini(&w.listener);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_server_closes_in_each_state),
        cmocka_unit_test(test_the_server_closes_with_all_of_them_at_once),
        cmocka_unit_test(test_the_client_goes_first_in_each_state),
        cmocka_unit_test(test_deadlines_end_each_state),
        cmocka_unit_test(test_the_server_closes_right_after_each_step),
        cmocka_unit_test(test_closed_is_told_by_the_loop_even_when_nothing_is_open),
        cmocka_unit_test(test_a_connection_that_comes_after_the_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) +
           cmocka_run_group_tests_name("on an awkward transport", tests, world_be_awkward,
                                       world_be_plain);
}
