/* A client's position: what it covers, how it moves, what an `id:` line says. */
#include "relay/wire/cursor.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct event_id id(const char *birth, uint64_t epoch, uint64_t ms, uint64_t seq) {
    struct event_id out = {.epoch = epoch, .ms = ms, .seq = seq};
    strcpy(out.birth, birth);
    return out;
}

static void none_covers_nothing(void **state) {
    (void)state;
    const struct cursor none = {.at.ms = 0};
    const struct event_id first = id("b", 1, 1, 0);
    assert_false(cursor_is_set(&none));
    assert_false(cursor_covers(&none, &first));
}

static void it_covers_what_is_at_or_below_it(void **state) {
    (void)state;
    const struct cursor c = {.at = id("b", 2, 50, 3)};
    const struct event_id covered[] = {id("b", 2, 50, 3), id("b", 2, 50, 2), id("b", 2, 49, 9),
                                       id("b", 1, 99, 9), id("b", 0, 0, 0)};
    const struct event_id others[] = {id("b", 2, 50, 4), id("b", 2, 51, 0), id("b", 3, 0, 0)};
    for (size_t i = 0; i < sizeof(covered) / sizeof(covered[0]); i++)
        assert_true(cursor_covers(&c, &covered[i]));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(cursor_covers(&c, &others[i]));
}

/* Ids of two births compare with nothing: an event of the other was not sent, wherever it stands.
 */
static void another_birth_is_not_covered(void **state) {
    (void)state;
    struct cursor c = {.at = id("b", 2, 50, 3)};
    const struct event_id other = id("a", 1, 1, 0);
    assert_false(cursor_covers(&c, &other));
    cursor_advance(&c, &other);
    assert_true(cursor_covers(&c, &other));
}

static void its_text_is_that_of_the_id(void **state) {
    (void)state;
    struct cursor c = {.at = id("b", 1, 35, 0)};
    const struct event_id next = id("b", 1, 36, 7);
    struct buf text = BUF_INIT;
    cursor_advance(&c, &next);
    cursor_format(&text, &c);
    assert_string_equal(text.data, "b.1.10-7");
    buf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_covers_nothing),
        cmocka_unit_test(it_covers_what_is_at_or_below_it),
        cmocka_unit_test(another_birth_is_not_covered),
        cmocka_unit_test(its_text_is_that_of_the_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
