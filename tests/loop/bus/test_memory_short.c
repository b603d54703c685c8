/* Memory is short, now and then, while events are published, delivered and replayed: mem_try(),
 * which takes what messages ask for, is the test's own here. Nobody's cursor passes an event in
 * silence: bus_reader.h fails where a number is missing and no reset told so. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "tests/loop/bus/bus_reader.h"
#include "tests/unit/unit.h"

enum { ROUNDS = 10, EACH = 30 };

static atomic_uint one_in, calls, failures; /* one_in: 0: none fails */

void *mem_try(size_t size) {
    unsigned n = atomic_load(&one_in);
    if (n == 0 || atomic_fetch_add(&calls, 1) % n != n - 1)
        return malloc(size);
    atomic_fetch_add(&failures, 1);
    return NULL;
}

static struct event_id publish(struct bus_world *w, const char *topic, unsigned *next) {
    char data[64];
    snprintf(data, sizeof(data), "%s %u", topic, (*next)++);
    return durable_publish(&w->durable, topic, data);
}

/* Publish, and read what comes of it, while one in @n allocations fails. */
static void go(struct bus_world *w, struct bus_reader *live, struct bus_reader *late, unsigned n) {
    unsigned a = 0, b = 0;
    struct event_id old = publish(w, "a", &a);
    atomic_store(&failures, 0);
    for (int round = 0; round < ROUNDS; round++) {
        atomic_store(&one_in, n);
        struct event_id cursor = publish(w, "a", &a);
        unsigned behind_cursor = a;
        for (int i = 0; i < EACH; i++) {
            publish(w, "a", &a);
            publish(w, "b", &b);
        }
        struct cursor_request start = behind(round % 2 ? &cursor : &old);
        reader_start(late, w, 1, "a b", &start, SLICE_BYTES / 2);
        late->next[0] = round % 2 ? behind_cursor : 1;
        late->any[0] = false;
        reader_until_live(late);
        reader_stop(late);
        if (round % 5 == 4) /* a gap that the log fills */
            redis_do(w, "CLIENT KILL TYPE pubsub");
        atomic_store(&one_in, 0);
        publish(w, "b", &b); /* the last of each come, whatever failed before */
        publish(w, "a", &a);
        reader_until(live, 0, a);
        reader_until(live, 1, b);
        for (int t = 0; t < 2; t++)
            assert_int_equal((live->resets[t] | late->resets[t]) & ~(unsigned)RESET_LIMIT, 0);
    }
    assert_true(atomic_load(&failures) > ROUNDS);
}

static void run(const struct bus_world_options *options, unsigned n) {
    struct bus_world w;
    struct bus_reader live, late;
    bus_world_start(&w, options);
    reader_start(&live, &w, 0, "a b", NULL, 0);
    reader_until_live(&live);
    go(&w, &live, &late, n);
    bus_world_stop(&w);
}

static void test_some_memory_is_short(void **state) {
    (void)state;
    run(&bus_plain, 7);
}

static void test_most_memory_is_short(void **state) {
    (void)state;
    run(&bus_plain, 2);
}

static void test_no_memory_for_any_event(void **state) {
    (void)state;
    run(&bus_plain, 1);
}

static void test_memory_is_short_and_rings_are_small(void **state) {
    (void)state;
    run(&(struct bus_world_options){.linger_ms = HOUR_MS,
                                    .ring_topic_bytes = TINY_BYTES,
                                    .ring_node_bytes = 2 * TINY_BYTES},
        3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_some_memory_is_short),
        cmocka_unit_test(test_most_memory_is_short),
        cmocka_unit_test(test_no_memory_for_any_event),
        cmocka_unit_test(test_memory_is_short_and_rings_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
