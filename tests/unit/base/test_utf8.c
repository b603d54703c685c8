/* UTF-8 validity, against a reference that is as naive as possible. */
#include "relay/base/utf8.h"

#include <string.h>

#include "tests/unit/unit.h"

/* Write @code as UTF-8 would, were there no rules but the pattern of bits; returns the length. */
static size_t encode(uint32_t code, unsigned char out[4]) {
    static const unsigned char lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (unsigned char)(0x80 | (code & 0x3f));
    out[0] = (unsigned char)(lead[n] | code);
    return n;
}

/* The length of the character at @p, 0 if there is none: read it by its lead byte, write it again
 * and see whether the same bytes come out. */
static size_t reference_step(const unsigned char *p, size_t len) {
    size_t n = *p < 0x80 ? 1 : *p < 0xc0 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf8 ? 4 : 0;
    static const unsigned char mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned char again[4];
    if (n == 0 || n > len)
        return 0;
    uint32_t code = p[0] & mask[n];
    for (size_t i = 1; i < n; i++)
        code = code << 6 | (p[i] & 0x3f);
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return encode(code, again) == n && memcmp(p, again, n) == 0 ? n : 0;
}

static bool reference_valid(const unsigned char *p, size_t len) {
    while (len > 0) {
        size_t n = reference_step(p, len);
        if (n == 0)
            return false;
        p += n;
        len -= n;
    }
    return true;
}

/* cmocka's asserts are calls; this runs millions of times. */
static void check(const unsigned char *p, size_t len) {
    if (utf8_valid((const char *)p, len) != reference_valid(p, len))
        fail_msg("%02x %02x %02x %02x of %zu bytes", p[0], p[1], p[2], p[3], len);
}

static void all_sequences_of_up_to_three_bytes(void **state) {
    (void)state;
    unsigned char s[4] = {0};
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid(NULL, 0));
    for (uint32_t i = 0; i < 1 << 24; i++) {
        s[0] = (unsigned char)(i >> 16);
        s[1] = (unsigned char)(i >> 8);
        s[2] = (unsigned char)i;
        check(s, 3);
        if (s[2] == 0)
            check(s, 2);
        if (s[2] == 0 && s[1] == 0)
            check(s, 1);
    }
}

/* The second byte decides with the first; of the others only their upper two bits count. */
static void all_four_byte_sequences_that_differ(void **state) {
    (void)state;
    static const unsigned char later[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0xbf, 0xc0, 0xc2, 0xff};
    unsigned char s[4];
    for (uint32_t i = 0; i < 1 << 16; i++) {
        s[0] = (unsigned char)(i >> 8);
        s[1] = (unsigned char)i;
        for (size_t j = 0; j < sizeof(later); j++) {
            for (size_t k = 0; k < sizeof(later); k++) {
                s[2] = later[j];
                s[3] = later[k];
                check(s, 4);
            }
        }
    }
}

static void every_code_point(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 0x200000; code++) {
        unsigned char s[4] = {0};
        size_t n = encode(code, s);
        bool allowed = code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
        if (utf8_valid((const char *)s, n) != allowed)
            fail_msg("U+%04X", code);
        for (size_t cut = 1; cut < n; cut++)
            if (utf8_valid((const char *)s, cut))
                fail_msg("U+%04X cut to %zu bytes", code, cut);
    }
}

/* The check reads words of eight: one bad byte must be found wherever it stands. */
static void every_place_in_a_text(void **state) {
    (void)state;
    static const char *const samples[] = {"\xc3\xb6", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                          "\x80",     "\xc3",         "\xed\xa0\x80",
                                          "\xc0\xaf", "\xf0\x9f\x98", "\xff"};
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        size_t n = strlen(samples[i]);
        for (size_t len = n; len < 40; len++) {
            for (size_t at = 0; at + n <= len; at++) {
                unsigned char text[40];
                memset(text, 'x', len);
                memcpy(text + at, samples[i], n);
                assert_int_equal(utf8_valid((char *)text, len), reference_valid(text, len));
            }
        }
    }
}

/* The table that the Unicode standard gives for U+FFFD (chapter 3, "U+FFFD Substitution of Maximal
 * Subparts"), and cut characters. */
static void what_one_replacement_stands_for(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t good, bad;
    } cases[] = {
        {"", 0, 0},
        {"abcdefghi\xff", 9, 1},
        {"\xc0\xaf", 0, 1},
        {"\xe0\x80\xbf", 0, 1},
        {"\xed\xa0\x80", 0, 1},
        {"\xf4\x91\x92\x93", 0, 1},
        {"\x80\xbf", 0, 1},
        {"a\xe1\x80\xe2", 1, 2},
        {"\xe2\xf0", 0, 1},
        {"\xf0\x91\x92\xf1", 0, 3},
        {"\xc3\xb6\xf1\xbf"
         "A",
         2, 2},
        {"\xe2\x82", 0, 2},
        {"\xf0\x9f\x98", 0, 3},
        {"\xe2\x82\xac", 3, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bad = 99, good = utf8_scan(cases[i].text, strlen(cases[i].text), &bad);
        if (good != cases[i].good || bad != cases[i].bad)
            fail_msg("case %zu: %zu good, %zu bad", i, good, bad);
    }
}

static void control_characters_are_c0_del_and_c1(void **state) {
    (void)state;
    assert_false(utf8_has_control("", 0));
    assert_false(utf8_has_control(NULL, 0));
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        unsigned char s[6] = "a";
        size_t n = encode(code, s + 1);
        s[1 + n] = 'b';
        bool control = code < 0x20 || (code >= 0x7f && code <= 0x9f);
        if (utf8_has_control((const char *)s, n + 2) != control)
            fail_msg("U+%04X", code);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sequences_of_up_to_three_bytes),
        cmocka_unit_test(all_four_byte_sequences_that_differ),
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(every_place_in_a_text),
        cmocka_unit_test(what_one_replacement_stands_for),
        cmocka_unit_test(control_characters_are_c0_del_and_c1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
