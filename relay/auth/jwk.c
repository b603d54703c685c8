/* Keys as JSON; see jwk.h. */
#include "relay/auth/jwk.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <string.h>

#include "relay/auth/base64url.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

/* What becomes of one key. */
enum outcome {
    TAKEN,
    PASSED_OVER,
    REFUSED /* *wrong says why */
};

static const char malformed[] = "cannot be read: a member is missing, or is not base64url";

static const char *text_of(const json_t *jwk, const char *member) {
    const char *text = json_string_value(json_object_get(jwk, member));
    return text != NULL ? text : "";
}

static bool has(const json_t *jwk, const char *member) {
    return json_object_get(jwk, member) != NULL;
}

/* The bytes of a member in base64url. False: it is missing, empty or something else. */
static bool bytes_of(const json_t *jwk, const char *member, struct buf *out) {
    const char *text = text_of(jwk, member);
    return *text != '\0' && base64url_decode(text, strlen(text), out) == RELAY_OK;
}

/* ---- what OpenSSL makes of it ---- */

static EVP_PKEY *make(const char *type, OSSL_PARAM_BLD *build) {
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    if (ctx != NULL && params != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params); /* NULL stays where it fails */
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return pkey;
}

static EVP_PKEY *make_rsa(const struct buf *n, const struct buf *e) {
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n->data, (int)n->len, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e->data, (int)e->len, NULL);
    EVP_PKEY *pkey = NULL;
    if (build != NULL && modulus != NULL && exponent != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        pkey = make("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return pkey;
}

/* OpenSSL refuses a point that is not on the curve. */
static EVP_PKEY *make_ec(const char *group, const struct buf *point) {
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    if (build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point->data, point->len) ==
            1)
        pkey = make("EC", build);
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

/* ---- by kty ---- */

static enum outcome take_public(EVP_PKEY *pkey, struct key *out, const char **wrong) {
    *wrong = pkey != NULL ? key_of_public(pkey, out) : "is not a key";
    return *wrong == NULL ? TAKEN : REFUSED;
}

static enum outcome read_rsa(const json_t *jwk, struct key *out, const char **wrong) {
    struct buf n = BUF_INIT, e = BUF_INIT;
    enum outcome outcome = REFUSED;
    *wrong = malformed;
    if (bytes_of(jwk, "n", &n) && bytes_of(jwk, "e", &e)) {
        *wrong = "is an RSA key of more than 16384 bits";
        if (n.len <= KEY_RSA_MAX_BITS / 8 && e.len <= n.len)
            outcome = take_public(make_rsa(&n, &e), out, wrong);
    }
    buf_fini(&n);
    buf_fini(&e);
    return outcome;
}

static enum outcome read_ec(const json_t *jwk, struct key *out, const char **wrong) {
    static const struct {
        const char *crv, *group;
        size_t half;
    } curves[] = {
        {"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}, {"P-521", "secp521r1", 66}};
    size_t i = 0;
    while (i < 3 && strcmp(curves[i].crv, text_of(jwk, "crv")) != 0)
        i++;
    if (i == 3)
        return PASSED_OVER;
    struct buf point = BUF_INIT;
    enum outcome outcome = REFUSED;
    *wrong = malformed;
    buf_putc(&point, 4); /* both coordinates follow */
    if (bytes_of(jwk, "x", &point) && point.len == 1 + curves[i].half &&
        bytes_of(jwk, "y", &point) && point.len == 1 + 2 * curves[i].half)
        outcome = take_public(make_ec(curves[i].group, &point), out, wrong);
    buf_fini(&point);
    return outcome;
}

static enum outcome read_okp(const json_t *jwk, struct key *out, const char **wrong) {
    const char *crv = text_of(jwk, "crv");
    int type = strcmp(crv, "Ed25519") == 0 ? EVP_PKEY_ED25519
               : strcmp(crv, "Ed448") == 0 ? EVP_PKEY_ED448
                                           : 0;
    if (type == 0)
        return PASSED_OVER;
    struct buf x = BUF_INIT;
    enum outcome outcome = REFUSED;
    *wrong = malformed;
    if (bytes_of(jwk, "x", &x))
        outcome = take_public(
            EVP_PKEY_new_raw_public_key(type, NULL, (const unsigned char *)x.data, x.len), out,
            wrong);
    ERR_clear_error();
    buf_fini(&x);
    return outcome;
}

static enum outcome read_oct(const json_t *jwk, struct key *out, const char **wrong) {
    struct buf k = BUF_INIT;
    *wrong = bytes_of(jwk, "k", &k) ? key_of_secret(k.data, k.len, out) : malformed;
    if (k.data != NULL)
        OPENSSL_cleanse(k.data, k.cap);
    buf_fini(&k);
    return *wrong == NULL ? TAKEN : REFUSED;
}

/* ---- one key ---- */

/* Whether it is for verifying signatures, by what it says of itself. */
static bool is_for_signatures(const json_t *jwk) {
    const json_t *ops = json_object_get(jwk, "key_ops");
    bool verify = ops == NULL;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *op = json_string_value(json_array_get(ops, i));
        verify = verify || (op != NULL && strcmp(op, "verify") == 0);
    }
    bool named =
        !has(jwk, "alg") || algorithm_named(text_of(jwk, "alg"), strlen(text_of(jwk, "alg"))) >= 0;
    return verify && named && (!has(jwk, "use") || strcmp(text_of(jwk, "use"), "sig") == 0);
}

static enum outcome read_kty(const json_t *jwk, struct key *out, const char **wrong) {
    const char *kty = text_of(jwk, "kty");
    if (strcmp(kty, "oct") == 0)
        return read_oct(jwk, out, wrong);
    if (has(jwk, "d")) {
        *wrong = "is a private key, which the relay must not have: leave out all but the public "
                 "members";
        return REFUSED;
    }
    if (strcmp(kty, "RSA") == 0)
        return read_rsa(jwk, out, wrong);
    if (strcmp(kty, "EC") == 0)
        return read_ec(jwk, out, wrong);
    return strcmp(kty, "OKP") == 0 ? read_okp(jwk, out, wrong) : PASSED_OVER;
}

static enum outcome read_one(const json_t *jwk, struct key *out, const char **wrong) {
    *wrong = "is not a JSON object with a text as its kty";
    if (*text_of(jwk, "kty") == '\0')
        return REFUSED;
    *wrong = "has a kid that is not a text";
    if (has(jwk, "kid") && !json_is_string(json_object_get(jwk, "kid")))
        return REFUSED;
    if (!is_for_signatures(jwk))
        return PASSED_OVER;
    enum outcome outcome = read_kty(jwk, out, wrong);
    if (outcome != TAKEN)
        return outcome;
    if (has(jwk, "alg")) {
        const char *alg = text_of(jwk, "alg");
        out->algorithms &= algorithm_bit((enum algorithm)algorithm_named(alg, strlen(alg)));
    }
    if (out->algorithms == 0) {
        key_fini(out);
        *wrong = "names an alg that is not for a key of its kind, or needs a longer one";
        return REFUSED;
    }
    if (has(jwk, "kid"))
        out->kid = mem_strndup(text_of(jwk, "kid"), strlen(text_of(jwk, "kid")));
    return TAKEN;
}

/* ---- all of them ---- */

static int read_list(const json_t *list, struct key *keys, size_t room, size_t *count,
                     struct buf *why) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *wrong = "is one too many";
        struct key k = {0};
        enum outcome outcome = read_one(json_array_get(list, i), &k, &wrong);
        if (outcome == PASSED_OVER)
            continue;
        if (outcome == TAKEN && *count < room) {
            keys[(*count)++] = k;
            continue;
        }
        if (outcome == TAKEN) {
            key_fini(&k);
            wrong = "is one too many: 64 are allowed in all";
        }
        buf_printf(why, "has a key, number %zu, that %s", i + 1, wrong);
        return RELAY_EINVAL;
    }
    return RELAY_OK;
}

int jwk_read(const char *json, size_t len, struct key *keys, size_t room, size_t *count,
             struct buf *why) {
    json_error_t ignored;
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &ignored);
    json_t *list = json_incref(json_object_get(root, "keys"));
    int rc = RELAY_EINVAL;
    *count = 0;
    if (root != NULL && list == NULL && has(root, "kty")) {
        list = json_array(); /* one key alone */
        json_array_append(list, root);
    }
    if (!json_is_array(list))
        buf_puts(why, "is no valid JSON with a list `keys`, or names a member twice");
    else
        rc = read_list(list, keys, room, count, why);
    if (rc == RELAY_OK && *count == 0) {
        buf_puts(why, "holds no key that signatures could be verified with");
        rc = RELAY_EINVAL;
    }
    while (rc != RELAY_OK && *count > 0)
        key_fini(&keys[--*count]);
    json_decref(list);
    json_decref(root);
    return rc;
}
