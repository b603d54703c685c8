/* Tokens of RFC 7515, and what claims mean at which time. */
#include "relay/auth/token.h"

#include <stdio.h>
#include <string.h>

#include "relay/auth/base64url.h"
#include "relay/auth/jwk.h"
#include "relay/base/err.h"
#include "tests/unit/unit.h"

static const char rfc_secret[] =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
static const char rfc_token[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
                                "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcG"
                                "xlLmNvbS9pc19yb290Ijp0cnVlfQ."
                                "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
#define RFC_EXP_MS UINT64_C(1300819380000)

static struct key_set *set_of(const char *secret_base64url, const char *kid) {
    struct key_set *set = key_set_new();
    struct buf secret = BUF_INIT;
    assert_int_equal(base64url_decode(secret_base64url, strlen(secret_base64url), &secret),
                     RELAY_OK);
    assert_null(key_of_secret(secret.data, secret.len, &set->keys[0]));
    set->keys[0].kid = kid != NULL ? strdup(kid) : NULL;
    set->len = 1;
    buf_fini(&secret);
    return set;
}

static const struct grant_rules no_rules;

static void a_token_of_the_standard(void **state) {
    (void)state;
    struct key_set *set = set_of(rfc_secret, NULL);
    struct grant g;
    assert_null(token_verify(rfc_token, strlen(rfc_token), set, &no_rules, RFC_EXP_MS - 1, &g));
    assert_int_equal(g.ends_ms, RFC_EXP_MS);
    assert_false(grant_allows(&g, AUTH_SUBSCRIBE, "a", 1)); /* it has no claim of ours */
    grant_fini(&g);
    char *joe[] = {"joe"}, *jane[] = {"jane"};
    struct grant_rules of_joe = {.issuers = joe, .issuers_len = 1};
    struct grant_rules of_jane = {.issuers = jane, .issuers_len = 1};
    assert_null(token_verify(rfc_token, strlen(rfc_token), set, &of_joe, RFC_EXP_MS - 1, &g));
    grant_fini(&g);
    assert_non_null(token_verify(rfc_token, strlen(rfc_token), set, &of_jane, RFC_EXP_MS - 1, &g));
    key_set_unref(set);
}

/* RFC 7515, appendix A.3, and what its key does not fit. */
static void a_token_and_its_key_as_json(void **state) {
    (void)state;
    static const char key[] = "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"one\","
                              "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                              "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
    static const char text[] =
        "eyJhbGciOiJFUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cn"
        "VlfQ."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    struct key_set *set = key_set_new();
    struct buf why = BUF_INIT;
    struct grant g;
    assert_int_equal(jwk_read(key, strlen(key), set->keys, KEY_SET_MAX, &set->len, &why), RELAY_OK);
    assert_int_equal(set->len, 1);
    assert_string_equal(set->keys[0].kid, "one");
    assert_int_equal(set->keys[0].algorithms, algorithm_bit(ALGORITHM_ES256));
    assert_null(token_verify(text, strlen(text), set, &no_rules, RFC_EXP_MS - 1, &g));
    grant_fini(&g);
    assert_non_null(token_verify(rfc_token, strlen(rfc_token), set, &no_rules, RFC_EXP_MS - 1, &g));
    key_set_unref(set);
    buf_fini(&why);
}

/* Each byte of a token counts. */
static void any_other_byte(void **state) {
    (void)state;
    struct key_set *set = set_of(rfc_secret, NULL);
    struct grant g;
    char text[sizeof(rfc_token)];
    for (size_t i = 0; i < sizeof(rfc_token) - 1; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(text, rfc_token, sizeof(text));
            text[i] = (char)(text[i] ^ 1 << bit);
            assert_non_null(
                token_verify(text, strlen(rfc_token), set, &no_rules, RFC_EXP_MS - 1, &g));
        }
    for (size_t len = 0; len < sizeof(rfc_token) - 1; len++)
        assert_non_null(token_verify(rfc_token, len, set, &no_rules, RFC_EXP_MS - 1, &g));
    key_set_unref(set);
}

static void the_leeway(void **state) {
    (void)state;
    struct key_set *set = set_of(rfc_secret, NULL);
    struct grant g;
    size_t len = strlen(rfc_token);
    assert_null(token_verify(rfc_token, len, set, &no_rules, RFC_EXP_MS, &g));
    assert_int_equal(g.ends_ms, RFC_EXP_MS + GRANT_LEEWAY_MS); /* not at once again and again */
    grant_fini(&g);
    assert_null(token_verify(rfc_token, len, set, &no_rules, RFC_EXP_MS + GRANT_LEEWAY_MS - 1, &g));
    grant_fini(&g);
    assert_non_null(token_verify(rfc_token, len, set, &no_rules, RFC_EXP_MS + GRANT_LEEWAY_MS, &g));
    key_set_unref(set);
}

/* A key's name keeps others away, and a token or a key without one fits every name. */
static void the_name_of_a_key(void **state) {
    (void)state;
    struct key_set *named = set_of(rfc_secret, "one");
    struct grant g;
    assert_null(token_verify(rfc_token, strlen(rfc_token), named, &no_rules, 0, &g));
    grant_fini(&g);
    key_set_unref(named);
}

static const char *read_claims(const char *json, uint64_t now_ms, struct grant *g) {
    return grant_read(json, strlen(json), &no_rules, now_ms, g);
}

static void claims(void **state) {
    (void)state;
    struct grant g;
    assert_null(read_claims("{\"sub\":\"7\",\"sse\":{\"subscribe\":[\"u.{sub}.*\",\"news\"],"
                            "\"publish\":[\"out\"],\"more\":1}}",
                            0, &g));
    assert_true(grant_allows(&g, AUTH_SUBSCRIBE, "u.7.a", 5));
    assert_true(grant_allows(&g, AUTH_SUBSCRIBE, "news", 4));
    assert_false(grant_allows(&g, AUTH_SUBSCRIBE, "out", 3));
    assert_true(grant_allows(&g, AUTH_PUBLISH, "out", 3));
    assert_false(grant_allows(&g, AUTH_PUBLISH, "news", 4));
    assert_int_equal(g.ends_ms, 0);
    grant_fini(&g);
    assert_null(read_claims("{\"exp\":1.5}", 1000, &g));
    assert_int_equal(g.ends_ms, 1500);
    grant_fini(&g);
    assert_null(read_claims("{\"nbf\":31}", 1000, &g));
    grant_fini(&g);
    assert_non_null(read_claims("{\"nbf\":31.1}", 1000, &g));
    assert_non_null(read_claims("{\"exp\":-1}", 40000, &g));
    assert_null(read_claims("{\"exp\":1e308}", 40000, &g));
    grant_fini(&g);
}

/* The secret that a key holds is as long as the hash at least. */
static void secrets(void **state) {
    (void)state;
    static const struct {
        size_t len;
        unsigned algorithms;
    } cases[] = {{31, 0}, {32, 1}, {47, 1}, {48, 3}, {63, 3}, {64, 7}, {100, 7}};
    char bytes[100] = {1};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct key k = {0};
        const char *wrong = key_of_secret(bytes, cases[i].len, &k);
        assert_int_equal(wrong == NULL, cases[i].algorithms != 0);
        assert_int_equal(k.algorithms, cases[i].algorithms); /* HS256, HS384, HS512 */
        if (wrong == NULL)
            key_fini(&k);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_of_the_standard),
        cmocka_unit_test(a_token_and_its_key_as_json),
        cmocka_unit_test(any_other_byte),
        cmocka_unit_test(the_leeway),
        cmocka_unit_test(the_name_of_a_key),
        cmocka_unit_test(claims),
        cmocka_unit_test(secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
