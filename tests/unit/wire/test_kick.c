/* Kicks as text: what is written is read back, and nothing else is read. */
#include "relay/wire/kick.h"

#include <string.h>

#include "relay/base/err.h"
#include "tests/unit/unit.h"

static void what_is_written_is_read(void **state) {
    (void)state;
    static const struct {
        struct kick kick;
        const char *text;
    } all[] = {{{KICK_SUBJECT, false, 0, "alice", 5, "answer-0af"}, "answer-0af subject 0 alice"},
               {{KICK_TOKEN, false, 600000, "a b ", 4, "answer-x"}, "answer-x token 600000 a b "},
               {{KICK_TOPIC, true, 0, "orders.42", 9, "answer-x"}, "answer-x topic - orders.42"},
               {{KICK_SUBJECT, false, KICK_BAR_MAX_MS, "-", 1, "answer-x"},
                "answer-x subject 31536000000 -"}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const struct kick *k = &all[i].kick;
        struct buf text = BUF_INIT;
        struct kick read;
        kick_put(&text, k);
        assert_string_equal(text.data, all[i].text);
        assert_true(kick_read(text.data, text.len, &read));
        assert_int_equal(read.by, k->by);
        assert_int_equal(read.is_lift, k->is_lift);
        assert_int_equal(read.bar_ms, k->bar_ms);
        assert_int_equal(read.name_len, k->name_len);
        assert_memory_equal(read.name, k->name, k->name_len);
        assert_string_equal(read.answer_to, k->answer_to);
        buf_fini(&text);
    }
}

static void what_is_no_kick(void **state) {
    (void)state;
    static const char *const all[] = {"",
                                      "answer-x",
                                      "answer-x subject",
                                      "answer-x subject 0",
                                      "answer-x subject 0 ",
                                      "answer-x  0 alice",
                                      "answer-x subject  alice",
                                      "answer-x subjects 0 alice",
                                      "answer-x Subject 0 alice",
                                      "answer-x subject 00 alice",
                                      "answer-x subject 01 alice",
                                      "answer-x subject -1 alice",
                                      "answer-x subject -- alice",
                                      "answer-x subject 0x1 alice",
                                      "answer-x subject 31536000001 alice",
                                      "answer-x subject 1000000000000000000 alice",
                                      "answer-x topic 0 a*",
                                      "answer-x topic 0 relay.a",
                                      "answer-x subject 0 a\x01",
                                      "answer-x subject 0 \xc3",
                                      "answer- subject 0 alice",
                                      "count subject 0 alice"};
    char longest[300] = "answer-x token 0 ";
    struct kick k;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (kick_read(all[i], strlen(all[i]), &k))
            fail_msg("read: %s", all[i]);
    size_t head = strlen(longest);
    memset(longest + head, 'x', sizeof(longest) - head);
    assert_true(kick_read(longest, head + KICK_NAME_MAX_BYTES, &k));
    assert_false(kick_read(longest, head + KICK_NAME_MAX_BYTES + 1, &k));
    assert_false(kick_read("answer-x subject 0 a\0b", 22, &k));
}

static void a_bar(void **state) {
    (void)state;
    struct kick_bar b = {KICK_TOKEN, "a b", 3}, read;
    struct buf text = BUF_INIT;
    kick_bar_put(&text, &b);
    assert_string_equal(text.data, "token a b");
    assert_true(kick_bar_read(text.data, text.len, &read));
    assert_int_equal(read.by, KICK_TOKEN);
    assert_int_equal(read.name_len, 3);
    assert_memory_equal(read.name, "a b", 3);
    buf_fini(&text);
    assert_false(kick_bar_read("", 0, &read));
    assert_false(kick_bar_read("token", 5, &read));
    assert_false(kick_bar_read("token ", 6, &read));
    assert_false(kick_bar_read("topic a*", 8, &read));
    assert_false(kick_bar_read("nobody a", 8, &read));
}

static void the_answer_of_the_script(void **state) {
    (void)state;
    static const char *const bad[] = {"",       "1",       "1 0",    "1 0 ",   "1 0 2",
                                      "- 0 -",  "x 0 0",   "1 x 0",  "1 -1 0", "1  0",
                                      "1 0 0 ", "1.5 0 0", "-1 0 0", "1 0 00"};
    struct kick_answer a;
    assert_int_equal(kick_answer_parse("2 1796077200000 0", 17, &a), RELAY_OK);
    assert_true(a.announced && a.relays == 2 && a.ends_ms == 1796077200000 && !a.found);
    assert_int_equal(kick_answer_parse("- 0 1", 5, &a), RELAY_OK);
    assert_true(!a.announced && a.relays == 0 && a.ends_ms == 0 && a.found);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (kick_answer_parse(bad[i], strlen(bad[i]), &a) == RELAY_OK)
            fail_msg("read: %s", bad[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_no_kick),
        cmocka_unit_test(a_bar),
        cmocka_unit_test(the_answer_of_the_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
