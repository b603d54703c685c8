/* Sets of keys as JSON: taken whole, each key for some algorithm and for none of another family, or
 * refused with a sentence and nothing taken. No key verifies what nobody signed. */
#include <stdlib.h>
#include <string.h>

#include "relay/auth/jwk.h"
#include "relay/base/err.h"
#include "tests/fuzz/fuzz.h"

enum { ROOM = 8 };

static void must(bool condition) {
    if (!condition)
        abort();
}

static void check(const struct key *k) {
    static const unsigned char signature[512] = {1};
    static const size_t lengths[] = {0, 32, 48, 64, 96, 114, 132, 256, 512};
    unsigned secrets = algorithm_family_bits(FAMILY_HS);
    must(k->algorithms != 0);
    must((k->public == NULL) == ((k->algorithms & secrets) != 0));
    must(k->public == NULL || (k->algorithms & secrets) == 0);
    must(k->public != NULL || k->secret_len >= KEY_SECRET_MIN_BYTES);
    for (unsigned a = 0; a < ALGORITHMS; a++)
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
            must(!key_verify(k, a, "data", 4, signature, lengths[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct key keys[ROOM];
    size_t count = 0;
    struct buf why = BUF_INIT;
    if (jwk_read((const char *)data, size, keys, ROOM, &count, &why) == RELAY_OK) {
        must(why.len == 0 && count > 0 && count <= ROOM);
        for (size_t i = 0; i < count; i++) {
            check(&keys[i]);
            key_fini(&keys[i]);
        }
    } else {
        must(why.len > 0 && count == 0);
    }
    buf_fini(&why);
    return 0;
}
