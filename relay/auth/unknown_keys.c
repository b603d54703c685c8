/* Names that no key has; see unknown_keys.h. */
#include "relay/auth/unknown_keys.h"

#include <string.h>

void unknown_keys_init(struct unknown_keys *u) {
    memset(u, 0, sizeof(*u));
    siphash_key_init(&u->key);
}

uint64_t unknown_keys_since(struct unknown_keys *u, const char *kid, size_t len, uint64_t now_ms) {
    unsigned hash = siphash(&u->key, kid, len);
    size_t oldest = 0;
    for (size_t i = 0; i < UNKNOWN_KEYS_MAX; i++) {
        uint64_t since_ms = u->names[i].since_ms;
        if (since_ms != 0 && u->names[i].hash == hash) {
            if (now_ms - since_ms < UNKNOWN_KEYS_KEEP_MS)
                return since_ms;
            oldest = i;
            break;
        }
        if (since_ms < u->names[oldest].since_ms)
            oldest = i;
    }
    u->names[oldest].hash = hash;
    u->names[oldest].since_ms = now_ms;
    return now_ms;
}
