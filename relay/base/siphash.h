/* A keyed hash of short strings for hash tables whose keys clients choose: without the key nobody
 * can name many topics that fall into one bucket. SipHash-1-3 (Aumasson and Bernstein). Not a
 * signature. Pure; any thread. */
#ifndef RELAY_BASE_SIPHASH_H
#define RELAY_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t k0, k1;
};

/* Random, from the operating system. */
void siphash_key_init(struct siphash_key *key);

/* The hash, and 32 bits of it: what uthash takes. */
uint64_t siphash64(const struct siphash_key *key, const void *bytes, size_t len);
unsigned siphash(const struct siphash_key *key, const void *bytes, size_t len);

#endif
