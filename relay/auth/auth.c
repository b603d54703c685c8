/* Keys and rules of a node; see auth.h. */
#include "relay/auth/auth.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "relay/auth/token.h"
#include "relay/auth/unknown_keys.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

struct auth {
    struct auth_options options;
    struct key_set *of_files, *fetched; /* the one thread's; NULL: none yet */
    pthread_mutex_t lock; /* of what follows, and held for no longer than that takes */
    struct key_set *keys; /* all of them: exchanged, never changed */
    struct unknown_keys unknown;
    uint64_t asked_ms; /* when the issuer of `fetched` was asked; 0: there is none */
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

static struct key_set *keys_of(struct auth *a) {
    pthread_mutex_lock(&a->lock);
    struct key_set *keys = key_set_ref(a->keys);
    pthread_mutex_unlock(&a->lock);
    return keys;
}

/* Go on with the keys of both, and let those of before go. Both are taken over, also on failure. */
static int exchange(struct auth *a, struct key_set *of_files, struct key_set *fetched,
                    uint64_t asked_ms, struct buf *why) {
    struct key_set *all = key_set_new(), *old = all;
    int rc = key_set_add_all(all, of_files, why);
    if (rc == RELAY_OK && fetched != NULL)
        rc = key_set_add_all(all, fetched, why);
    if (rc == RELAY_OK) {
        pthread_mutex_lock(&a->lock);
        old = a->keys;
        a->keys = all;
        a->asked_ms = asked_ms;
        pthread_mutex_unlock(&a->lock);
        key_set_unref(a->of_files);
        key_set_unref(a->fetched);
        a->of_files = of_files;
        a->fetched = fetched;
    } else {
        key_set_unref(of_files);
        key_set_unref(fetched);
    }
    key_set_unref(old);
    return rc;
}

int auth_new(const struct auth_options *options, struct auth **out, struct buf *why) {
    struct key_set *keys;
    int rc = read_keys(options, &keys, why);
    if (rc != RELAY_OK)
        return rc;
    struct auth *a = mem_zalloc(sizeof(*a));
    a->options = *options;
    a->of_files = keys;
    a->keys = key_set_ref(keys);
    unknown_keys_init(&a->unknown);
    pthread_mutex_init(&a->lock, NULL);
    *out = a;
    return RELAY_OK;
}

void auth_free(struct auth *a) {
    if (a == NULL)
        return;
    key_set_unref(a->keys);
    key_set_unref(a->of_files);
    key_set_unref(a->fetched);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static struct key_set *ref(struct key_set *set) {
    return set != NULL ? key_set_ref(set) : NULL;
}

int auth_reload(struct auth *a, struct buf *why) {
    struct key_set *keys;
    int rc = read_keys(&a->options, &keys, why);
    return rc == RELAY_OK ? exchange(a, keys, ref(a->fetched), a->asked_ms, why) : rc;
}

int auth_take_fetched(struct auth *a, const char *json, size_t len, uint64_t asked_ms,
                      struct buf *why) {
    struct key_set *fetched = key_set_new();
    int rc = key_set_add_fetched(fetched, json, len, why);
    if (rc == RELAY_OK)
        return exchange(a, ref(a->of_files), fetched, asked_ms, why);
    key_set_unref(fetched);
    return rc;
}

bool auth_awaits_keys(struct auth *a) {
    pthread_mutex_lock(&a->lock);
    bool awaits = a->options.wanted != NULL && a->asked_ms == 0;
    pthread_mutex_unlock(&a->lock);
    return awaits;
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

/* No key of @keys has signed the token @text. Whether one that is fetched could have: it is then
 * asked for. */
static bool may_come(struct auth *a, const struct key_set *keys, const char *text, size_t len) {
    uint64_t now_ms = clock_mono_ms();
    struct buf kid = BUF_INIT;
    bool named = token_kid(text, len, &kid) == RELAY_OK;
    if (named && key_set_has_kid(keys, kid.data))
        named = false; /* it has the key, and not its signature */
    pthread_mutex_lock(&a->lock);
    bool comes = a->asked_ms == 0 || (named && unknown_keys_since(&a->unknown, kid.data, kid.len,
                                                                  now_ms) > a->asked_ms);
    pthread_mutex_unlock(&a->lock);
    if (named)
        a->options.wanted(a->options.wanted_arg);
    buf_fini(&kid);
    return comes;
}

enum auth_verdict auth_verify(struct auth *a, const char *token, size_t len, uint64_t now_ms,
                              struct grant *out, const char **wrong) {
    struct key_set *keys = keys_of(a);
    enum auth_verdict verdict = AUTH_VALID;
    *wrong = token_verify(token, len, keys, &a->options.rules, now_ms, out);
    if (*wrong != NULL)
        verdict =
            a->options.wanted != NULL && token_lacks_key(*wrong) && may_come(a, keys, token, len)
                ? AUTH_KEY_AWAITED
                : AUTH_INVALID;
    key_set_unref(keys);
    return verdict;
}
