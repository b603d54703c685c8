/* HTTP/2 on real sockets, with nghttp2 as the client: windows, deadlines, the end at every step; on
 * a plain transport and on an awkward one. */
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/loop/http/http_world.h"
#include "tests/unit/unit.h"

enum { STREAMS = 200 };

/* What came of a stream. */
struct seen {
    struct buf body;
    int status;
    bool closed;
    uint32_t error;
};

struct peer {
    struct world *world;
    struct client client;
    nghttp2_session *session;
    struct seen seen[STREAMS]; /* by half the stream's id */
    int goaways;
    uint32_t goaway_error;
};

static struct seen *seen_of(struct peer *p, int32_t id) {
    assert_in_range(id / 2, 0, STREAMS - 1);
    return &p->seen[id / 2];
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx) {
    (void)session, (void)flags, (void)value_len;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0)
        seen_of(ctx, frame->hd.stream_id)->status =
            (value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0';
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *ctx) {
    (void)session, (void)flags;
    buf_append(&seen_of(ctx, id)->body, bytes, len);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *ctx) {
    struct seen *s = seen_of(ctx, id);
    (void)session;
    s->closed = true;
    s->error = error;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct peer *p = ctx;
    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        p->goaways++;
        p->goaway_error = frame->goaway.error_code;
    }
    return 0;
}

static void peer_send(struct peer *p) {
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(p->session, &bytes)) > 0)
        client_send_bytes(&p->client, bytes, (size_t)n);
}

/* @window of each stream; the connection's is in nobody's way. The client opens windows itself. */
static void peer_open(struct peer *p, struct world *w, uint32_t window, int receive_buffer) {
    nghttp2_session_callbacks *calls;
    nghttp2_option *option;
    const nghttp2_settings_entry settings = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    memset(p, 0, sizeof(*p));
    p->world = w;
    client_open(&p->client, w, receive_buffer);
    assert_int_equal(nghttp2_session_callbacks_new(&calls), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_option_set_no_auto_window_update(option, 1);
    assert_int_equal(nghttp2_session_client_new2(&p->session, calls, p, option), 0);
    nghttp2_session_callbacks_del(calls);
    nghttp2_option_del(option);
    nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, &settings, 1);
    nghttp2_submit_window_update(p->session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
    peer_send(p);
}

static void peer_close(struct peer *p) {
    nghttp2_session_del(p->session);
    client_close(&p->client);
    for (size_t i = 0; i < STREAMS; i++)
        buf_fini(&p->seen[i].body);
}

static int32_t get(struct peer *p, const char *path) {
    nghttp2_nv fields[] = {
        {(uint8_t *)":method", (uint8_t *)"GET", 7, 3, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)":scheme", (uint8_t *)"http", 7, 4, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)":authority", (uint8_t *)"localhost", 10, 9, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)":path", (uint8_t *)(uintptr_t)path, 5, strlen(path), NGHTTP2_NV_FLAG_NONE}};
    int32_t id = nghttp2_submit_request(p->session, NULL, fields, 4, NULL, NULL);
    assert_true(id > 0);
    peer_send(p);
    return id;
}

struct wish {
    struct peer *peer;
    int32_t id;
    const char *text; /* NULL: that the stream is closed */
    size_t bytes;     /* of the body; 0: any */
};

static bool is_met(void *arg) {
    struct wish *wish = arg;
    struct peer *p = wish->peer;
    client_read(&p->client);
    if (p->client.seen.len > 0)
        assert_int_equal(nghttp2_session_mem_recv(p->session, (uint8_t *)p->client.seen.data,
                                                  p->client.seen.len),
                         p->client.seen.len);
    buf_reset(&p->client.seen);
    struct seen *s = seen_of(p, wish->id);
    if (wish->bytes > 0)
        return s->body.len >= wish->bytes;
    if (wish->text == NULL)
        return s->closed;
    return s->body.len > 0 && memmem(s->body.data, s->body.len, wish->text, strlen(wish->text));
}

static void expect(struct peer *p, int32_t id, const char *text) {
    world_until(p->world, is_met, &(struct wish){p, id, text, 0});
    peer_send(p);
}

static void expect_bytes(struct peer *p, int32_t id, size_t bytes) {
    world_until(p->world, is_met, &(struct wish){p, id, NULL, bytes});
}

static void expect_closed(struct peer *p, int32_t id) {
    expect(p, id, NULL);
}

static void open_window(struct peer *p, int32_t id, int32_t bytes) {
    nghttp2_submit_window_update(p->session, NGHTTP2_FLAG_NONE, id, bytes);
    peer_send(p);
}

static const uint32_t WIDE = 1 << 30;

static bool has_no_connections(void *arg) {
    return server_connections(((struct world *)arg)->server) == 0;
}

