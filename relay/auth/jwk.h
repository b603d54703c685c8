/* Keys as JSON: one JWK, or a set of them (RFC 7517, RFC 7518, RFC 8037).
 *
 * Pure; any thread. */
#ifndef RELAY_AUTH_JWK_H
#define RELAY_AUTH_JWK_H

#include <stddef.h>

#include "relay/auth/key.h"
#include "relay/base/buf.h"

/* Read the keys of @json into @keys, up to @room of them; *@len is how many there are. `alg` binds
 * a key to that algorithm alone.
 *
 * Passed over, as the standard asks for: keys for something else (`use`, `key_ops`, an `alg` that
 * is not for signatures) and of an unknown `kty` or `crv`. Anything else that is not as it should
 * be is an error, private keys among it: a set is taken whole or not at all.
 *
 * Returns RELAY_OK, or RELAY_EINVAL: nothing is to be freed, and @why gets a sentence to be put
 * behind the name of the file ("has …"), in which a key is named by its position. */
int jwk_read(const char *json, size_t len, struct key *keys, size_t room, size_t *count,
             struct buf *why);

#endif
