/* The names of keys, there and back: what SCAN is to match, and which topic a key is of. */
#include <string.h>

#include "publisher-cli/inspect/topics.h"
#include "tests/unit/unit.h"

static void test_match(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *wanted;
    } all[] = {
        {"*", "sse:{*}:log:*"},
        {"orders.*", "sse:{*}:log:orders.*"},
        {"a?[b-c]\\^*", "sse:{*}:log:a\\?\\[b-c\\]\\\\^*"},
        {"", "sse:{*}:log:"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct buf got = BUF_INIT;
        topics_match(&got, "sse", "log", all[i].pattern);
        assert_string_equal(got.data, all[i].wanted);
        buf_fini(&got);
    }
}

static void test_of_key(void **state) {
    (void)state;
    static const struct {
        const char *key, *topic; /* NULL: none */
    } all[] = {
        {"sse:{0}:last:news", "news"},
        {"sse:{63}:last:a:last:b", "a:last:b"},
        {"sse:{}:last:t", "t"},
        {"sse:{0}:last:", NULL},
        {"sse:{0}:last", NULL},
        {"sse:{0}:log:news", NULL},
        {"sse:{0}:once:x}:last:news", NULL},
        {"sse:{0}:last:relay.x", NULL},
        {"sse:{0}:last:a}b", NULL},
        {"sse:{0}:last:\xff", NULL},
        {"sse:{0", NULL},
        {"sse:{", NULL},
        {"ssx:{0}:last:news", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const char *topic = NULL;
        size_t len = 0;
        bool is_one = topics_of_key("sse", "last", all[i].key, strlen(all[i].key), &topic, &len);
        if (is_one != (all[i].topic != NULL))
            fail_msg("%s", all[i].key);
        if (is_one) {
            assert_int_equal(len, strlen(all[i].topic));
            assert_memory_equal(topic, all[i].topic, len);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_of_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