static void test_streams_and_pages(void **state) {
    struct world w;
    struct peer p;
    (void)state;
    world_start(&w, &(struct world_options){0});
    peer_open(&p, &w, WIDE, 0);
    int32_t a = get(&p, "/sse?topic=a"), b = get(&p, "/sse?topic=b"), page = get(&p, "/page");
    expect(&p, a, "event: relay.live\n");
    expect(&p, b, "event: relay.live\n");
    expect_closed(&p, page);
    assert_int_equal(seen_of(&p, page)->status, 200);
    assert_string_equal(seen_of(&p, page)->body.data, "page");
    world_event(&w, "a", "to a");
    world_event(&w, "b", "to b");
    expect(&p, a, "data: to a\n\n");
    expect(&p, b, "data: to b\n\n");
    assert_int_equal(metric_get(&w.metrics.h2_streams), 2);
    peer_close(&p);
    world_until(&w, has_no_connections, &w);
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_CLIENT]), 2);
    world_stop(&w);
}

/* To the byte: what the window allows and no more; then each further byte that it is opened by. */
static void test_a_window_is_kept_to_the_byte(void **state) {
    struct world w;
    struct peer p;
    (void)state;
    world_start(&w, &(struct world_options){0});
    peer_open(&p, &w, 100, 0);
    int32_t id = get(&p, "/large"), other = get(&p, "/page");
    expect_bytes(&p, id, 100);
    expect_closed(&p, other);
    for (size_t n = 101; n < 150; n++) {
        open_window(&p, id, 1);
        expect_bytes(&p, id, n);
        world_pump(&w);
        assert_int_equal(seen_of(&p, id)->body.len, n);
    }
    open_window(&p, id, WORLD_LARGE_BYTES);
    expect_closed(&p, id);
    assert_int_equal(seen_of(&p, id)->body.len, WORLD_LARGE_BYTES);
    peer_close(&p);
    world_stop(&w);
}

/* Whatever one began before the others, from then on all go on alike. */
static void test_streams_take_turns(void **state) {
    struct world w;
    struct peer p;
    size_t before[2];
    (void)state;
    world_start(&w, &(struct world_options){0});
    peer_open(&p, &w, WIDE, 0);
    int32_t ids[2];
    for (int i = 0; i < 2; i++)
        ids[i] = get(&p, "/large");
    for (int i = 0; i < 2; i++)
        expect_bytes(&p, ids[i], 1);
    for (int i = 0; i < 2; i++)
        before[i] = seen_of(&p, ids[i])->body.len;
    expect_bytes(&p, ids[0], before[0] + 2000000);
    size_t first = seen_of(&p, ids[0])->body.len - before[0];
    assert_in_range(seen_of(&p, ids[1])->body.len - before[1], first - 3 * 16384,
                    first + 3 * 16384);
    peer_close(&p);
    world_stop(&w);
}

/* The socket is full over and over: what had to be copied, and what was asked for meanwhile, comes
 * whole and once. */
static void test_a_full_socket_loses_and_doubles_nothing(void **state) {
    struct world w;
    struct peer p;
    (void)state;
    world_start(&w, &(struct world_options){.send_buffer_bytes = 4096});
    peer_open(&p, &w, WIDE, 2048);
    int32_t ids[10];
    for (int i = 0; i < 10; i++) {
        ids[i] = get(&p, "/sse?topic=a");
        expect(&p, ids[i], "event: relay.live\n");
    }
    for (int n = 0; n < 200; n++) {
        char data[1100];
        snprintf(data, sizeof(data), "%d:", n);
        memset(data + strlen(data), 'x', 1000);
        data[1003] = '\0';
        world_event(&w, "a", data);
        world_pump(&w);
    }
    world_event(&w, "a", "the end");
    for (int i = 0; i < 10; i++) {
        expect(&p, ids[i], "data: the end\n\n");
        const char *at = seen_of(&p, ids[i])->body.data;
        for (int n = 0; n < 200; n++) {
            char data[24];
            snprintf(data, sizeof(data), "data: %d:x", n);
            at = strstr(at, data);
            assert_non_null(at);
            at++;
            assert_null(strstr(at, data));
        }
    }
    peer_close(&p);
    world_stop(&w);
}

static void test_a_shut_window_ends_its_stream_alone(void **state) {
    struct world w;
    struct peer p;
    (void)state;
    world_start(&w, &(struct world_options){0});
    peer_open(&p, &w, 500, 0);
    int32_t shut = get(&p, "/sse?topic=a"), other = get(&p, "/sse?topic=b");
    expect(&p, other, "event: relay.live\n");
    char data[2000];
    memset(data, 'x', sizeof(data));
    world_event_bytes(&w, "a", data, sizeof(data));
    expect_bytes(&p, shut, 500);
    world_skip(&w, WORLD_WRITE_MS);
    expect_closed(&p, shut);
    assert_int_equal(seen_of(&p, shut)->error, NGHTTP2_CANCEL);
    assert_int_equal(metric_get(&w.metrics.ends[HUB_END_WRITE_TIMEOUT]), 1);
    world_event(&w, "b", "still here");
    expect(&p, other, "data: still here\n\n");
    peer_close(&p);
    world_stop(&w);
}

