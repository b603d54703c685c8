/* Verifying tokens; see token.h. */
#include "relay/auth/token.h"

#include <jansson.h>
#include <string.h>

#include "relay/auth/base64url.h"
#include "relay/base/err.h"

static const char no_token[] = "This is not a JSON Web Token: three texts in base64url with dots "
                               "between.";

static const char no_key[] =
    "This relay has no key for the algorithm (alg) and the name (kid) that "
    "the token gives.";
static const char wrong_key[] = "The signature of the token is not of a key that this relay has.";

/* What the header says. */
struct header {
    json_t *json; /* owns kid */
    int algorithm;
    const char *kid; /* NULL: none */
};

static const char *read_header(const struct buf *bytes, struct header *h) {
    json_error_t ignored;
    h->json = json_loadb(bytes->data, bytes->len, JSON_REJECT_DUPLICATES, &ignored);
    const json_t *alg = json_object_get(h->json, "alg"), *kid = json_object_get(h->json, "kid");
    if (!json_is_object(h->json))
        return "The header of the token is not a JSON object, or names something twice.";
    if (json_object_get(h->json, "crit") != NULL)
        return "The token asks for an extension (crit), and this relay knows none.";
    if (kid != NULL && !json_is_string(kid))
        return "The kid of the token is not a text.";
    h->kid = json_string_value(kid);
    h->algorithm =
        json_is_string(alg) ? algorithm_named(json_string_value(alg), json_string_length(alg)) : -1;
    return h->algorithm >= 0 ? NULL : "The token names no algorithm (alg) that this relay accepts.";
}

/* Whether the token may be signed with @k. */
static bool may_be_of(const struct header *h, const struct key *k) {
    return (k->algorithms & algorithm_bit((enum algorithm)h->algorithm)) != 0 &&
           (h->kid == NULL || k->kid == NULL || strcmp(h->kid, k->kid) == 0);
}

static const char *check_signature(const struct header *h, const struct key_set *set,
                                   const char *text, size_t len, const struct buf *signature) {
    bool tried = false;
    for (size_t i = 0; i < set->len; i++) {
        if (!may_be_of(h, &set->keys[i]))
            continue;
        tried = true;
        if (key_verify(&set->keys[i], (enum algorithm)h->algorithm, text, len,
                       (const unsigned char *)signature->data, signature->len))
            return NULL;
    }
    return tried ? wrong_key : no_key;
}

bool token_lacks_key(const char *wrong) {
    return wrong == no_key || wrong == wrong_key;
}

int token_kid(const char *text, size_t len, struct buf *out) {
    const char *end = len > 0 && len <= TOKEN_MAX_BYTES ? memchr(text, '.', len) : NULL;
    struct buf bytes = BUF_INIT;
    struct header h = {0};
    if (end != NULL && base64url_decode(text, (size_t)(end - text), &bytes) == RELAY_OK)
        read_header(&bytes, &h);
    bool named = h.kid != NULL && *h.kid != '\0';
    if (named)
        buf_puts(out, h.kid);
    json_decref(h.json);
    buf_fini(&bytes);
    return named ? RELAY_OK : RELAY_EINVAL;
}

int token_claims(const char *text, size_t len, struct buf *out) {
    const char *first = len > 0 ? memchr(text, '.', len) : NULL;
    const char *end = text + len;
    const char *second = first != NULL ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    return second != NULL ? base64url_decode(first + 1, (size_t)(second - first - 1), out)
                          : RELAY_EINVAL;
}

const char *token_verify(const char *text, size_t len, const struct key_set *set,
                         const struct grant_rules *rules, uint64_t now_ms, struct grant *out) {
    const char *first = len <= TOKEN_MAX_BYTES && len > 0 ? memchr(text, '.', len) : NULL;
    const char *end = text + len;
    const char *second = first != NULL ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (second == NULL)
        return no_token;
    struct buf head = BUF_INIT, claims = BUF_INIT, signature = BUF_INIT;
    struct header h = {0};
    const char *wrong = NULL;
    if (base64url_decode(text, (size_t)(first - text), &head) != RELAY_OK ||
        base64url_decode(first + 1, (size_t)(second - first - 1), &claims) != RELAY_OK ||
        base64url_decode(second + 1, (size_t)(end - second - 1), &signature) != RELAY_OK)
        wrong = no_token; /* also where there are more dots */
    if (wrong == NULL)
        wrong = read_header(&head, &h);
    if (wrong == NULL)
        wrong = check_signature(&h, set, text, (size_t)(second - text), &signature);
    if (wrong == NULL)
        wrong = grant_read(claims.data, claims.len, rules, now_ms, out);
    json_decref(h.json);
    buf_fini(&head);
    buf_fini(&claims);
    buf_fini(&signature);
    return wrong;
}
