/* Events to bytes: what EventSource will see, in each format, with and without chunks. */
#include "relay/sse/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/rng.h"
#include "tests/unit/unit.h"

static struct frame_source source(const char *data) {
    return (struct frame_source){.topic = "orders",
                                 .topic_len = 6,
                                 .event = {.data = data, .data_len = strlen(data)},
                                 .time_ms = 1700};
}

static void assert_body(const struct frame *f, enum frame_format format, const char *expected) {
    struct frame_slice s = frame_slice(f, format, FRAMING_NONE);
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.bytes, expected, s.len);
}

static void assert_data(const char *data, const char *expected) {
    struct frame_source s = source(data);
    struct frame *f = frame_encode(&s, 1 << FRAME_FORMAT_DATA);
    assert_body(f, FRAME_FORMAT_DATA, expected);
    frame_unref(f);
}

static void data_is_split_at_every_kind_of_line_end(void **state) {
    (void)state;
    assert_data("x", "data: x\n\n");
    assert_data("", "data: \n\n");
    assert_data(" x", "data:  x\n\n");
    assert_data("a\nb", "data: a\ndata: b\n\n");
    assert_data("a\rb", "data: a\ndata: b\n\n");
    assert_data("a\r\nb", "data: a\ndata: b\n\n");
    assert_data("a\n\rb", "data: a\ndata: \ndata: b\n\n");
    assert_data("a\r\r\nb", "data: a\ndata: \ndata: b\n\n");
    assert_data("a\n", "data: a\ndata: \n\n");
    assert_data("a\r\n", "data: a\ndata: \n\n");
    assert_data("\r", "data: \ndata: \n\n");
    assert_data("a\rid: forged", "data: a\ndata: id: forged\n\n");
}

/* The standard's own way to read data lines, applied to what was written. */
/* Much of one line end: minutes, if each line looked through all that is behind it. */
static void data_of_line_ends_alone(void **state) {
    enum { LEN = 4 * 1024 * 1024 };
    static const char *const ends[] = {"\r", "\n", "\r\n"};
    char *data = malloc(LEN);
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(ends[i]);
        for (size_t at = 0; at < LEN; at += n)
            memcpy(data + at, ends[i], n);
        struct frame_source source = {
            .topic = "t", .topic_len = 1, .event = {.data = data, .data_len = LEN}};
        struct frame *f = frame_encode(&source, 1 << FRAME_FORMAT_DATA);
        assert_int_equal(frame_slice(f, FRAME_FORMAT_DATA, FRAMING_NONE).len,
                         (LEN / n + 1) * 7 + 1);
        frame_unref(f);
    }
    free(data);
}

static void data_arrives_as_it_was_but_for_line_ends(void **state) {
    (void)state;
    struct rng rng = {.state = 42};
    for (int round = 0; round < 2000; round++) {
        char data[24], expected[24], seen[64];
        size_t len = rng_below(&rng, sizeof(data)), n = 0, m = 0;
        for (size_t i = 0; i < len; i++)
            data[i] = "\r\n: ab"[rng_below(&rng, 6)];
        for (size_t i = 0; i < len; i++) {
            if (data[i] == '\r' && i + 1 < len && data[i + 1] == '\n')
                continue;
            expected[n++] = data[i] == '\r' ? '\n' : data[i];
        }
        struct frame_source s = {
            .topic = "t", .topic_len = 1, .event = {.data = data, .data_len = len}};
        struct frame *f = frame_encode(&s, 1 << FRAME_FORMAT_DATA);
        struct frame_slice body = frame_slice(f, FRAME_FORMAT_DATA, FRAMING_NONE);
        for (const char *p = body.bytes; *p != '\n';) {
            const char *end = memchr(p, '\n', 64);
            assert_memory_equal(p, "data: ", 6);
            memcpy(seen + m, p + 6, (size_t)(end - p) - 6);
            m += (size_t)(end - p) - 6;
            seen[m++] = '\n';
            p = end + 1;
        }
        assert_int_equal(m - 1, n); /* the reader drops the last line end */
        assert_memory_equal(seen, expected, n);
        frame_unref(f);
    }
}

static void a_field_of_each_kind(void **state) {
    (void)state;
    struct frame_source s = source("x");
    s.event.name = "paid";
    s.event.name_len = 4;
    s.event.retry_ms = 250;
    s.id = "b.1.2-3";
    s.id_len = 7;
    struct frame *f = frame_encode(&s, (1 << FRAME_FORMATS) - 1);
    assert_body(f, FRAME_FORMAT_DATA, "event: paid\nid: b.1.2-3\nretry: 250\ndata: x\n\n");
    assert_body(f, FRAME_FORMAT_TOPIC, "event: orders\nid: b.1.2-3\nretry: 250\ndata: x\n\n");
    assert_body(f, FRAME_FORMAT_JSON,
                "id: b.1.2-3\nretry: 250\n"
                "data: "
                "{\"topic\":\"orders\",\"event\":\"paid\",\"id\":\"b.1.2-3\",\"time\":1700,"
                "\"data\":\"x\"}\n\n");
    frame_unref(f);
}

