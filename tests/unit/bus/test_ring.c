/* The ring of recent events, against a list of all events and random operations. */
#include "relay/bus/ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/wire/envelope.h"
#include "tests/unit/unit.h"

enum { EVENTS = 400, ROUNDS = 60, OPERATIONS = 1500, NAME_BYTES = 5 };
static const char name[] = "topic";

/* All events of a topic, from the first; place 0 is the beginning of time, and no event. The ring
 * must hold those at low + 1 to high. */
struct world {
    struct rng rng;
    struct event_id ids[EVENTS + 1];
    char *messages[EVENTS + 1];
    struct ring ring;
    size_t low, high;
};

static size_t below(struct world *w, size_t bound) {
    return (size_t)rng_below(&w->rng, bound);
}

static void make_message(struct world *w, size_t i) {
    struct buf b = BUF_INIT, data = BUF_INIT;
    buf_puts(&b, "sse1 ");
    id_format(&b, &w->ids[i]);
    buf_putc(&b, ' ');
    if (i == 1)
        buf_putc(&b, '0');
    else
        id_format(&b, &w->ids[i - 1]);
    buf_putc(&b, ' ');
    buf_printf(&data, "event %zu%*s", i, (int)below(w, 100), "");
    struct event event = {.data = data.data, .data_len = data.len, .name = i % 3 ? "tick" : NULL};
    event.name_len = i % 3 ? 4 : 0;
    envelope_encode_json(&b, &event);
    buf_fini(&data);
    w->messages[i] = buf_detach(&b);
}

/* Ids with gaps below, between and above them, over several epochs. */
static void world_init(struct world *w, uint64_t seed) {
    memset(w, 0, sizeof(*w));
    w->rng.state = seed;
    struct event_id id = {.birth = "b", .epoch = 0};
    w->ids[0] = id;
    for (size_t i = 1; i <= EVENTS; i++) {
        bool fails_over = i == 1 || below(w, 50) == 0;
        id.epoch += fails_over;
        if (fails_over && id.ms > 100)
            id.ms -= 100; /* a clock behind */
        id.seq = below(w, 2) ? id.seq + 2 : 0;
        id.ms += id.seq == 0 ? 2 : 0;
        w->ids[i] = id;
        make_message(w, i);
    }
}

static void world_fini(struct world *w) {
    for (size_t i = 1; i <= EVENTS; i++)
        free(w->messages[i]);
    ring_fini(&w->ring);
}

/* The frame of event @i by itself. */
static struct frame *encode(const struct world *w, size_t i, unsigned formats) {
    struct envelope envelope;
    const char *why = NULL;
    assert_int_equal(envelope_decode(w->messages[i], strlen(w->messages[i]), &envelope, &why),
                     RELAY_OK);
    struct frame_source source = {.topic = name,
                                  .topic_len = NAME_BYTES,
                                  .event = envelope.event,
                                  .id = envelope.id,
                                  .id_len = envelope.id_len,
                                  .time_ms = w->ids[i].ms};
    struct frame *f = frame_encode(&source, formats);
    envelope_fini(&envelope);
    return f;
}

/* ---- what must hold behind every operation ---- */

static void check(const struct world *w) {
    const struct ring *r = &w->ring;
    size_t bytes = 0;
    assert_int_equal(r->len, w->high - w->low);
    assert_int_equal(id_compare(&r->floor, &w->ids[w->low]), 0);
    assert_int_equal(id_compare(&r->top, &w->ids[w->high]), 0);
    for (size_t i = 0; i < r->len; i++) {
        const struct ring_entry *e = ring_at(r, i);
        size_t at = w->low + 1 + i;
        assert_int_equal(id_compare(&e->id, &w->ids[at]), 0);
        assert_int_equal(id_compare(&e->prev, &w->ids[at - 1]), 0);
        assert_int_equal(e->message_len, strlen(w->messages[at]));
        assert_memory_equal(e->message, w->messages[at], e->message_len);
        for (unsigned format = 0; format < FRAME_FORMATS; format++)
            if (e->frame != NULL)
                assert_int_equal(frame_has_format(e->frame, (enum frame_format)format),
                                 (e->formats >> format) & 1);
        bytes += sizeof(*e) + e->message_len + (e->frame != NULL ? frame_size(e->frame) : 0);
    }
    assert_int_equal(r->bytes, bytes);
}

/* ---- operations ---- */

static void append(struct world *w) {
    if (w->high == EVENTS)
        return;
    size_t i = ++w->high;
    unsigned formats = (unsigned)below(w, 1u << FRAME_FORMATS);
    struct frame *f = formats != 0 ? encode(w, i, formats) : NULL;
    struct ring_entry *e = ring_append(&w->ring, &w->ids[i], &w->ids[i - 1], w->messages[i],
                                       strlen(w->messages[i]), f, formats);
    assert_int_equal(id_compare(&e->id, &w->ids[i]), 0);
}

