/* Session tickets; see tls_tickets.h. */
#include "relay/http/tls_tickets.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"

_Static_assert(sizeof(struct tls_ticket_key) == 80, "a key is read as the file has it");

void tls_ticket_key_make_up(struct tls_ticket_key *key) {
    if (RAND_bytes((unsigned char *)key, sizeof(*key)) != 1)
        abort();
}

void tls_tickets_add(struct tls_tickets *t, const struct tls_ticket_key *key) {
    struct tls_ticket_key *keys = mem_zalloc((t->len + 1) * sizeof(*keys));
    if (t->len > 0)
        memcpy(keys, t->keys, t->len * sizeof(*keys));
    keys[t->len] = *key;
    size_t len = t->len + 1;
    tls_tickets_fini(t); /* not realloc(), which leaves copies behind */
    *t = (struct tls_tickets){keys, len};
}

static int read_key(struct tls_tickets *t, const char *path, struct buf *why) {
    unsigned char bytes[sizeof(struct tls_ticket_key) + 1];
    struct tls_ticket_key key;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        buf_printf(why, "the ticket key %s cannot be read: %s", path, strerror(errno));
        return RELAY_EINVAL;
    }
    setvbuf(file, NULL, _IONBF, 0);
    size_t len = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    if (len == sizeof(key)) {
        memcpy(&key, bytes, sizeof(key));
        tls_tickets_add(t, &key);
    } else {
        buf_printf(why,
                   "the ticket key %s does not hold 80 bytes: openssl rand -out %s 80 makes one",
                   path, path);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    OPENSSL_cleanse(&key, sizeof(key));
    return len == sizeof(key) ? RELAY_OK : RELAY_EINVAL;
}

int tls_tickets_read(struct tls_tickets *t, char *const *files, size_t len, struct buf *why) {
    int rc = RELAY_OK;
    for (size_t i = 0; rc == RELAY_OK && i < len; i++)
        rc = read_key(t, files[i], why);
    return rc;
}

void tls_tickets_fini(struct tls_tickets *t) {
    if (t->keys != NULL)
        OPENSSL_cleanse(t->keys, t->len * sizeof(*t->keys));
    free(t->keys);
    *t = (struct tls_tickets){NULL, 0};
}

static bool set_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *key) {
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, sizeof(key->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* Returns as OpenSSL wants it: -1 an error, 0 a ticket of a key that we do not have (the handshake
 * is then a whole one), 1 well, 2 well, but it should get a ticket of the first key. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt) {
    struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct tls_ticket_key *key = &t->keys[0];
    if (encrypt) {
        memcpy(name, key->name, sizeof(key->name));
        return RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
                       EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) == 1 &&
                       set_mac(mac, key)
                   ? 1
                   : -1;
    }
    size_t i = 0;
    while (i < t->len && CRYPTO_memcmp(t->keys[i].name, name, sizeof(key->name)) != 0)
        i++;
    if (i == t->len)
        return 0;
    key = &t->keys[i];
    if (!set_mac(mac, key) ||
        EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) != 1)
        return -1;
    return i == 0 ? 1 : 2;
}

void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx) {
    SSL_CTX_set_app_data(ctx, t);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}
