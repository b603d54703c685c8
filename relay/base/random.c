/* Random bytes; see random.h. */
#include "relay/base/random.h"

#include <stdint.h>
#include <uv.h>

void random_bytes(void *out, size_t len) {
    if (uv_random(NULL, NULL, out, len, 0, NULL) == 0)
        return;
    uint64_t state = uv_hrtime();
    for (size_t i = 0; i < len; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((unsigned char *)out)[i] = (unsigned char)(state >> 56);
    }
}
