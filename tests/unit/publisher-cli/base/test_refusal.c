/* Redis's words, as its versions say them, and what is said beside them. */
#include "publisher-cli/base/refusal.h"

#include <string.h>

#include "tests/unit/unit.h"

static void check(void (*put)(struct buf *, const char *), const char *words, const char *wanted) {
    struct buf out = BUF_INIT;
    put(&out, words);
    buf_puts(&out, ""); /* there is a text */
    assert_string_equal(out.data, wanted);
    buf_fini(&out);
}

static void test_words(void **state) {
    (void)state;
    check(refusal_put_words, "WRONGTYPE Operation script: d4c4, on @user_script:160.",
          "WRONGTYPE Operation");
    check(refusal_put_words,
          "ERR Error running script (call to f_d4c4): @user_script:160: WRONGTYPE Operation",
          "WRONGTYPE Operation");
    check(refusal_put_words,
          "ERR Error running script (call to f_d4c4): @user_script: 160: OOM command not allowed",
          "OOM command not allowed");
    check(refusal_put_words,
          "ERR ACL failure in script: User some has no permissions to run the 'xadd' command "
          "script: d4c4, on @user_script:160.",
          "ERR ACL failure in script: User some has no permissions to run the 'xadd' command");
    check(refusal_put_words, "NOAUTH Authentication required.", "NOAUTH Authentication required");
    check(refusal_put_words, "ERR Error running script (call to f_d4c4): @user_script:1",
          "ERR Error running script (call to f_d4c4): @user_script:1");
    check(refusal_put_words, "ERR a script: of another kind", "ERR a script: of another kind");
    check(refusal_put_words, "", "");
}

static void test_hints(void **state) {
    (void)state;
    static const char password[] = "; a password is given as REDIS_URL=redis://:PASSWORD@HOST, "
                                   "with a user as redis://USER:PASSWORD@HOST, and in it @ : / ? # "
                                   "% as %40 %3A %2F %3F %23 %25";
    check(refusal_put_hint, "NOAUTH Authentication required.", password);
    check(refusal_put_hint, "WRONGPASS invalid username-password pair", password);
    check(refusal_put_hint, "NOPERM this user", "; `sse-publish doctor` names what is missing");
    check(refusal_put_hint, "READONLY You can't", "; `sse-publish doctor` names its master");
    check(refusal_put_hint, "ERR anything", "");
}

static void test_sentences(void **state) {
    (void)state;
    check(refusal_put, "ERR anything.", "ERR anything");
    check(refusal_put, "NOPERM no",
          "the Redis user lacks a permission that publishing needs; nothing was published, see the "
          "list of commands and keys in the documentation (NOPERM no); `sse-publish doctor` names "
          "what is missing");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
