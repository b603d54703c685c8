/* Names of keys that tokens gave and no key has, and since when they are asked for.
 *
 * A token whose key is not known may be signed with one that its issuer has just made. It is
 * refused for good only when the issuer was asked after that token came. A fixed table: whoever
 * makes names up pushes others out, and a name that was pushed out counts as new, which delays an
 * answer and grants nothing. Pure; embedded; the caller's lock. */
#ifndef RELAY_AUTH_UNKNOWN_KEYS_H
#define RELAY_AUTH_UNKNOWN_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "relay/base/siphash.h"

enum {
    UNKNOWN_KEYS_MAX = 64,
    UNKNOWN_KEYS_KEEP_MS = 60 * 1000 /* then it is new again: an issuer may have become slow */
};

struct unknown_keys {
    struct siphash_key key;
    struct {
        unsigned hash;
        uint64_t since_ms; /* 0: nothing stands here */
    } names[UNKNOWN_KEYS_MAX];
};

void unknown_keys_init(struct unknown_keys *u);

/* Since when @kid has been asked for: @now_ms (not 0), or when it came first. */
uint64_t unknown_keys_since(struct unknown_keys *u, const char *kid, size_t len, uint64_t now_ms);

#endif
