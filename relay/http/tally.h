/* What is counted by key for all workers together: how many things of a client are open, or how
 * fast it asks for them.
 *
 * A key is any bytes: an address, a token's subject. Who chooses keys cannot fill the memory. A
 * count is there only while something is counted, which takes more memory itself; a pace only until
 * its bucket is full again, and at most TALLY_PACES_MAX of them. Each tally is for one of the two.
 * Keys lie in shards with a lock each, which is held for one look-up. Any thread. */
#ifndef RELAY_HTTP_TALLY_H
#define RELAY_HTTP_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "relay/http/pace.h"

/* About 12 MB of them. */
enum { TALLY_PACES_MAX = 100 * 1000 };

struct tally;
struct tally_entry;

/* Never NULL. */
struct tally *tally_new(void);

/* All that was counted was given back. NULL does no harm. */
void tally_free(struct tally *t);

/* Count one more of @key. Returns what tally_give() is called with, once, and in *@count how many
 * there are with it; or NULL where there are @max already. */
struct tally_entry *tally_take(struct tally *t, const void *key, size_t len, unsigned max,
                               unsigned *count);
/* Returns how many of its key are left. NULL: 0. */
unsigned tally_give(struct tally_entry *e);

/* A word of the key, for whoever counts it, on one thread; NULL at first. */
void **tally_note(struct tally_entry *e);

/* Take one of @key's bucket. Returns 0, or how many ns it takes until there is one.
 *
 * Where TALLY_PACES_MAX have buckets that are not full, the one that was looked at the longest ago
 * is forgotten, which is as if it were full: so many keys need no bucket to do harm. */
uint64_t tally_pass(struct tally *t, const void *key, size_t len, const struct pace *pace,
                    uint64_t now_ns);

/* Whether it would: takes nothing. */
uint64_t tally_wait(struct tally *t, const void *key, size_t len, const struct pace *pace,
                    uint64_t now_ns);

/* Forget buckets that are full; call it now and then. */
void tally_sweep(struct tally *t, uint64_t now_ns);

/* Keys there are now. */
size_t tally_keys(struct tally *t);

#endif
