/* One key that tokens are signed with, and the algorithms that it may be used for.
 *
 * A key is bound to its algorithms when it is made: a secret to HS, an RSA key to RS and PS, an
 * elliptic curve to the one ES of its curve, Ed25519 and Ed448 to EdDSA. What a token says of
 * itself can choose among these and nothing else, so a public key is never taken for a secret.
 * Immutable once made, so any number of threads may verify with it. */
#ifndef RELAY_AUTH_KEY_H
#define RELAY_AUTH_KEY_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "relay/auth/algorithm.h"

enum {
    KEY_SECRET_MIN_BYTES = 32, /* RFC 7518, section 3.2: as long as the hash */
    KEY_RSA_MIN_BITS = 2048,
    KEY_RSA_MAX_BITS = 16384 /* OpenSSL's own limit for verifying */
};

struct key {
    unsigned algorithms; /* bits of algorithm_bit() */
    char *kid;           /* its name among several; NULL: none */
    EVP_PKEY *public;    /* NULL: a secret */
    unsigned char *secret;
    size_t secret_len;
};

/* A key of these bytes, for HS256, and for HS384 and HS512 where they are enough.
 *
 * Returns NULL and makes *@out, or returns what is wrong ("is shorter than …"; static storage). */
const char *key_of_secret(const void *bytes, size_t len, struct key *out);

/* A key of a public key, whose reference is taken over, also on failure. Returns likewise. */
const char *key_of_public(EVP_PKEY *pkey, struct key *out);

/* Make *@out the same key, with its own references. */
void key_copy(const struct key *k, struct key *out);

/* Free what it holds; the secret is overwritten. */
void key_fini(struct key *k);

/* Whether @signature is @k's of @data by @a. False, too, where @k is not for @a. Constant time
 * where the key is a secret. */
bool key_verify(const struct key *k, enum algorithm a, const void *data, size_t len,
                const unsigned char *signature, size_t signature_len);

#endif
