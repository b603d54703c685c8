/* The signature algorithms of JSON Web Tokens that the relay knows (RFC 7518, RFC 8037).
 *
 * `none` is not among them, so that nothing can choose it. Pure; any thread. */
#ifndef RELAY_AUTH_ALGORITHM_H
#define RELAY_AUTH_ALGORITHM_H

#include <stddef.h>

enum algorithm {
    ALGORITHM_HS256,
    ALGORITHM_HS384,
    ALGORITHM_HS512,
    ALGORITHM_RS256,
    ALGORITHM_RS384,
    ALGORITHM_RS512,
    ALGORITHM_PS256,
    ALGORITHM_PS384,
    ALGORITHM_PS512,
    ALGORITHM_ES256,
    ALGORITHM_ES384,
    ALGORITHM_ES512,
    ALGORITHM_EDDSA,
    ALGORITHMS
};

enum algorithm_family { FAMILY_HS, FAMILY_RS, FAMILY_PS, FAMILY_ES, FAMILY_EDDSA };

/* As `alg` writes it. Static storage. */
const char *algorithm_name(enum algorithm a);

/* The one that `alg` names, or -1. Compared byte by byte: "hs256" is none. */
int algorithm_named(const char *name, size_t len);

enum algorithm_family algorithm_family(enum algorithm a);

/* Of its hash, in bits: 256, 384 or 512. For EdDSA 0: it brings its own. */
unsigned algorithm_hash_bits(enum algorithm a);

/* The bit of @a in a set of algorithms; and all of a family. */
unsigned algorithm_bit(enum algorithm a);
unsigned algorithm_family_bits(enum algorithm_family family);

#endif
