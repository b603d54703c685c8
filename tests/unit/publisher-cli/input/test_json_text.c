/* JSON as text: values end where they end, compact forms keep every digit, strings are decoded. */
#include <string.h>

#include "publisher-cli/input/json_text.h"
#include "tests/unit/unit.h"

static void check_compact(const char *text, const char *wanted) {
    struct buf out = BUF_INIT;
    size_t at;
    buf_puts(&out, "before:");
    assert_null(json_text_compact(text, strlen(text), &out, &at));
    assert_string_equal(out.data + 7, wanted);
    buf_fini(&out);
}

static void test_compact(void **state) {
    (void)state;
    check_compact(" 1 ", "1");
    check_compact("-0.10E+5", "-0.10E+5");
    check_compact("123456789012345678901234567890.000", "123456789012345678901234567890.000");
    check_compact("1e999", "1e999"); /* larger than any double, and JSON all the same */
    check_compact("\t\"a b\\u0041\\n\"\r\n", "\"a b\\u0041\\n\"");
    check_compact("[ ]", "[]");
    check_compact("{ }", "{}");
    check_compact("[ 1 , [ ] , { } , null , true , false ]", "[1,[],{},null,true,false]");
    check_compact("{ \"z\" : { \"y\" : [ 1 , 2 ] } , \"a\" : \" \" }",
                  "{\"z\":{\"y\":[1,2]},\"a\":\" \"}");
    check_compact("{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}");
    check_compact("\"\\ud83d\\ude00 \xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00 \xf0\x9f\x98\x80\"");
}

static void check_refused(const char *text, size_t len, const char *why, size_t at) {
    struct buf out = BUF_INIT;
    size_t where;
    buf_puts(&out, "kept");
    const char *wrong = json_text_compact(text, len, &out, &where);
    assert_non_null(wrong);
    assert_string_equal(wrong, why);
    assert_int_equal(where, at);
    assert_string_equal(out.data, "kept");
    buf_fini(&out);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *why;
        size_t at;
    } all[] = {
        {"", "it ends too early", 0},
        {" ", "it ends too early", 1},
        {"'a'", "a value is missing", 0},
        {"nul", "a word that is not true, false or null", 0},
        {"truth", "a word that is not true, false or null", 0},
        {"1 2", "something follows it", 2},
        {"01", "something follows it", 1},
        {"-", "a digit is missing", 1},
        {"1.", "a digit is missing", 2},
        {"1e", "a digit is missing", 2},
        {".5", "a value is missing", 0},
        {"[1,]", "a value is missing", 3},
        {"[1 2]", "a comma or an end is missing", 3},
        {"[1", "it ends too early", 2},
        {"[}", "a value is missing", 1},
        {"{1:2}", "the name of a member is missing", 1},
        {"{\"a\" 1}", "a colon is missing", 5},
        {"{\"a\":1,}", "the name of a member is missing", 7},
        {"{\"a\":1]", "a comma or an end is missing", 6},
        {"\"a", "a string without an end", 2},
        {"\"\\x\"", "an escape that does not exist", 2},
        {"\"\\", "an escape that does not exist", 2},
        {"\"\\u12g4\"", "\\u needs four hexadecimal digits", 5},
        {"\"\\ud800\"", "half of a surrogate pair", 7},
        {"\"\\ud800\\u0041\"", "half of a surrogate pair", 13},
        {"\"\\udc00\"", "half of a surrogate pair", 7},
        {"\"a\nb\"", "a control character within a string", 2},
        {"\"\xff\"", "it is not valid UTF-8", 0},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        check_refused(all[i].text, strlen(all[i].text), all[i].why, all[i].at);
    check_refused("1\0", 2, "something follows it", 1);
    check_refused("\"\0\"", 3, "a control character within a string", 1);
}

static void check_depth(size_t depth, bool is_good) {
    struct buf text = BUF_INIT, out = BUF_INIT;
    size_t at;
    for (size_t i = 0; i < depth; i++)
        buf_puts(&text, i % 2 == 0 ? "[" : "{\"a\":");
    buf_puts(&text, "1");
    for (size_t i = depth; i-- > 0;)
        buf_puts(&text, i % 2 == 0 ? "]" : "}");
    const char *wrong = json_text_compact(text.data, text.len, &out, &at);
    if (is_good)
        assert_null(wrong);
    else
        assert_string_equal(wrong, "nested too deeply");
    buf_fini(&text);
    buf_fini(&out);
}

static void test_depth(void **state) {
    (void)state;
    check_depth(JSON_TEXT_DEPTH_MAX, true);
    check_depth(JSON_TEXT_DEPTH_MAX + 1, false);
}

static void check_string(const char *text, const char *wanted, size_t len) {
    struct json_text t = {.p = text, .end = text + strlen(text)};
    struct json_span span;
    struct buf memory = BUF_INIT;
    assert_true(json_text_string(&t, &span, &memory));
    assert_int_equal(span.len, len);
    assert_memory_equal(span.data, wanted, len);
    assert_true(json_text_is_over(&t));
    if (strchr(text, '\\') == NULL)
        assert_null(memory.data); /* not copied */
    buf_fini(&memory);
}

static void test_strings(void **state) {
    (void)state;
    check_string(" \"\" ", "", 0);
    check_string("\"plain \xc3\xbc\"", "plain \xc3\xbc", 8);
    check_string("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    check_string("\"a\\u0000b\"", "a\0b", 3);
    check_string("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
                 "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11);
    check_string("\"\\ud83d\\uDE00\"", "\xf0\x9f\x98\x80", 4);
    check_string("\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf", 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