static void prepend(struct world *w) {
    if (w->low == 0)
        return;
    size_t i = w->low--;
    ring_prepend(&w->ring, &w->ids[i], &w->ids[i - 1], w->messages[i], strlen(w->messages[i]));
}

static void drop(struct world *w) {
    ring_drop_oldest(&w->ring);
    w->low += w->low < w->high;
}

static void reset(struct world *w) {
    if (below(w, 100) != 0)
        return;
    w->low = w->high = below(w, EVENTS + 1);
    ring_reset(&w->ring, &w->ids[w->low]);
}

/* At an event's id, right below it and right above it. */
static void find(struct world *w) {
    size_t at = below(w, EVENTS + 1), expected = 0;
    struct event_id pos = w->ids[at];
    size_t how = below(w, 3);
    if (how == 1)
        pos.seq++;
    else if (how == 2 && pos.seq > 0)
        pos.seq--;
    for (size_t i = w->low + 1; i <= w->high && id_compare(&w->ids[i], &pos) <= 0; i++)
        expected++;
    assert_int_equal(ring_find(&w->ring, &pos), expected);
}

static struct frame *frame_of(struct ring *r, size_t i, enum frame_format format) {
    struct frame *f;
    assert_int_equal(ring_frame(r, ring_at(r, i), name, NAME_BYTES, format, &f), RELAY_OK);
    return f;
}

static void frame(struct world *w) {
    if (w->ring.len == 0)
        return;
    size_t i = below(w, w->ring.len);
    enum frame_format format = (enum frame_format)below(w, FRAME_FORMATS);
    struct frame *f = frame_of(&w->ring, i, format);
    struct frame *fresh = encode(w, w->low + 1 + i, 1u << format);
    struct frame_slice is = frame_slice(f, format, FRAMING_CHUNK),
                       wanted = frame_slice(fresh, format, FRAMING_CHUNK);
    assert_int_equal(is.len, wanted.len);
    assert_memory_equal(is.bytes, wanted.bytes, is.len);
    frame_unref(fresh);
}

static void test_random_operations(void **state) {
    static void (*const operations[])(struct world *) = {
        append, append, append, prepend, drop, reset, prepend, find, find, frame, frame};
    enum { KINDS = sizeof(operations) / sizeof(operations[0]) };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct world w;
        world_init(&w, (uint64_t)round + 1);
        w.low = w.high = below(&w, EVENTS / 2);
        ring_init(&w.ring, &w.ids[w.low]);
        for (int i = 0; i < OPERATIONS; i++) {
            operations[below(&w, KINDS)](&w);
            if (i % 16 == 0)
                check(&w);
        }
        check(&w);
        world_fini(&w);
    }
}

/* A frame that is in use outlives its entry. */
static void test_a_dropped_entry_leaves_its_frame_to_others(void **state) {
    struct world w;
    (void)state;
    world_init(&w, 1);
    ring_init(&w.ring, &w.ids[0]);
    append(&w);
    struct frame *f = frame_ref(frame_of(&w.ring, 0, FRAME_FORMAT_DATA));
    ring_drop_oldest(&w.ring);
    ring_drop_oldest(&w.ring); /* nothing is left to drop */
    assert_int_equal(w.ring.bytes, 0);
    assert_int_equal(id_compare(&w.ring.floor, &w.ids[1]), 0);
    struct frame_slice s = frame_slice(f, FRAME_FORMAT_DATA, FRAMING_NONE);
    assert_non_null(memmem(s.bytes, s.len, "data: event 1", 13));
    frame_unref(f);
    world_fini(&w);
}

/* What is in a log may be anything that somebody wrote there. */
static void test_a_message_that_does_not_decode_has_no_frame(void **state) {
    static const char *const bad[] = {"sse1 b.1.1-0 0 {", "sse1 b.1.1-0 0 []", "sse1 b.1.1-0 0 "};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world w;
        world_init(&w, 1);
        ring_init(&w.ring, &w.ids[0]);
        ring_append(&w.ring, &w.ids[1], &w.ids[0], bad[i], strlen(bad[i]), NULL, 0);
        size_t bytes = w.ring.bytes;
        struct frame *f;
        assert_int_equal(
            ring_frame(&w.ring, ring_at(&w.ring, 0), name, NAME_BYTES, FRAME_FORMAT_JSON, &f),
            RELAY_EINVAL);
        assert_int_equal(w.ring.bytes, bytes);
        world_fini(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_a_dropped_entry_leaves_its_frame_to_others),
        cmocka_unit_test(test_a_message_that_does_not_decode_has_no_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
