/* Keys from files and addresses; see key_set.h. */
#include "relay/auth/key_set.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/auth/jwk.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#define BLANKS " \t\r\n"

struct key_set *key_set_new(void) {
    struct key_set *set = mem_zalloc(sizeof(*set));
    atomic_init(&set->refs, 1);
    return set;
}

struct key_set *key_set_ref(struct key_set *set) {
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void key_set_unref(struct key_set *set) {
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < set->len; i++)
        key_fini(&set->keys[i]);
    free(set);
}

/* ---- files ---- */

/* Zeroed before it is freed: it may hold a secret. */
static void forget(struct buf *content) {
    if (content->data != NULL)
        OPENSSL_cleanse(content->data, content->cap);
    buf_fini(content);
}

/* Read all of @path. Room for all of it is made at once, so that no copy of a secret stays behind
 * in memory that was too small. */
static int read_file(const char *path, struct buf *out, struct buf *why) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *room = buf_reserve(out, KEY_FILE_MAX_BYTES + 1);
    ssize_t n = 1;
    while (fd >= 0 && n > 0 && out->len <= KEY_FILE_MAX_BYTES) {
        n = read(fd, room + out->len, KEY_FILE_MAX_BYTES + 1 - out->len);
        if (n > 0)
            out->len += (size_t)n;
    }
    bool good = fd >= 0 && n >= 0 && out->len <= KEY_FILE_MAX_BYTES;
    if (fd < 0 || n < 0)
        buf_printf(why, "the file of keys %s cannot be read: %s", path, strerror(errno));
    else if (!good)
        buf_printf(why, "the file of keys %s is larger than 1 MiB", path);
    if (fd >= 0)
        close(fd);
    if (good)
        room[out->len] = '\0';
    return good ? RELAY_OK : RELAY_EINVAL;
}

static int refuse(const char *path, const char *wrong, struct buf *why) {
    buf_printf(why, "a key in the file %s %s", path, wrong);
    return RELAY_EINVAL;
}

/* Take @k over, also on failure. */
static int add(struct key_set *set, struct key *k, const char *path, struct buf *why) {
    if (set->len == KEY_SET_MAX) {
        key_fini(k);
        buf_printf(why, "the file of keys %s has one key too many: 64 are allowed in all", path);
        return RELAY_EINVAL;
    }
    set->keys[set->len++] = *k;
    return RELAY_OK;
}

/* ---- secrets ---- */

static bool begins(const struct buf *content, const char *with) {
    return content->len >= strlen(with) && memcmp(content->data, with, strlen(with)) == 0;
}

/* DER: a sequence, whose length is that of the file. */
static bool looks_like_der(const struct buf *content) {
    const unsigned char *bytes = (const unsigned char *)content->data;
    size_t len = content->len;
    return bytes[0] == 0x30 &&
           ((bytes[1] == 0x82 && ((size_t)bytes[2] << 8 | bytes[3]) + 4 == len) ||
            (bytes[1] == 0x81 && (size_t)bytes[2] + 3 == len) ||
            (bytes[1] < 0x80 && (size_t)bytes[1] + 2 == len && bytes[2] == 0x30));
}

static bool looks_public(const struct buf *content) {
    const char *text = content->data;
    return looks_like_der(content) || strstr(text, "-----BEGIN") != NULL ||
           begins(content, "ssh-") || begins(content, "ecdsa-") ||
           text[strspn(text, BLANKS)] == '{';
}

static void drop_line_end(struct buf *content) {
    if (content->len > 0 && content->data[content->len - 1] == '\n')
        content->len--;
    if (content->len > 0 && content->data[content->len - 1] == '\r')
        content->len--;
    content->data[content->len] = '\0';
}

int key_set_add_secret_file(struct key_set *set, const char *path, struct buf *why) {
    struct buf content = BUF_INIT;
    struct key k;
    int rc = read_file(path, &content, why);
    if (rc == RELAY_OK) {
        /* What looks public is looked at as it is in the file, its last line end included. */
        bool public = content.len >= KEY_SECRET_MIN_BYTES && looks_public(&content);
        drop_line_end(&content);
        const char *wrong = key_of_secret(content.data, content.len, &k);
        if (wrong == NULL && public) {
            key_fini(&k);
            wrong = "is no secret but looks like a public key, which everybody may know; "
                    "--token-key takes public keys";
        }
        rc = wrong != NULL ? refuse(path, wrong, why) : add(set, &k, path, why);
    }
    forget(&content);
    return rc;
}

/* ---- PEM ---- */

