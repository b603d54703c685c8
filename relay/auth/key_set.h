/* The keys that tokens may be signed with, read from files or fetched.
 *
 * A set is immutable and shared: each holder has a reference, and whoever reads keys again makes a
 * new set. ref and unref from any thread. */
#ifndef RELAY_AUTH_KEY_SET_H
#define RELAY_AUTH_KEY_SET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "relay/auth/key.h"
#include "relay/base/buf.h"

enum {
    KEY_FILE_MAX_BYTES = 1024 * 1024,
    KEY_SET_MAX = 64 /* a token without `kid` is tried with each that is for its algorithm */
};

struct key_set {
    atomic_uint refs;
    size_t len;
    struct key keys[KEY_SET_MAX];
};

/* An empty set. Never NULL. */
struct key_set *key_set_new(void);
struct key_set *key_set_ref(struct key_set *set);
void key_set_unref(struct key_set *set); /* NULL does no harm */

/* Add the secret that is all of the file @path, but for one line end behind it. What looks like a
 * public key is refused: everybody knows it, and could sign with it.
 *
 * Returns RELAY_OK, or RELAY_EINVAL and appends to @why a sentence that names the file and never
 * its content. */
int key_set_add_secret_file(struct key_set *set, const char *path, struct buf *why);

/* Add each key of the file @path: public keys and certificates in PEM, or JSON Web Keys (jwk.h).
 * Returns likewise. */
int key_set_add_key_file(struct key_set *set, const char *path, struct buf *why);

/* Add each key of @json, a JWKS that an address gave. A secret among them is refused: whoever can
 * ask that address knows it, and could sign with it. Returns likewise, with a sentence that begins
 * "the JWKS". */
int key_set_add_fetched(struct key_set *set, const char *json, size_t len, struct buf *why);

/* Add copies of all keys of @other. Returns likewise. */
int key_set_add_all(struct key_set *set, const struct key_set *other, struct buf *why);

/* Whether a key of it has that name. */
bool key_set_has_kid(const struct key_set *set, const char *kid);

#endif
