/* Slices of replays where some events cannot be had: memory is short for the nth time that it is
 * asked for, or from then on, or an event does not decode. Step by step to the end, each event is
 * given, or its topic is told when the cursor passes it. mem_try() is the test's own. */
#include "relay/bus/replay_slice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "relay/bus/core_state.h"
#include "tests/unit/unit.h"

enum { TOPICS = 2, EVENTS = 40, BROKEN = 17, LARGE_BYTES = 1 << 20, LIMIT_BYTES = 300 };

static int fails_at, fails_until, calls; /* those with fails_at <= number < fails_until fail */

void *mem_try(size_t size) {
    int n = calls++;
    return n >= fails_at && n < fails_until ? NULL : malloc(size);
}

static const char *const names[TOPICS] = {"a", "b"};

/* Two topics in their rings; event i is topic i % 2's. */
struct world {
    struct bus bus;
    struct bus_metrics metrics;
    struct bus_topic *topics[TOPICS];
    struct event_id ids[EVENTS];
};

static void add(struct world *w, int i) {
    struct ring *ring = &w->topics[i % TOPICS]->history.ring;
    struct event_id prev = ring->top;
    struct buf message = BUF_INIT;
    w->ids[i] = (struct event_id){.birth = "b", .epoch = 1, .ms = (uint64_t)i + 1};
    buf_puts(&message, "sse1 ");
    id_format(&message, &w->ids[i]);
    buf_putc(&message, ' ');
    if (prev.ms == 0)
        buf_putc(&message, '0');
    else
        id_format(&message, &prev);
    buf_printf(&message, i == BROKEN ? " {\"data\":%d}" : " {\"data\":\"%d\"}", i);
    assert_non_null(ring_append(ring, &w->ids[i], &prev, message.data, message.len, NULL, 0));
    buf_fini(&message);
}

static void world_init(struct world *w) {
    const struct event_id none = {.birth = "b"};
    memset(w, 0, sizeof(*w));
    w->bus.metrics = &w->metrics;
    w->bus.options.ring_topic_bytes = w->bus.options.ring_node_bytes = LARGE_BYTES;
    w->bus.domain.bus = &w->bus;
    for (int i = 0; i < TOPICS; i++) {
        struct bus_topic *t = w->topics[i] = mem_zalloc(sizeof(*t));
        t->domain = &w->bus.domain;
        t->name = mem_strndup(names[i], 1);
        t->name_len = 1;
        ring_init(&t->history.ring, &none);
    }
    fails_at = 1 << 30;
    for (int i = 0; i < EVENTS; i++)
        add(w, i);
}

static void world_fini(struct world *w) {
    for (int i = 0; i < TOPICS; i++) {
        ring_fini(&w->topics[i]->history.ring);
        free(w->topics[i]->name);
        free(w->topics[i]);
    }
}

/* Whether the slice gives event @i. */
static bool gives(const struct slice *s, int i) {
    char block[64];
    int len = snprintf(block, sizeof(block), "data: %d\n\n", i);
    return s->bytes.len > 0 && memmem(s->bytes.data, s->bytes.len, block, (size_t)len) != NULL;
}

/* What became of an event. */
struct fate {
    int given, told; /* how often; */
    unsigned reasons;
};

/* One step from @next on. Returns the first event behind it. */
static int step(struct world *w, int next, struct fate *fates) {
    const struct event_id none = {.birth = "b"};
    struct stretch *stretches = mem_zalloc(TOPICS * sizeof(*stretches));
    struct bus_replay request = {.limit_bytes = LIMIT_BYTES, .format = FRAME_FORMAT_DATA};
    struct slice slice = {.bytes = BUF_INIT, .max = UINT64_MAX};
    for (int i = 0; i < TOPICS; i++)
        stretches[i] = stretch_of(w->topics[i], NULL, next > 0 ? &w->ids[next - 1] : &none);
    slice_gather(stretches, TOPICS, NULL, &request, &slice);
    int end = slice.cut ? (int)slice.last.ms : EVENTS;
    assert_true(end > next); /* or it would never end */
    for (int i = 0; i < EVENTS; i++) {
        bool given = gives(&slice, i), passed = i >= next && i < end;
        assert_true(passed || !given);
        fates[i].given += given;
        fates[i].told += passed && stretches[i % TOPICS].reasons != 0;
        if (passed && !given)
            fates[i].reasons |= stretches[i % TOPICS].reasons;
    }
    stretches_free(stretches, TOPICS);
    buf_fini(&slice.bytes);
    return end;
}

/* To the end. Returns how often memory was asked for. */
static int replay(int from, int until) {
    struct world w;
    struct fate fates[EVENTS] = {{.given = 0}};
    world_init(&w);
    calls = 0;
    fails_at = from;
    fails_until = until;
    for (int next = 0; next < EVENTS;)
        next = step(&w, next, fates);
    for (int i = 0; i < EVENTS; i++) {
        assert_true(fates[i].given == 1 || (fates[i].given == 0 && fates[i].told == 1));
        if (fates[i].given == 0)
            assert_true(fates[i].reasons & (i == BROKEN ? RESET_TRIMMED : RESET_LIMIT));
        if (until - from <= 1 && i != BROKEN && i != 0)
            assert_int_equal(fates[i].given, 1); /* the next step has memory again */
    }
    assert_int_equal(metric_get(&w.metrics.events_malformed), 1);
    int asked = calls;
    world_fini(&w);
    return asked;
}

static void an_event_that_cannot_be_had_is_told(void **state) {
    (void)state;
    int asked = replay(0, 0);
    assert_true(asked >= EVENTS - 1);
    for (int n = 0; n < asked; n++) {
        replay(n, n + 1);
        replay(n, n + 5);
        replay(n, 1 << 30);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_event_that_cannot_be_had_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
