/* Making tokens, for development and tests: the relay itself makes none.
 *
 * Pure but for reading the key; any thread. */
#ifndef RELAY_AUTH_MINT_H
#define RELAY_AUTH_MINT_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/buf.h"

/* Append the token of the claims @json (a JSON object, taken as it is), signed with the key in the
 * file @path: with @is_secret a secret, as key_set_add_secret_file() takes it, else a private key
 * in PEM without a passphrase. The algorithm is that of the key (HS256, RS256, ES256 to ES512 by
 * the curve, EdDSA), and has to be one that this relay would accept from it. @kid: NULL: none.
 *
 * Returns RELAY_OK, or RELAY_EINVAL and appends a sentence to @why; @out is then unchanged. */
int mint_token(const char *path, bool is_secret, const char *kid, const char *json, size_t len,
               struct buf *out, struct buf *why);

#endif
