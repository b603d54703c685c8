/* Who may read and publish which topics: the keys and rules of a node.
 *
 * One per process; made before the threads. Any thread may ask. Keys are read again, and those that
 * were fetched handed in, on one thread, whichever; the others ask on with the keys of before. */
#ifndef RELAY_AUTH_AUTH_H
#define RELAY_AUTH_AUTH_H

#include <stdbool.h>

#include "relay/auth/grant.h"

/* What the operator set; all of it is borrowed and must live as long as the object. */
struct auth_options {
    char **secret_files; /* each holds a secret for HS256 to HS512 */
    size_t secret_files_len;
    char **key_files; /* each holds public keys, or a JWKS */
    size_t key_files_len;
    char **public_patterns; /* everybody may read what fits one of these */
    size_t public_patterns_len;
    struct grant_rules rules;
    /* Keys are fetched, too: a token names one that is not there. Any thread; NULL: they are not.
     */
    void (*wanted)(void *arg);
    void *wanted_arg;
};

struct auth;

/* What a token is. */
enum auth_verdict {
    AUTH_VALID,
    AUTH_INVALID,
    /* No key that is there has signed it, but it may be one that is still to be fetched: ask again
       in some seconds. */
    AUTH_KEY_AWAITED
};

/* Make the object, and read its keys. There has to be at least one file, or `wanted`.
 *
 * Returns RELAY_OK, or RELAY_EINVAL and appends to @why what is wrong with which file. */
int auth_new(const struct auth_options *options, struct auth **out, struct buf *why);
void auth_free(struct auth *a); /* NULL does no harm */

/* Read the files again. On an error the keys of before stay. Returns as auth_new(). */
int auth_reload(struct auth *a, struct buf *why);

/* Take the keys of @json, a JWKS, in the place of those that were fetched before. @asked_ms is when
 * its issuer was asked (clock_mono_ms()). On an error the keys of before stay. Returns RELAY_OK, or
 * RELAY_EINVAL and appends to @why what is wrong with it. */
int auth_take_fetched(struct auth *a, const char *json, size_t len, uint64_t asked_ms,
                      struct buf *why);

/* Whether keys are to be fetched, and none ever were. Any thread. */
bool auth_awaits_keys(struct auth *a);

/* How many keys there are. */
size_t auth_keys(struct auth *a);

/* Whether everybody may read @topic. */
bool auth_is_public(const struct auth *a, const char *topic, size_t len);

/* Verify a token, as token_verify() does, with the keys of now. *@wrong is what is wrong with it,
 * unless it is AUTH_VALID; *@out is filled only then. */
enum auth_verdict auth_verify(struct auth *a, const char *token, size_t len, uint64_t now_ms,
                              struct grant *out, const char **wrong);

#endif