/* Reset by the client while its bytes wait in a full socket: nothing of it is touched any more. */
static void test_a_reset_while_bytes_wait(void **state) {
    struct world w;
    struct peer p;
    (void)state;
    world_start(&w, &(struct world_options){.send_buffer_bytes = 4096});
    peer_open(&p, &w, WIDE, 2048);
    int32_t b = get(&p, "/sse?topic=a");
    expect(&p, b, "event: relay.live\n");
    int32_t a = get(&p, "/large");
    expect_bytes(&p, a, 1000);
    nghttp2_submit_rst_stream(p.session, NGHTTP2_FLAG_NONE, a, NGHTTP2_CANCEL);
    peer_send(&p);
    world_event(&w, "a", "behind it");
    expect(&p, b, "data: behind it\n\n");
    peer_close(&p);
    world_stop(&w);
}

/* Answers that nobody takes are bounded: the third is none, and when they were taken it is. */
static void test_answers_in_shut_windows_are_bounded(void **state) {
    struct world w;
    struct peer p;
    (void)state;
    world_start(&w, &(struct world_options){0});
    peer_open(&p, &w, 1000, 0);
    int32_t first = get(&p, "/large"), second = get(&p, "/large");
    expect_bytes(&p, second, 1000);
    int32_t refused = get(&p, "/page");
    expect_closed(&p, refused);
    assert_int_equal(seen_of(&p, refused)->status, 503);
    open_window(&p, first, WORLD_LARGE_BYTES);
    expect_closed(&p, first);
    int32_t page = get(&p, "/page");
    expect_closed(&p, page);
    assert_int_equal(seen_of(&p, page)->status, 200);
    peer_close(&p);
    world_stop(&w);
}

static void test_idle_and_silent_connections_end(void **state) {
    struct world w;
    struct peer silent, idle, busy;
    (void)state;
    world_start(&w, &(struct world_options){0});
    peer_open(&silent, &w, WIDE, 0);
    peer_open(&idle, &w, WIDE, 0);
    peer_open(&busy, &w, WIDE, 0);
    expect_closed(&idle, get(&idle, "/page"));
    int32_t id = get(&busy, "/sse?topic=a");
    expect(&busy, id, "event: relay.live\n");
    world_skip(&w, WORLD_HEADER_MS);
    client_expect_end(&silent.client);
    world_skip(&w, WORLD_IDLE_MS);
    client_expect_end(&idle.client);
    world_event(&w, "a", "here");
    expect(&busy, id, "data: here\n\n");
    assert_int_equal(metric_get(&w.metrics.h2_connections), 1);
    peer_close(&silent);
    peer_close(&idle);
    peer_close(&busy);
    world_stop(&w);
}

/* Whoever turns to HTTP/2 when all others were told already is told as well. */
static void test_a_connection_that_comes_in_a_drain(void **state) {
    struct world w;
    struct peer p;
    (void)state;
    world_start(&w, &(struct world_options){0});
    atomic_store(&w.shared.draining, true);
    server_drain(w.server);
    peer_open(&p, &w, WIDE, 0);
    expect_closed(&p, get(&p, "/page"));
    for (int i = 0; i < 4; i++)
        world_skip(&w, 500);
    client_expect_end(&p.client);
    peer_close(&p);
    world_stop(&w);
}

/* The server is closed after @steps turns of a busy session; each time nothing is left. */
static void test_the_end_at_every_step(void **state) {
    (void)state;
    for (int steps = 0; steps < 25; steps++) {
        struct world w;
        struct peer p;
        world_start(&w, &(struct world_options){.send_buffer_bytes = 4096});
        peer_open(&p, &w, 70000, 2048);
        get(&p, "/sse?topic=a");
        get(&p, "/large");
        get(&p, "/sse?topic=a");
        for (int i = 0; i < steps; i++) {
            world_event(&w, "a", "event");
            world_pump(&w);
            if (i == 10)
                server_drain(w.server);
        }
        world_stop(&w);
        peer_close(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_and_pages),
        cmocka_unit_test(test_a_window_is_kept_to_the_byte),
        cmocka_unit_test(test_streams_take_turns),
        cmocka_unit_test(test_a_full_socket_loses_and_doubles_nothing),
        cmocka_unit_test(test_a_shut_window_ends_its_stream_alone),
        cmocka_unit_test(test_a_reset_while_bytes_wait),
        cmocka_unit_test(test_answers_in_shut_windows_are_bounded),
        cmocka_unit_test(test_idle_and_silent_connections_end),
        cmocka_unit_test(test_a_connection_that_comes_in_a_drain),
        cmocka_unit_test(test_the_end_at_every_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) +
           cmocka_run_group_tests_name("on an awkward transport", tests, world_be_awkward,
                                       world_be_plain);
}
