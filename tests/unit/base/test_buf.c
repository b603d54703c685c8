/* The growable array of bytes. */
#include "relay/base/buf.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static void is_empty_and_safe_before_the_first_byte(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    buf_reset(&b);
    buf_consume(&b, 0);
    buf_append(&b, NULL, 0);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_fini(&b);
    assert_null(b.data);
    buf_fini(&b);
}

static void keeps_a_nul_behind_its_last_byte_while_it_grows(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b);
    for (size_t i = 0; i < 3000; i++) {
        buf_putc(&b, (char)('a' + i % 26));
        assert_int_equal(b.len, i + 1);
        assert_true(b.cap > b.len);
        assert_int_equal(b.data[b.len], '\0');
    }
    for (size_t i = 0; i < 3000; i++)
        assert_int_equal(b.data[i], 'a' + i % 26);
    buf_fini(&b);
}

static void appends_bytes_texts_and_formats(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    char line[1001];
    memset(line, 'y', 1000);
    line[1000] = '\0';
    buf_append(&b, "a\0b", 3);
    buf_puts(&b, "cd");
    buf_printf(&b, "%d-%s", 42, line);
    assert_int_equal(b.len, 3 + 2 + 3 + 1000);
    assert_memory_equal(b.data, "a\0bcd42-", 8);
    assert_string_equal(b.data + 8, line);
    buf_fini(&b);
}

static void reserves_room_that_stays_where_it_is(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    buf_puts(&b, "head");
    char *room = buf_reserve(&b, 5000);
    memset(room, 'z', 5000);
    assert_ptr_equal(room, b.data + 4);
    assert_int_equal(b.len, 4);
    assert_true(b.cap > 5004);
    buf_fini(&b);
}

static void forgets_bytes_and_keeps_memory(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    buf_puts(&b, "something");
    char *data = b.data;
    buf_reset(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_puts(&b, "else");
    assert_ptr_equal(b.data, data);
    buf_fini(&b);
}

static void consumes_from_the_front(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    buf_puts(&b, "abcdef");
    buf_consume(&b, 0);
    assert_string_equal(b.data, "abcdef");
    buf_consume(&b, 2);
    assert_string_equal(b.data, "cdef");
    assert_int_equal(b.len, 4);
    buf_consume(&b, 4);
    assert_string_equal(b.data, "");
    assert_int_equal(b.len, 0);
    buf_fini(&b);
}

static void hands_its_bytes_over(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    char *nothing = buf_detach(&b);
    assert_string_equal(nothing, "");
    free(nothing);
    buf_puts(&b, "yours");
    char *text = buf_detach(&b);
    assert_string_equal(text, "yours");
    assert_null(b.data);
    assert_int_equal(b.len + b.cap, 0);
    free(text);
}

static void writes_json_strings_that_a_library_reads_back(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    char all[128 + 6];
    for (int i = 0; i < 128; i++)
        all[i] = (char)i;
    memcpy(all + 128, "\xc2\x9b\xf0\x9f\x98\x80", 6);
    buf_put_json(&b, all, sizeof(all));
    for (size_t i = 0; i < b.len; i++)
        assert_true((unsigned char)b.data[i] >= ' ' && b.data[i] != 0x7f);
    json_t *value = json_loadb(b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(value);
    assert_int_equal(json_string_length(value), sizeof(all));
    assert_memory_equal(json_string_value(value), all, sizeof(all));
    json_decref(value);
    buf_fini(&b);
}

static void writes_short_json_escapes_and_nothing_for_nothing(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    buf_put_json(&b, NULL, 0);
    buf_put_json(&b, "a\"b\\c\n\r\t\x01", 9);
    buf_put_json(&b, "only the first", 4);
    assert_string_equal(b.data, "\"\"\"a\\\"b\\\\c\\n\\r\\t\\u0001\"\"only\"");
    buf_fini(&b);
}

static void escapes_what_others_take_for_the_end_of_a_line(void **state) {
    (void)state;
    static const char text[] = "a\xc2\x85"
                               "b\xe2\x80\xa8\xe2\x80\xa9\n\xe2\x80\xaa\xc2\x86";
    struct buf b = BUF_INIT;
    buf_put_json_line(&b, text, strlen(text));
    assert_string_equal(b.data, "\"a\\u0085b\\u2028\\u2029\\n\xe2\x80\xaa\xc2\x86\"");
    json_t *value = json_loadb(b.data, b.len, JSON_DECODE_ANY, NULL);
    assert_string_equal(json_string_value(value), text);
    json_decref(value);
    buf_reset(&b);
    buf_put_json(&b, text, 3);          /* and not where nobody asked for it */
    buf_put_json_line(&b, text + 4, 2); /* cut: no UTF-8, but nothing behind it is read */
    buf_put_json_line(&b, NULL, 0);
    assert_string_equal(b.data, "\"a\xc2\x85\"\"\xe2\x80\"\"\"");
    buf_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_empty_and_safe_before_the_first_byte),
        cmocka_unit_test(keeps_a_nul_behind_its_last_byte_while_it_grows),
        cmocka_unit_test(appends_bytes_texts_and_formats),
        cmocka_unit_test(reserves_room_that_stays_where_it_is),
        cmocka_unit_test(forgets_bytes_and_keeps_memory),
        cmocka_unit_test(consumes_from_the_front),
        cmocka_unit_test(hands_its_bytes_over),
        cmocka_unit_test(writes_json_strings_that_a_library_reads_back),
        cmocka_unit_test(writes_short_json_escapes_and_nothing_for_nothing),
        cmocka_unit_test(escapes_what_others_take_for_the_end_of_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
