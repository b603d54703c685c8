/* SipHash-1-3; see siphash.h. */
#include "relay/base/siphash.h"

#include <string.h>

#include "relay/base/random.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

void siphash_key_init(struct siphash_key *key) {
    random_bytes(key, sizeof(*key));
}

static uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static void mix(struct state *s) {
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void absorb(struct state *s, uint64_t word) {
    s->v3 ^= word;
    mix(s);
    s->v0 ^= word;
}

/* Up to 8 bytes, the first the lowest. */
static uint64_t word_of(const unsigned char *p, size_t len) {
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return word;
}

uint64_t siphash64(const struct siphash_key *key, const void *bytes, size_t len) {
    const unsigned char *p = bytes;
    struct state s = {
        key->k0 ^ UINT64_C(0x736f6d6570736575), key->k1 ^ UINT64_C(0x646f72616e646f6d),
        key->k0 ^ UINT64_C(0x6c7967656e657261), key->k1 ^ UINT64_C(0x7465646279746573)};
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8)
        absorb(&s, word_of(p, 8));
    absorb(&s, word_of(p, left) | (uint64_t)len << 56);
    s.v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        mix(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

unsigned siphash(const struct siphash_key *key, const void *bytes, size_t len) {
    uint64_t hash = siphash64(key, bytes, len);
    return (unsigned)(hash ^ hash >> 32);
}