/* The public key of one block; NULL where it holds none, and *@wrong says what it is. */
static EVP_PKEY *read_block(const char *name, const unsigned char *der, long len,
                            const char **wrong) {
    EVP_PKEY *pkey = NULL;
    *wrong = "cannot be read";
    if (strcmp(name, PEM_STRING_PUBLIC) == 0) {
        pkey = d2i_PUBKEY(NULL, &der, len);
    } else if (strcmp(name, PEM_STRING_RSA_PUBLIC) == 0) {
        pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &der, len);
    } else if (strcmp(name, PEM_STRING_X509) == 0) {
        X509 *certificate = d2i_X509(NULL, &der, len);
        pkey = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
        X509_free(certificate);
    } else if (strstr(name, "PRIVATE KEY") != NULL) {
        *wrong = "is a private key, which the relay must not have: give it the public one, which "
                 "`openssl pkey -in FILE -pubout` prints";
    } else {
        *wrong = "is neither a PUBLIC KEY nor a CERTIFICATE";
    }
    return pkey;
}

static int add_block(struct key_set *set, const char *path, const char *name,
                     const unsigned char *der, long len, struct buf *why) {
    const char *wrong;
    struct key k;
    EVP_PKEY *pkey = read_block(name, der, len, &wrong);
    if (pkey != NULL)
        wrong = key_of_public(pkey, &k);
    return wrong != NULL ? refuse(path, wrong, why) : add(set, &k, path, why);
}

static int add_pem(struct key_set *set, const char *path, const struct buf *content,
                   struct buf *why) {
    size_t before = set->len;
    int rc = RELAY_OK;
    BIO *bio = BIO_new_mem_buf(content->data, (int)content->len);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    ERR_clear_error(); /* what the last block leaves is looked at below */
    while (rc == RELAY_OK && bio != NULL && PEM_read_bio(bio, &name, &header, &der, &len) == 1) {
        rc = add_block(set, path, name, der, len, why);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)len);
    }
    bool broken = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
    BIO_free(bio);
    ERR_clear_error();
    if (rc == RELAY_OK && broken)
        rc = refuse(path, "cannot be read", why);
    if (rc == RELAY_OK && set->len == before) {
        buf_printf(
            why,
            "the file of keys %s holds neither a public key in PEM (a block that begins with "
            "-----BEGIN PUBLIC KEY-----) nor JSON Web Keys",
            path);
        rc = RELAY_EINVAL;
    }
    return rc;
}

static int add_json(struct key_set *set, const char *path, const struct buf *content,
                    struct buf *why) {
    struct buf wrong = BUF_INIT;
    size_t count;
    int rc = jwk_read(content->data, content->len, set->keys + set->len, KEY_SET_MAX - set->len,
                      &count, &wrong);
    if (rc == RELAY_OK)
        set->len += count;
    else
        buf_printf(why, "the file of keys %s %s", path, wrong.data);
    buf_fini(&wrong);
    return rc;
}

int key_set_add_key_file(struct key_set *set, const char *path, struct buf *why) {
    struct buf content = BUF_INIT;
    int rc = read_file(path, &content, why);
    if (rc == RELAY_OK)
        rc = content.data[strspn(content.data, BLANKS)] == '{' ? add_json(set, path, &content, why)
                                                               : add_pem(set, path, &content, why);
    forget(&content);
    return rc;
}

/* ---- from elsewhere ---- */

int key_set_add_fetched(struct key_set *set, const char *json, size_t len, struct buf *why) {
    struct buf wrong = BUF_INIT;
    size_t count;
    int rc = jwk_read(json, len, set->keys + set->len, KEY_SET_MAX - set->len, &count, &wrong);
    if (rc != RELAY_OK)
        buf_printf(why, "the JWKS %s", wrong.data);
    else
        set->len += count;
    for (size_t i = 0; rc == RELAY_OK && i < set->len; i++)
        if (set->keys[i].public == NULL) {
            buf_puts(why, "the JWKS holds a secret (kty oct), which is none where an address "
                          "gives it to everybody: --token-secret-file takes one");
            rc = RELAY_EINVAL;
        }
    buf_fini(&wrong);
    return rc;
}

int key_set_add_all(struct key_set *set, const struct key_set *other, struct buf *why) {
    if (set->len + other->len > KEY_SET_MAX) {
        buf_printf(why, "files and the JWKS hold %zu keys together: 64 are allowed in all",
                   set->len + other->len);
        return RELAY_EINVAL;
    }
    for (size_t i = 0; i < other->len; i++)
        key_copy(&other->keys[i], &set->keys[set->len++]);
    return RELAY_OK;
}

bool key_set_has_kid(const struct key_set *set, const char *kid) {
    for (size_t i = 0; i < set->len; i++)
        if (set->keys[i].kid != NULL && strcmp(set->keys[i].kid, kid) == 0)
            return true;
    return false;
}
