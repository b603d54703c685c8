/* Signature algorithms; see algorithm.h. */
#include "relay/auth/algorithm.h"

#include <string.h>

static const struct {
    const char *name;
    enum algorithm_family family;
    unsigned hash_bits;
} table[ALGORITHMS] = {
    [ALGORITHM_HS256] = {"HS256", FAMILY_HS, 256},  [ALGORITHM_HS384] = {"HS384", FAMILY_HS, 384},
    [ALGORITHM_HS512] = {"HS512", FAMILY_HS, 512},  [ALGORITHM_RS256] = {"RS256", FAMILY_RS, 256},
    [ALGORITHM_RS384] = {"RS384", FAMILY_RS, 384},  [ALGORITHM_RS512] = {"RS512", FAMILY_RS, 512},
    [ALGORITHM_PS256] = {"PS256", FAMILY_PS, 256},  [ALGORITHM_PS384] = {"PS384", FAMILY_PS, 384},
    [ALGORITHM_PS512] = {"PS512", FAMILY_PS, 512},  [ALGORITHM_ES256] = {"ES256", FAMILY_ES, 256},
    [ALGORITHM_ES384] = {"ES384", FAMILY_ES, 384},  [ALGORITHM_ES512] = {"ES512", FAMILY_ES, 512},
    [ALGORITHM_EDDSA] = {"EdDSA", FAMILY_EDDSA, 0},
};

const char *algorithm_name(enum algorithm a) {
    return table[a].name;
}

int algorithm_named(const char *name, size_t len) {
    for (int a = 0; a < ALGORITHMS; a++)
        if (strlen(table[a].name) == len && memcmp(table[a].name, name, len) == 0)
            return a;
    return -1;
}

enum algorithm_family algorithm_family(enum algorithm a) {
    return table[a].family;
}

unsigned algorithm_hash_bits(enum algorithm a) {
    return table[a].hash_bits;
}

unsigned algorithm_bit(enum algorithm a) {
    return 1u << a;
}

unsigned algorithm_family_bits(enum algorithm_family family) {
    unsigned bits = 0;
    for (unsigned a = 0; a < ALGORITHMS; a++)
        if (table[a].family == family)
            bits |= 1u << a;
    return bits;
}
