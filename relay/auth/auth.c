/* Keys and rules of a node; see auth.h. */
#include "relay/auth/auth.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "relay/auth/token.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

struct auth {
    struct auth_options options;
    pthread_mutex_t lock; /* of the pointer alone: held to take a reference or to exchange it */
    struct key_set *keys;
};

static int read_keys(const struct auth_options *o, struct key_set **out, struct buf *why) {
    struct key_set *set = key_set_new();
    int rc = RELAY_OK;
    for (size_t i = 0; rc == RELAY_OK && i < o->secret_files_len; i++)
        rc = key_set_add_secret_file(set, o->secret_files[i], why);
    for (size_t i = 0; rc == RELAY_OK && i < o->key_files_len; i++)
        rc = key_set_add_key_file(set, o->key_files[i], why);
    if (rc == RELAY_OK)
        *out = set;
    else
        key_set_unref(set);
    return rc;
}

int auth_new(const struct auth_options *options, struct auth **out, struct buf *why) {
    struct key_set *keys;
    int rc = read_keys(options, &keys, why);
    if (rc != RELAY_OK)
        return rc;
    struct auth *a = mem_zalloc(sizeof(*a));
    a->options = *options;
    a->keys = keys;
    pthread_mutex_init(&a->lock, NULL);
    *out = a;
    return RELAY_OK;
}

void auth_free(struct auth *a) {
    if (a == NULL)
        return;
    key_set_unref(a->keys);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static struct key_set *keys_of(struct auth *a) {
    pthread_mutex_lock(&a->lock);
    struct key_set *keys = key_set_ref(a->keys);
    pthread_mutex_unlock(&a->lock);
    return keys;
}

int auth_reload(struct auth *a, struct buf *why) {
    struct key_set *keys, *old;
    int rc = read_keys(&a->options, &keys, why);
    if (rc != RELAY_OK)
        return rc;
    pthread_mutex_lock(&a->lock);
    old = a->keys;
    a->keys = keys;
    pthread_mutex_unlock(&a->lock);
    key_set_unref(old);
    return RELAY_OK;
}

size_t auth_keys(struct auth *a) {
    struct key_set *keys = keys_of(a);
    size_t len = keys->len;
    key_set_unref(keys);
    return len;
}

bool auth_is_public(const struct auth *a, const char *topic, size_t len) {
    for (size_t i = 0; i < a->options.public_patterns_len; i++) {
        const char *pattern = a->options.public_patterns[i];
        if (pattern_matches(pattern, strlen(pattern), NULL, topic, len))
            return true;
    }
    return false;
}

const char *auth_verify(struct auth *a, const char *token, size_t len, uint64_t now_ms,
                        struct grant *out) {
    struct key_set *keys = keys_of(a);
    const char *wrong = token_verify(token, len, keys, &a->options.rules, now_ms, out);
    key_set_unref(keys);
    return wrong;
}
