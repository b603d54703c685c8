/* Keys; see key.h. The primitives are OpenSSL's. */
#include "relay/auth/key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"

const char *key_of_secret(const void *bytes, size_t len, struct key *out) {
    if (len < KEY_SECRET_MIN_BYTES)
        return "is shorter than 32 bytes, and could be guessed; `openssl rand -hex 32` makes one";
    struct key k = {.algorithms = algorithm_bit(ALGORITHM_HS256)};
    if (len >= 48)
        k.algorithms |= algorithm_bit(ALGORITHM_HS384);
    if (len >= 64)
        k.algorithms |= algorithm_bit(ALGORITHM_HS512);
    k.secret = mem_zalloc(len);
    memcpy(k.secret, bytes, len);
    k.secret_len = len;
    *out = k;
    return NULL;
}

/* The one algorithm of a curve, or 0. */
static unsigned bits_of_curve(EVP_PKEY *pkey) {
    static const struct {
        const char *curve;
        enum algorithm algorithm;
    } curves[] = {{"prime256v1", ALGORITHM_ES256},
                  {"secp384r1", ALGORITHM_ES384},
                  {"secp521r1", ALGORITHM_ES512}};
    char name[64] = "";
    size_t len;
    if (EVP_PKEY_get_group_name(pkey, name, sizeof(name), &len) != 1)
        return 0;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (strcmp(curves[i].curve, name) == 0)
            return algorithm_bit(curves[i].algorithm);
    return 0;
}

static const char *bits_of_public(EVP_PKEY *pkey, unsigned *bits) {
    *bits = 0;
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA:
        *bits = algorithm_family_bits(FAMILY_RS) | algorithm_family_bits(FAMILY_PS);
        break;
    case EVP_PKEY_RSA_PSS:
        *bits = algorithm_family_bits(FAMILY_PS);
        break;
    case EVP_PKEY_EC:
        *bits = bits_of_curve(pkey);
        return *bits != 0 ? NULL : "is on a curve that is not P-256, P-384 or P-521";
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
        *bits = algorithm_family_bits(FAMILY_EDDSA);
        return NULL;
    default:
        return "is neither an RSA key, nor on an elliptic curve, nor of Ed25519 or Ed448";
    }
    if (EVP_PKEY_get_bits(pkey) > KEY_RSA_MAX_BITS)
        return "is an RSA key of more than 16384 bits";
    return EVP_PKEY_get_bits(pkey) >= KEY_RSA_MIN_BITS ? NULL
                                                       : "is an RSA key of less than 2048 bits";
}

const char *key_of_public(EVP_PKEY *pkey, struct key *out) {
    struct key k = {.public = pkey};
    const char *wrong = bits_of_public(pkey, &k.algorithms);
    if (wrong != NULL)
        EVP_PKEY_free(pkey);
    else
        *out = k;
    return wrong;
}

void key_copy(const struct key *k, struct key *out) {
    *out = *k;
    out->kid = k->kid != NULL ? mem_strndup(k->kid, strlen(k->kid)) : NULL;
    if (k->public != NULL)
        EVP_PKEY_up_ref(k->public);
    if (k->secret == NULL)
        return;
    out->secret = mem_zalloc(k->secret_len);
    memcpy(out->secret, k->secret, k->secret_len);
}

void key_fini(struct key *k) {
    if (k->secret != NULL)
        OPENSSL_cleanse(k->secret, k->secret_len);
    free(k->secret);
    free(k->kid);
    EVP_PKEY_free(k->public);
    *k = (struct key){0};
}

/* ---- verifying ---- */

static const EVP_MD *hash_of(enum algorithm a) {
    switch (algorithm_hash_bits(a)) {
    case 256:
        return EVP_sha256();
    case 384:
        return EVP_sha384();
    case 512:
        return EVP_sha512();
    default:
        return NULL;
    }
}

static bool verify_secret(const struct key *k, enum algorithm a, const void *data, size_t len,
                          const unsigned char *signature, size_t signature_len) {
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    if (HMAC(hash_of(a), k->secret, (int)k->secret_len, data, len, mac, &mac_len) == NULL)
        return false;
    return mac_len == signature_len && CRYPTO_memcmp(mac, signature, mac_len) == 0;
}

/* JOSE writes the two numbers of an ES signature one behind the other, each as long as the curve;
 * OpenSSL wants them in DER. Returns its length, or 0 where @signature is not of that length. */
static size_t es_to_der(EVP_PKEY *pkey, const unsigned char *signature, size_t len,
                        unsigned char **der) {
    size_t half = (size_t)(EVP_PKEY_get_bits(pkey) + 7) / 8;
    if (len != 2 * half)
        return 0;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, (int)half, NULL);
    BIGNUM *s = BN_bin2bn(signature + half, (int)half, NULL);
    int der_len = -1;
    if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1)
        der_len = i2d_ECDSA_SIG(pair, der); /* the pair owns both from here on */
    else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(pair);
    return der_len > 0 ? (size_t)der_len : 0;
}

static bool verify_public(const struct key *k, enum algorithm a, const void *data, size_t len,
                          const unsigned char *signature, size_t signature_len) {
    unsigned char *der = NULL;
    if (algorithm_family(a) == FAMILY_ES) {
        signature_len = es_to_der(k->public, signature, signature_len, &der);
        signature = der;
        if (signature_len == 0)
            return false;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL; /* the context's own */
    bool good = ctx != NULL && EVP_DigestVerifyInit(ctx, &how, hash_of(a), NULL, k->public) == 1;
    if (good && algorithm_family(a) == FAMILY_PS)
        good = EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(how, hash_of(a)) == 1;
    good = good && EVP_DigestVerify(ctx, signature, signature_len, data, len) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ERR_clear_error(); /* a wrong signature leaves lines there, for whoever uses the thread next */
    return good;
}

bool key_verify(const struct key *k, enum algorithm a, const void *data, size_t len,
                const unsigned char *signature, size_t signature_len) {
    if ((k->algorithms & algorithm_bit(a)) == 0)
        return false;
    return k->public == NULL ? verify_secret(k, a, data, len, signature, signature_len)
                             : verify_public(k, a, data, len, signature, signature_len);
}
