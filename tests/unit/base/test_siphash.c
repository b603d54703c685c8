/* The keyed hash against the reference's own value, and what it is for. */
#include "relay/base/siphash.h"

#include "tests/unit/unit.h"

/* SipHash-1-3 of the 15 bytes 0..14 under the key 0..15, as reference implementations give it. */
static void known_value(void **state) {
    (void)state;
    const struct siphash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    unsigned char bytes[64];
    unsigned seen[64];
    for (unsigned i = 0; i < 64; i++)
        bytes[i] = (unsigned char)i;
    for (unsigned len = 0; len < 64; len++) {
        seen[len] = siphash(&key, bytes, len);
        assert_int_equal(seen[len], siphash(&key, bytes, len));
        for (unsigned other = 0; other < len; other++)
            assert_int_not_equal(seen[len], seen[other]);
    }
    const uint64_t expected = UINT64_C(0xd320d86d2a519956);
    assert_int_equal(seen[15], (unsigned)(expected ^ expected >> 32));
}

static void another_key_is_another_order(void **state) {
    (void)state;
    struct siphash_key a, b;
    siphash_key_init(&a);
    siphash_key_init(&b);
    int same = 0;
    for (int i = 0; i < 1000; i++)
        same += (siphash(&a, &i, sizeof(i)) & 0xff) == (siphash(&b, &i, sizeof(i)) & 0xff);
    assert_in_range(same, 0, 40); /* about 4 by chance */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_value),
        cmocka_unit_test(another_key_is_another_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
