/* Batches: what goes together, how much of it, and what becomes of it on the wire. */
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/publish/batch.h"
#include "relay/base/mem.h"
#include "tests/unit/unit.h"

static const struct publish_topic two[] = {{"a", 1}, {"b", 1}};

static struct batch_event event_of(const char *data) {
    return (struct batch_event){
        .event = {.data = data, .data_len = strlen(data)}, .topics = two, .topics_count = 1};
}

static void test_what_goes_together(void **state) {
    (void)state;
    struct batch *b = batch_new();
    struct batch_event e = event_of("x"), keyed = e, live = e, shorter = e, fewer = e;
    keyed.key = "k";
    keyed.key_len = 1;
    live.is_live = true;
    shorter.ttl_ms = 1000;
    fewer.history = 5;
    assert_true(batch_takes(b, &keyed));
    batch_add(b, &e, "sse");
    assert_true(batch_takes(b, &e));
    assert_false(batch_takes(b, &keyed));
    assert_false(batch_takes(b, &live));
    assert_false(batch_takes(b, &shorter));
    assert_false(batch_takes(b, &fewer));
    batch_free(b);
    b = batch_new();
    batch_add(b, &keyed, "sse");
    assert_false(batch_takes(b, &e));
    assert_true(batch_is_full(b));
    batch_free(b);
}

static void test_limits(void **state) {
    (void)state;
    struct batch *b = batch_new();
    struct batch_event e = event_of("x");
    e.topics = two;
    e.topics_count = 2;
    for (int i = 0; i < BATCH_ITEMS_MAX / 2; i++) {
        assert_true(batch_takes(b, &e) && !batch_is_full(b));
        e.place.number = (uint64_t)i + 1;
        batch_add(b, &e, "sse");
    }
    assert_true(batch_is_full(b) && !batch_takes(b, &e));
    assert_int_equal(b->topics_count, 2);
    assert_int_equal(b->events, BATCH_ITEMS_MAX / 2);
    assert_int_equal(b->first.number, 1);
    assert_int_equal(b->last.number, BATCH_ITEMS_MAX / 2);
    batch_free(b);

    char *large = mem_zalloc(BATCH_BYTES_MAX + 2);
    memset(large, 'x', BATCH_BYTES_MAX + 1);
    b = batch_new();
    e = event_of(large);
    assert_true(batch_takes(b, &e)); /* alone, anything fits */
    batch_add(b, &e, "sse");
    assert_true(batch_is_full(b));
    batch_free(b);
    free(large);
}

static void test_live_commands(void **state) {
    (void)state;
    struct batch *b = batch_new();
    struct batch_event e = event_of("one");
    e.is_live = true;
    e.topics_count = 2;
    batch_add(b, &e, "sse");
    e = event_of("two");
    e.is_live = true;
    e.event.name = "n";
    e.event.name_len = 1;
    batch_add(b, &e, "sse");
#define ONE(topic)                                                                                 \
    "*3\r\n$7\r\nPUBLISH\r\n$5\r\nsse:" topic "\r\n$23\r\nsse1 - - {\"data\":\"one\"}\r\n"
#define TWO                                                                                        \
    "*3\r\n$7\r\nPUBLISH\r\n$5\r\nsse:a\r\n$35\r\n"                                                \
    "sse1 - - {\"event\":\"n\",\"data\":\"two\"}\r\n"
    assert_string_equal(b->texts.data, ONE("a") ONE("b") TWO);
    assert_memory_equal(batch_topic_of(b, 1).name, "b", 1);

    /* The first was answered, the second has to be sent again, and so has the third. */
    b->items[0] = b->items[1];
    b->kept = 1;
    b->answered = 2;
    batch_shrink(b);
    assert_int_equal(b->items_count, 2);
    assert_string_equal(b->texts.data, ONE("b") TWO);
    assert_true(b->kept == 0 && b->answered == 0);
    batch_free(b);
}

static bool has(const struct publish_command *c, const char *text) {
    for (int i = 2; i < c->argc; i++)
        if (strcmp(c->argv[i], text) == 0)
            return true;
    return false;
}

static void test_durable_command(void **state) {
    (void)state;
    struct batch *b = batch_new();
    struct batch_event e = event_of("one");
    struct publish_request request = {.prefix = "sse", .run_id = "r", .birth = "b"};
    struct publish_command command;
    e.topics_count = 2;
    e.event.name = "n";
    e.event.name_len = 1;
    e.history = 7;
    batch_add(b, &e, "sse");
    batch_make_command(b, &request, &command);
    assert_int_equal(request.items_count, 0); /* as any publisher sends it */
    assert_true(has(&command, "{\"event\":\"n\",\"data\":\"one\"}") && has(&command, "7"));
    publish_command_fini(&command);

    e.event = (struct event){.data = "two", .data_len = 3, .retry_ms = 500};
    batch_add(b, &e, "sse");
    batch_make_command(b, &request, &command);
    assert_int_equal(request.items_count, 4);
    assert_true(has(&command, "{\"data\":\"two\",\"retry\":500}") && has(&command, "sse:b"));
    publish_command_fini(&command);
    batch_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_goes_together),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_live_commands),
        cmocka_unit_test(test_durable_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
