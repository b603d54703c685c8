/* Patterns: what is one, and what fits it; compared with plain recursion. */
#include "relay/auth/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static bool fits(const char *pattern, const char *sub, const char *topic) {
    struct subject subject = {sub, sub != NULL ? strlen(sub) : 0};
    return pattern_matches(pattern, strlen(pattern), &subject, topic, strlen(topic));
}

static void what_fits(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *sub, *topic;
        bool fits;
    } cases[] = {
        {"a", NULL, "a", true},
        {"a", NULL, "ab", false},
        {"ab", NULL, "a", false},
        {"*", NULL, "a", true},
        {"*", NULL, "a.b", false},
        {"*", NULL, ".", false},
        {"**", NULL, "a.b", true},
        {"a.*", NULL, "a.", true},
        {"a*", NULL, "a", true},
        {"a.*.c", NULL, "a.b.c", true},
        {"a.*.c", NULL, "a.b.b.c", false},
        {"a.**.c", NULL, "a.b.b.c", true},
        {"**.c", NULL, "a.c.c", true},
        {"**.c.*", NULL, "a.c.c.d", true},
        {"*a*b*", NULL, "xaxbx", true},
        {"**a*.b", NULL, "a.a.ax.b", true},
        {"**a*.b", NULL, "a.a.b.c", false},
        {"u.{sub}", "7", "u.7", true},
        {"u.{sub}.**", "7", "u.7.a.b", true},
        {"u.{sub}.**", "7", "u.7", false},
        {"u.{sub}", "7", "u.{sub}", false},
        {"u.{sub}", "*", "u.7", false},
        {"u.{sub}", "*", "u.*", true}, /* no topic is called that */
        {"u.{sub}{sub}", "ab", "u.abab", true},
        {"u.*{sub}", "ab", "u.aab", true},
        {"**{sub}*", "a.b", "a.a.bx", true},
        {"u.{sub}", NULL, "u.", false},
        {"u.{sub}", "", "u.", false},
        {"**{sub}**", "", "abc", false},
        {"h\xc3\xa9.*", NULL, "h\xc3\xa9.x", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (fits(cases[i].pattern, cases[i].sub, cases[i].topic) != cases[i].fits)
            fail_msg("%s %s %s", cases[i].pattern, cases[i].sub, cases[i].topic);
}

static void what_is_a_pattern(void **state) {
    (void)state;
    static const char *const good[] = {"a", "*", "**", "a.*.**", "{sub}", "*{sub}**", "a b"};
    static const char *const bad[] = {"",       "{",       "}",    "{SUB}", "{sub", "***",
                                      "{user}", "{{sub}}", "a\nb", "\xff",  "a\x7f"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_null(pattern_check(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(pattern_check(bad[i], strlen(bad[i])));
    char longest[PATTERN_MAX_BYTES + 1];
    memset(longest, 'a', sizeof(longest));
    assert_null(pattern_check(longest, PATTERN_MAX_BYTES));
    assert_non_null(pattern_check(longest, PATTERN_MAX_BYTES + 1));
    assert_non_null(pattern_check("a\0b", 3));
}

/* As the definition has it, whatever it costs. */
static bool fits_by_definition(const char *p, const char *t) {
    if (*p == '\0')
        return *t == '\0';
    if (*p != '*')
        return *p == *t && fits_by_definition(p + 1, t + 1);
    bool any = p[1] == '*';
    for (const char *behind = t;; behind++) {
        if (fits_by_definition(p + (any ? 2 : 1), behind))
            return true;
        if (*behind == '\0' || (!any && *behind == '.'))
            return false;
    }
}

/* All patterns of up to seven letters, among random topics. */
static void as_by_definition(void **state) {
    (void)state;
    static const char letters[] = "ab.*";
    char pattern[8], topic[12];
    srand(7);
    for (unsigned n = 0; n < 1u << 14; n++) {
        unsigned rest = n, len = 0;
        for (; len < 7; len++, rest /= 4)
            pattern[len] = letters[rest % 4];
        pattern[len] = '\0';
        if (pattern_check(pattern, len) != NULL)
            continue;
        for (int k = 0; k < 60; k++) {
            int topic_len = rand() % 11;
            for (int i = 0; i < topic_len; i++)
                topic[i] = letters[rand() % 3];
            topic[topic_len] = '\0';
            if (fits(pattern, NULL, topic) != fits_by_definition(pattern, topic))
                fail_msg("%s %s", pattern, topic);
        }
    }
}

/* What takes a quarter of an hour where each wildcard is tried at each place. */
static void work_is_bounded(void **state) {
    char pattern[121], topic[PATTERN_TOPIC_MAX_BYTES + 1];
    (void)state;
    memset(topic, 'a', sizeof(topic));
    memset(pattern, 'a', sizeof(pattern));
    memcpy(pattern, "**a*", 4);
    pattern[sizeof(pattern) - 1] = 'b';
    alarm(300); /* ends the program */
    for (int i = 0; i < 300 * 1000; i++)
        if (pattern_matches(pattern, sizeof(pattern), NULL, topic, PATTERN_TOPIC_MAX_BYTES))
            fail_msg("no b is in it");
    alarm(0);
    assert_false(pattern_matches("**", 2, NULL, topic, sizeof(topic)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits),
        cmocka_unit_test(what_is_a_pattern),
        cmocka_unit_test(as_by_definition),
        cmocka_unit_test(work_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
