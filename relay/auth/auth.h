/* Who may read and publish which topics: the keys and rules of a node.
 *
 * One per process; made before the threads. Any thread may ask; the files of keys are read again on
 * one thread, whichever, while the others ask on with the keys of before. */
#ifndef RELAY_AUTH_AUTH_H
#define RELAY_AUTH_AUTH_H

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
};

struct auth;

/* Make the object, and read its keys. There has to be at least one file.
 *
 * Returns RELAY_OK, or RELAY_EINVAL and appends to @why what is wrong with which file. */
int auth_new(const struct auth_options *options, struct auth **out, struct buf *why);
void auth_free(struct auth *a); /* NULL does no harm */

/* Read the files again. On an error the keys of before stay. Returns as auth_new(). */
int auth_reload(struct auth *a, struct buf *why);

/* How many keys there are. */
size_t auth_keys(struct auth *a);

/* Whether everybody may read @topic. */
bool auth_is_public(const struct auth *a, const char *topic, size_t len);

/* Verify a token, as token_verify() does, with the keys of now. */
const char *auth_verify(struct auth *a, const char *token, size_t len, uint64_t now_ms,
                        struct grant *out);

#endif
