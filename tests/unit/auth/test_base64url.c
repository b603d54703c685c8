/* Base64 of URLs: each run of bytes has one spelling. */
#include "relay/auth/base64url.h"

#include <string.h>

#include "relay/base/err.h"
#include "tests/unit/unit.h"

static void there_and_back(void **state) {
    (void)state;
    unsigned char bytes[67];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 37 + 250);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct buf text = BUF_INIT, back = BUF_INIT;
        base64url_encode(bytes, len, &text);
        assert_int_equal(text.len, (len * 4 + 2) / 3);
        assert_int_equal(base64url_decode(text.data, text.len, &back), RELAY_OK);
        assert_int_equal(back.len, len);
        assert_memory_equal(back.data, bytes, len);
        buf_fini(&text);
        buf_fini(&back);
    }
}

static void known_texts(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    base64url_encode("\x03\xec\xff\xe0\xc1", 5, &text); /* RFC 7515, appendix C */
    assert_string_equal(text.data, "A-z_4ME");
    buf_fini(&text);
}

static void others_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"A",  "AAAAA", "AA=",  "AA==", "A+",      "A/",
                                      "AB", "AAB",   "AA\n", "A A",  "\xc3\xa9"};
    struct buf out = BUF_INIT;
    buf_puts(&out, "kept");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(base64url_decode(bad[i], strlen(bad[i]), &out), RELAY_EINVAL);
        assert_string_equal(out.data, "kept");
    }
    assert_int_equal(base64url_decode("AA\0A", 4, &out), RELAY_EINVAL);
    buf_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(known_texts),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