static void json_of_a_nameless_live_event(void **state) {
    (void)state;
    struct frame_source s = source("a\r\n\"b\"");
    struct frame *f = frame_encode(&s, 1 << FRAME_FORMAT_JSON);
    assert_true(frame_has_format(f, FRAME_FORMAT_JSON));
    assert_false(frame_has_format(f, FRAME_FORMAT_DATA));
    assert_body(f, FRAME_FORMAT_JSON,
                "data: "
                "{\"topic\":\"orders\",\"event\":null,\"id\":null,\"time\":1700,\"data\":"
                "\"a\\r\\n\\\"b\\\"\"}\n\n");
    frame_unref(f);
}

static void assert_chunk(const struct frame *f, enum frame_format format) {
    struct frame_slice chunk = frame_slice(f, format, FRAMING_CHUNK),
                       body = frame_slice(f, format, FRAMING_NONE);
    char head[32];
    int head_len = snprintf(head, sizeof(head), "%zx\r\n", body.len);
    assert_int_equal(chunk.len, (size_t)head_len + body.len + 2);
    assert_memory_equal(chunk.bytes, head, (size_t)head_len);
    assert_ptr_equal(chunk.bytes + head_len, body.bytes); /* shared, not copied */
    assert_memory_equal(chunk.bytes + chunk.len - 2, "\r\n", 2);
}

static void chunks_hold_the_body_and_its_length(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, 9, 10, 248, 255, 4096, 1024 * 1024};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char *data = malloc(lengths[i] + 1);
        memset(data, 'x', lengths[i]);
        struct frame_source s = {
            .topic = "t", .topic_len = 1, .event = {.data = data, .data_len = lengths[i]}};
        struct frame *f = frame_encode(&s, (1 << FRAME_FORMATS) - 1);
        for (unsigned format = 0; format < FRAME_FORMATS; format++)
            assert_chunk(f, format);
        frame_unref(f);
        free(data);
    }
}

static void notices_serve_every_format(void **state) {
    (void)state;
    struct frame *frames[] = {frame_notice("relay.live", NULL, "{}", 2),
                              frame_opening(1500),
                              frame_heartbeat(),
                              frame_close("drain", 250),
                              frame_large("a\"b", 3, "b.1.2-3", 70000),
                              frame_large("t", 1, NULL, 70000)};
    static const char *const bodies[] = {"event: relay.live\ndata: {}\n\n",
                                         "retry: 1500\n:\n",
                                         ":\n",
                                         "event: relay.close\nretry: 250\n"
                                         "data: {\"reason\":\"drain\"}\n\n",
                                         "event: relay.large\nid: b.1.2-3\n"
                                         "data: {\"topic\":\"a\\\"b\",\"bytes\":70000}\n\n",
                                         "event: relay.large\n"
                                         "data: {\"topic\":\"t\",\"bytes\":70000}\n\n"};
    for (int i = 0; i < 6; i++) {
        for (unsigned format = 0; format < FRAME_FORMATS; format++) {
            assert_body(frames[i], format, bodies[i]);
            assert_chunk(frames[i], format);
        }
        frame_unref(frames[i]);
    }
}

static void raw_bytes_are_the_same_in_any_framing(void **state) {
    (void)state;
    struct frame *f = frame_raw("HTTP/1.1", 8);
    static const enum frame_framing framings[] = {FRAMING_NONE, FRAMING_CHUNK};
    for (int i = 0; i < 2; i++) {
        struct frame_slice s = frame_slice(f, FRAME_FORMAT_TOPIC, framings[i]);
        assert_int_equal(s.len, 8);
        assert_memory_equal(s.bytes, "HTTP/1.1", 8);
    }
    frame_unref(frame_ref(f));
    frame_unref(f);
    frame_unref(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_is_split_at_every_kind_of_line_end),
        cmocka_unit_test(data_of_line_ends_alone),
        cmocka_unit_test(data_arrives_as_it_was_but_for_line_ends),
        cmocka_unit_test(a_field_of_each_kind),
        cmocka_unit_test(json_of_a_nameless_live_event),
        cmocka_unit_test(chunks_hold_the_body_and_its_length),
        cmocka_unit_test(notices_serve_every_format),
        cmocka_unit_test(raw_bytes_are_the_same_in_any_framing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
