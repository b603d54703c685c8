/* Making tokens; see mint.h. */
#include "relay/auth/mint.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <string.h>

#include "relay/auth/base64url.h"
#include "relay/auth/key_set.h"
#include "relay/base/err.h"

/* The key at hand, and what it signs with. */
struct signer {
    enum algorithm algorithm;
    EVP_PKEY *private;   /* NULL: a secret */
    struct key_set *set; /* holds the secret, or the public half: what a relay would have */
};

static const EVP_MD *hash_of(enum algorithm a) {
    unsigned bits = algorithm_hash_bits(a);
    return bits == 256   ? EVP_sha256()
           : bits == 384 ? EVP_sha384()
           : bits == 512 ? EVP_sha512()
                         : NULL;
}

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *arg) {
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static int read_private(struct signer *s, const char *path, struct buf *why) {
    FILE *file = fopen(path, "r");
    s->private = file != NULL ? PEM_read_PrivateKey(file, NULL, no_passphrase, NULL) : NULL;
    if (file != NULL)
        fclose(file);
    ERR_clear_error();
    if (s->private == NULL) {
        buf_printf(why,
                   "the file %s cannot be read as a private key in PEM without a passphrase; a "
                   "secret goes into --secret-file",
                   path);
        return RELAY_EINVAL;
    }
    EVP_PKEY_up_ref(s->private); /* the key of the set takes over a reference */
    const char *wrong = key_of_public(s->private, &s->set->keys[0]);
    if (wrong == NULL) {
        s->set->len = 1;
        return RELAY_OK;
    }
    buf_printf(why, "the key in the file %s %s", path, wrong);
    return RELAY_EINVAL;
}

static int read_signer(struct signer *s, const char *path, bool is_secret, struct buf *why) {
    *s = (struct signer){.set = key_set_new()};
    int rc = is_secret ? key_set_add_secret_file(s->set, path, why) : read_private(s, path, why);
    if (rc != RELAY_OK)
        return rc;
    while ((s->set->keys[0].algorithms & algorithm_bit(s->algorithm)) == 0)
        s->algorithm++; /* the first one that the key is for */
    return RELAY_OK;
}

static void signer_fini(struct signer *s) {
    EVP_PKEY_free(s->private);
    key_set_unref(s->set);
}

/* ---- signing ---- */

static bool sign_secret(const struct signer *s, const struct buf *data, struct buf *signature) {
    const struct key *k = &s->set->keys[0];
    unsigned len = 0;
    unsigned char *room = (unsigned char *)buf_reserve(signature, EVP_MAX_MD_SIZE);
    bool good = HMAC(hash_of(s->algorithm), k->secret, (int)k->secret_len,
                     (const unsigned char *)data->data, data->len, room, &len) != NULL;
    signature->len += len;
    return good;
}

/* The two numbers of an ECDSA signature, each as long as the curve. */
static bool from_der(EVP_PKEY *key, struct buf *signature) {
    int half = (EVP_PKEY_get_bits(key) + 7) / 8;
    const unsigned char *der = (const unsigned char *)signature->data;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)signature->len);
    if (pair == NULL)
        return false;
    buf_reset(signature);
    unsigned char *room = (unsigned char *)buf_reserve(signature, 2 * (size_t)half);
    bool good = BN_bn2binpad(ECDSA_SIG_get0_r(pair), room, half) == half &&
                BN_bn2binpad(ECDSA_SIG_get0_s(pair), room + half, half) == half;
    signature->len = 2 * (size_t)half;
    ECDSA_SIG_free(pair);
    return good;
}

static bool sign_private(const struct signer *s, const struct buf *data, struct buf *signature) {
    const unsigned char *bytes = (const unsigned char *)data->data;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = 0;
    bool good = ctx != NULL &&
                EVP_DigestSignInit(ctx, NULL, hash_of(s->algorithm), NULL, s->private) == 1 &&
                EVP_DigestSign(ctx, NULL, &len, bytes, data->len) == 1 &&
                EVP_DigestSign(ctx, (unsigned char *)buf_reserve(signature, len), &len, bytes,
                               data->len) == 1;
    signature->len = good ? len : 0;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good && (algorithm_family(s->algorithm) != FAMILY_ES || from_der(s->private, signature));
}

static bool sign(const struct signer *s, const struct buf *data, struct buf *signature) {
    bool good =
        s->private != NULL ? sign_private(s, data, signature) : sign_secret(s, data, signature);
    return good && key_verify(&s->set->keys[0], s->algorithm, data->data, data->len,
                              (const unsigned char *)signature->data, signature->len);
}

static void put_header(const struct signer *s, const char *kid, struct buf *out) {
    struct buf json = BUF_INIT;
    buf_printf(&json, "{\"alg\":\"%s\",\"typ\":\"JWT\"", algorithm_name(s->algorithm));
    if (kid != NULL) {
        buf_puts(&json, ",\"kid\":");
        buf_put_json(&json, kid, strlen(kid));
    }
    buf_putc(&json, '}');
    base64url_encode(json.data, json.len, out);
    buf_fini(&json);
}

int mint_token(const char *path, bool is_secret, const char *kid, const char *json, size_t len,
               struct buf *out, struct buf *why) {
    struct signer s;
    struct buf token = BUF_INIT, signature = BUF_INIT;
    int rc = read_signer(&s, path, is_secret, why);
    if (rc == RELAY_OK) {
        put_header(&s, kid, &token);
        buf_putc(&token, '.');
        base64url_encode(json, len, &token);
        if (!sign(&s, &token, &signature)) {
            buf_printf(why, "the key in the file %s cannot sign", path);
            rc = RELAY_EINVAL;
        }
    }
    if (rc == RELAY_OK) {
        buf_putc(&token, '.');
        base64url_encode(signature.data, signature.len, &token);
        buf_append(out, token.data, token.len);
    }
    signer_fini(&s);
    buf_fini(&token);
    buf_fini(&signature);
    return rc;
}
