/* The bars of a node; see bars.h.
 *
 * Nearly always there are none, and then nobody takes the lock. */
#include "relay/auth/bars.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/siphash.h"

enum { KEY_MAX_BYTES = 1 + KICK_NAME_MAX_BYTES };

struct bar {
    UT_hash_handle hh;
    uint64_t end_ms;
    uint64_t reading; /* the latest that had begun when it was put */
    size_t key_len;
    char key[]; /* enum kick_by, and the name */
};

struct bars {
    pthread_mutex_t lock;
    struct siphash_key hash_key;
    struct bar *all;
    uint64_t reading;      /* how many have begun */
    uint64_t first_end_ms; /* none is over before that */
    atomic_size_t count;
};

struct bars *bars_new(void) {
    struct bars *b = mem_zalloc(sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    siphash_key_init(&b->hash_key);
    return b;
}

static void forget(struct bars *b, struct bar *bar) {
    HASH_DEL(b->all, bar);
    free(bar);
    atomic_fetch_sub_explicit(&b->count, 1, memory_order_relaxed);
}

void bars_free(struct bars *b) {
    struct bar *bar, *next;
    if (b == NULL)
        return;
    HASH_ITER(hh, b->all, bar, next) {
        forget(b, bar);
    }
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* Where it is found; @key has KEY_MAX_BYTES. Longer names have no bar. */
static size_t put_key(char *key, enum kick_by by, const char *name, size_t len) {
    if (len == 0 || len > KICK_NAME_MAX_BYTES)
        return 0;
    key[0] = (char)by;
    memcpy(key + 1, name, len);
    return 1 + len;
}

static struct bar *find(struct bars *b, const char *key, size_t len) {
    struct bar *bar = NULL;
    HASH_FIND_BYHASHVALUE(hh, b->all, key, len, siphash(&b->hash_key, key, len), bar);
    return bar;
}

uint64_t bars_end_ms(struct bars *b, enum kick_by by, const char *name, size_t len,
                     uint64_t now_ms) {
    char key[KEY_MAX_BYTES];
    size_t key_len = bars_count(b) > 0 ? put_key(key, by, name, len) : 0;
    uint64_t end_ms = 0;
    if (key_len == 0)
        return 0;
    pthread_mutex_lock(&b->lock);
    const struct bar *bar = find(b, key, key_len);
    if (bar != NULL && bar->end_ms > now_ms)
        end_ms = bar->end_ms;
    pthread_mutex_unlock(&b->lock);
    return end_ms;
}

static struct bar *add(struct bars *b, const char *key, size_t len) {
    struct bar *bar = mem_zalloc(sizeof(*bar) + len);
    bar->key_len = len;
    memcpy(bar->key, key, len);
    unsigned hash = siphash(&b->hash_key, key, len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, b->all, bar->key, len, hash, bar);
    atomic_fetch_add_explicit(&b->count, 1, memory_order_relaxed);
    return bar;
}

int bars_put(struct bars *b, const struct kick_bar *what, uint64_t end_ms, bool *is_new) {
    char key[KEY_MAX_BYTES];
    size_t len = put_key(key, what->by, what->name, what->name_len);
    *is_new = false;
    if (len == 0)
        return RELAY_OK;
    pthread_mutex_lock(&b->lock);
    struct bar *bar = find(b, key, len);
    bool has_room = bar != NULL || bars_count(b) < KICK_BARS_MAX;
    *is_new = bar == NULL && has_room;
    if (*is_new)
        bar = add(b, key, len);
    if (has_room) {
        bar->end_ms = end_ms;
        bar->reading = b->reading;
        if (bars_count(b) == 1 || end_ms < b->first_end_ms)
            b->first_end_ms = end_ms;
    }
    pthread_mutex_unlock(&b->lock);
    return has_room ? RELAY_OK : RELAY_EOVERFLOW;
}

void bars_lift(struct bars *b, const struct kick_bar *what) {
    char key[KEY_MAX_BYTES];
    size_t len = put_key(key, what->by, what->name, what->name_len);
    pthread_mutex_lock(&b->lock);
    struct bar *bar = len > 0 ? find(b, key, len) : NULL;
    if (bar != NULL)
        forget(b, bar);
    pthread_mutex_unlock(&b->lock);
}

void bars_reading(struct bars *b) {
    b->reading++; /* nobody else looks at it */
}

void bars_read(struct bars *b) {
    struct bar *bar, *next;
    pthread_mutex_lock(&b->lock);
    HASH_ITER(hh, b->all, bar, next) {
        if (bar->reading < b->reading)
            forget(b, bar);
    }
    pthread_mutex_unlock(&b->lock);
}

void bars_expire(struct bars *b, uint64_t now_ms) {
    struct bar *bar, *next;
    if (bars_count(b) == 0 || now_ms < b->first_end_ms)
        return;
    pthread_mutex_lock(&b->lock);
    b->first_end_ms = UINT64_MAX;
    HASH_ITER(hh, b->all, bar, next) {
        if (bar->end_ms <= now_ms)
            forget(b, bar);
        else if (bar->end_ms < b->first_end_ms)
            b->first_end_ms = bar->end_ms;
    }
    pthread_mutex_unlock(&b->lock);
}

size_t bars_count(struct bars *b) {
    return atomic_load_explicit(&b->count, memory_order_relaxed);
}
