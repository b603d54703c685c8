/* Verifying a JSON Web Token in its compact form (RFC 7515, RFC 7519).
 *
 * Pure; any thread. */
#ifndef RELAY_AUTH_TOKEN_H
#define RELAY_AUTH_TOKEN_H

#include <stdbool.h>

#include "relay/auth/grant.h"
#include "relay/auth/key_set.h"

enum { TOKEN_MAX_BYTES = 16 * 1024 };

/* Verify the token @text with the keys of @set at the time @now_ms (since 1970), and read what it
 * allows.
 *
 * The keys that are tried are those for its `alg` and, where both the token and the key have one,
 * of its `kid`. A `crit` is refused, whatever it asks for; `jwk`, `jku`, `x5c` and `x5u`, by which
 * a token would bring its own key, are not looked at.
 *
 * Returns NULL and fills *@out (end with grant_fini()), or returns what is wrong, as grant_read()
 * does. It never holds a part of the token. */
const char *token_verify(const char *text, size_t len, const struct key_set *set,
                         const struct grant_rules *rules, uint64_t now_ms, struct grant *out);

/* Whether @wrong, which token_verify() returned, says that no key of the set has signed the token.
 */
bool token_lacks_key(const char *wrong);

/* Append the name (kid) of the key that @text says it is signed with. Returns RELAY_OK, or
 * RELAY_EINVAL where it names none. */
int token_kid(const char *text, size_t len, struct buf *out);

/* Append the claims of the token @text, as JSON, without looking at its signature: for whoever
 * wants to see what a token says. Returns RELAY_OK, or RELAY_EINVAL where it is none. */
int token_claims(const char *text, size_t len, struct buf *out);

#endif
