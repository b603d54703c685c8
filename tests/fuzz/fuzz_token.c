/* Tokens: the input as a token; and its first line as the header and the rest as the claims of one
 * that is signed well, so that what stands behind the signature is reached. None is accepted but
 * what is signed by an algorithm of the key, and what is told of the others is fit for a header. */
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "relay/auth/base64url.h"
#include "relay/auth/token.h"
#include "relay/base/err.h"
#include "tests/fuzz/fuzz.h"

static const char secret[] = "a secret of sixty-four bytes or more, so that all three hashes do";

#define NOW_MS UINT64_C(1700000000000)

static void must(bool condition) {
    if (!condition)
        abort();
}

static const char *verify(const char *text, size_t len, const struct key_set *set,
                          struct grant *out) {
    static const struct grant_rules no_rules;
    const char *wrong = token_verify(text, len, set, &no_rules, NOW_MS, out);
    for (const char *p = wrong; p != NULL && *p != '\0'; p++)
        must(*p >= ' ' && *p <= '~' && *p != '"' && *p != '\\');
    return wrong;
}

/* What is allowed is what patterns say. */
static void check(const struct grant *g) {
    must(g->ends_ms == 0 || g->ends_ms > NOW_MS);
    for (unsigned a = 0; a < AUTH_ACTIONS; a++)
        for (size_t i = 0; i < g->patterns[a].len; i++) {
            const char *pattern = g->patterns[a].items[i].text;
            size_t len = g->patterns[a].items[i].len;
            must(pattern_check(pattern, len) == NULL);
            if (strcspn(pattern, "*{") == len && len <= PATTERN_TOPIC_MAX_BYTES)
                must(grant_allows(g, a, pattern, len));
        }
}

static bool names_one_of_ours(const char *header, size_t len) {
    json_t *json = json_loadb(header, len, 0, NULL);
    const char *alg = json_string_value(json_object_get(json, "alg"));
    bool ours = alg != NULL && (strcmp(alg, "HS256") == 0 || strcmp(alg, "HS384") == 0 ||
                                strcmp(alg, "HS512") == 0);
    json_decref(json);
    return ours;
}

static void sign(struct buf *token, const EVP_MD *hash) {
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    must(HMAC(hash, secret, sizeof(secret) - 1, (unsigned char *)token->data, token->len, mac,
              &len) != NULL);
    buf_putc(token, '.');
    base64url_encode(mac, len, token);
}

static void signed_well(const char *header, size_t header_len, const char *claims,
                        size_t claims_len, const struct key_set *set) {
    const EVP_MD *const hashes[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    unsigned accepted = 0;
    for (size_t i = 0; i < 3; i++) {
        struct buf token = BUF_INIT;
        struct grant g;
        base64url_encode(header, header_len, &token);
        buf_putc(&token, '.');
        base64url_encode(claims, claims_len, &token);
        sign(&token, hashes[i]);
        if (verify(token.data, token.len, set, &g) == NULL) {
            accepted++;
            check(&g);
            grant_fini(&g);
            char *last_but_one = &token.data[token.len - 2];
            *last_but_one = *last_but_one == 'A' ? 'B' : 'A';
            must(verify(token.data, token.len, set, &g) != NULL);
        }
        buf_fini(&token);
    }
    must(accepted == 0 || (accepted == 1 && names_one_of_ours(header, header_len)));
}

static void decoded(const char *text, size_t len) {
    struct buf bytes = BUF_INIT, again = BUF_INIT;
    if (base64url_decode(text, len, &bytes) == RELAY_OK) {
        base64url_encode(bytes.data, bytes.len, &again);
        must(again.len == len && (len == 0 || memcmp(again.data, text, len) == 0));
    }
    buf_fini(&bytes);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *end = size > 0 ? memchr(text, '\n', size) : NULL;
    struct key_set *set = key_set_new();
    struct grant g;
    must(key_of_secret(secret, sizeof(secret) - 1, &set->keys[0]) == NULL);
    set->len = 1;
    must(verify(text, size, set, &g) != NULL); /* nobody guesses a signature */
    if (end != NULL)
        signed_well(text, (size_t)(end - text), end + 1, size - (size_t)(end - text) - 1, set);
    decoded(text, size);
    key_set_unref(set);
    return 0;
}
