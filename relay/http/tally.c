/* Counts and paces by key, in shards; see tally.h. */
#include "relay/http/tally.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <uv.h>

#include "relay/base/mem.h"
#include "relay/base/siphash.h"

enum {
    SHARDS = 16,
    SHARD_PACES_MAX = TALLY_PACES_MAX / SHARDS,
    LOOKS = 2,       /* at old buckets, for each new one: so there are never many full ones */
    SWEEP_LOOKS = 64 /* the same, in one sweep of a shard */
};

struct tally_entry {
    UT_hash_handle hh;
    struct tally_shard *shard;
    uint64_t value; /* how many; or when its bucket is full, in ns */
    void *note;
    size_t len;
    unsigned char key[];
};

struct tally_shard {
    uv_mutex_t lock;
    struct tally_entry *entries; /* in the order in which they were made, or last looked at */
};

struct tally {
    struct siphash_key hash_key;
    struct tally_shard shards[SHARDS];
};

/* A key with its hash, and the shard that it belongs to, locked. */
struct place {
    struct tally_shard *shard;
    const void *key;
    size_t len;
    unsigned hash;
};

static struct place enter(struct tally *t, const void *key, size_t len) {
    unsigned hash = siphash(&t->hash_key, key, len);
    /* The table of a shard takes the lower bits. */
    struct place p = {&t->shards[hash >> 28], key, len, hash};
    uv_mutex_lock(&p.shard->lock);
    return p;
}

_Static_assert(SHARDS == 1 << (32 - 28), "enter() has the highest four bits of 32");

static void leave(const struct place *p) {
    uv_mutex_unlock(&p->shard->lock);
}

static struct tally_entry *find(const struct place *p) {
    struct tally_entry *e;
    HASH_FIND_BYHASHVALUE(hh, p->shard->entries, p->key, p->len, p->hash, e);
    return e;
}

static struct tally_entry *add(const struct place *p) {
    struct tally_entry *e = mem_zalloc(sizeof(*e) + p->len);
    e->shard = p->shard;
    e->len = p->len;
    memcpy(e->key, p->key, p->len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, p->shard->entries, e->key, e->len, p->hash, e);
    return e;
}

static void forget(struct tally_entry *e) {
    HASH_DELETE(hh, e->shard->entries, e);
    free(e);
}

/* ---- counts ---- */

struct tally_entry *tally_take(struct tally *t, const void *key, size_t len, unsigned max,
                               unsigned *count) {
    struct place p = enter(t, key, len);
    struct tally_entry *e = find(&p);
    if (e == NULL && max > 0)
        e = add(&p);
    else if (e != NULL && e->value >= max)
        e = NULL;
    if (e != NULL)
        *count = (unsigned)++e->value;
    leave(&p);
    return e;
}

unsigned tally_give(struct tally_entry *e) {
    if (e == NULL)
        return 0;
    struct tally_shard *shard = e->shard;
    uv_mutex_lock(&shard->lock);
    assert(e->value > 0);
    unsigned left = (unsigned)--e->value;
    if (left == 0)
        forget(e);
    uv_mutex_unlock(&shard->lock);
    return left;
}

void **tally_note(struct tally_entry *e) {
    return &e->note;
}

/* ---- paces ---- */

/* Look at the oldest buckets: a full one is forgotten, another is put behind all others. */
static void look(struct tally_shard *shard, unsigned looks, uint64_t now_ns) {
    for (unsigned i = 0; i < looks && shard->entries != NULL; i++) {
        struct tally_entry *e = shard->entries;
        if (e->value <= now_ns) {
            forget(e);
            continue;
        }
        unsigned hash = e->hh.hashv;
        HASH_DELETE(hh, shard->entries, e);
        HASH_ADD_KEYPTR_BYHASHVALUE(hh, shard->entries, e->key, e->len, hash, e);
    }
}

static void make_room(struct tally_shard *shard, uint64_t now_ns) {
    look(shard, LOOKS, now_ns);
    if (HASH_COUNT(shard->entries) >= SHARD_PACES_MAX)
        forget(shard->entries);
}

uint64_t tally_pass(struct tally *t, const void *key, size_t len, const struct pace *pace,
                    uint64_t now_ns) {
    struct place p = enter(t, key, len);
    struct tally_entry *e = find(&p);
    if (e == NULL) {
        make_room(p.shard, now_ns);
        e = add(&p);
    }
    uint64_t wait_ns = pace_take(pace, &e->value, now_ns);
    leave(&p);
    return wait_ns;
}

uint64_t tally_wait(struct tally *t, const void *key, size_t len, const struct pace *pace,
                    uint64_t now_ns) {
    struct place p = enter(t, key, len);
    const struct tally_entry *e = find(&p);
    uint64_t full_ns = e != NULL ? e->value : 0;
    leave(&p);
    return pace_take(pace, &full_ns, now_ns);
}

void tally_sweep(struct tally *t, uint64_t now_ns) {
    for (unsigned i = 0; i < SHARDS; i++) {
        uv_mutex_lock(&t->shards[i].lock);
        look(&t->shards[i], SWEEP_LOOKS, now_ns);
        uv_mutex_unlock(&t->shards[i].lock);
    }
}

/* ---- life ---- */

size_t tally_keys(struct tally *t) {
    size_t keys = 0;
    for (unsigned i = 0; i < SHARDS; i++) {
        uv_mutex_lock(&t->shards[i].lock);
        keys += HASH_COUNT(t->shards[i].entries);
        uv_mutex_unlock(&t->shards[i].lock);
    }
    return keys;
}

struct tally *tally_new(void) {
    struct tally *t = mem_zalloc(sizeof(*t));
    siphash_key_init(&t->hash_key);
    for (unsigned i = 0; i < SHARDS; i++)
        if (uv_mutex_init(&t->shards[i].lock) != 0)
            abort(); /* at start, before anything is served */
    return t;
}

void tally_free(struct tally *t) {
    if (t == NULL)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        while (t->shards[i].entries != NULL)
            forget(t->shards[i].entries);
        uv_mutex_destroy(&t->shards[i].lock);
    }
    free(t);
}
