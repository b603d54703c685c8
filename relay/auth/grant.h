/* What a token that was verified allows, and until when.
 *
 * Pure; embedded; one thread. */
#ifndef RELAY_AUTH_GRANT_H
#define RELAY_AUTH_GRANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/auth/pattern.h"
#include "relay/base/buf.h"

enum auth_action { AUTH_SUBSCRIBE, AUTH_PUBLISH, AUTH_ACTIONS };

struct grant_patterns {
    struct grant_pattern {
        const char *text;
        size_t len;
    } * items;
    size_t len;
};

struct grant {
    void *claims; /* what the texts below point into */
    struct subject subject;
    struct subject id; /* `jti`, the token's own name; data is NULL where it has none, or no text */
    struct grant_patterns patterns[AUTH_ACTIONS];
    uint64_t ends_ms; /* since 1970; 0: never */
};

/* What token.h looks at besides the signature. */
struct grant_rules {
    char **audiences; /* one of them has to be in `aud`; none: a token must have no `aud` */
    size_t audiences_len;
    char **issuers; /* one of them has to be `iss`; none: it is not looked at */
    size_t issuers_len;
    bool any_party;    /* neither `aud` nor `iss` is looked at */
    const char *claim; /* where the topics stand; NULL: GRANT_CLAIM */
};

#define GRANT_CLAIM "sse"

enum { GRANT_LEEWAY_MS = 30 * 1000 }; /* what clocks may differ by */

/* Read the claims of a token, the JSON @json, at the time @now_ms (since 1970).
 *
 * `exp` and `nbf` have GRANT_LEEWAY_MS of leeway: ends_ms is `exp`, or where that is over already,
 * the end of the leeway. The claim for topics may lack; then nothing is allowed. It is the member
 * of that name, or where the name begins with a slash, what the JSON pointer (RFC 6901) leads to.
 *
 * Returns NULL and fills *@out (end with grant_fini()), or returns what is wrong: a sentence in
 * ASCII without quotes, as the header WWW-Authenticate takes it (static storage). */
const char *grant_read(const char *json, size_t len, const struct grant_rules *rules,
                       uint64_t now_ms, struct grant *out);
void grant_fini(struct grant *g);

bool grant_allows(const struct grant *g, enum auth_action action, const char *topic, size_t len);

#endif
