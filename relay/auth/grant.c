/* The claims of a token; see grant.h. */
#include "relay/auth/grant.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"

static const char *const action_names[AUTH_ACTIONS] = {"subscribe", "publish"};

/* 9999-12-31: a later time is never. */
#define TIME_MAX_S 253402300799.0

/* ---- times ---- */

/* A NumericDate in ms. False: it is there, and none. */
static bool read_time(const json_t *value, uint64_t *ms) {
    double seconds = json_number_value(value);
    if (!json_is_number(value))
        return false;
    if (seconds < 0)
        seconds = 0;
    *ms = (uint64_t)((seconds < TIME_MAX_S ? seconds : TIME_MAX_S) * 1000);
    return true;
}

static const char *check_times(const json_t *claims, uint64_t now_ms, struct grant *out) {
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
    uint64_t ms;
    if (nbf != NULL && !read_time(nbf, &ms))
        return "The claim nbf of the token is not a number of seconds since 1970.";
    if (nbf != NULL && ms > now_ms + GRANT_LEEWAY_MS)
        return "The token is not valid yet (nbf).";
    if (exp == NULL)
        return NULL;
    if (!read_time(exp, &ms))
        return "The claim exp of the token is not a number of seconds since 1970.";
    if (ms + GRANT_LEEWAY_MS <= now_ms)
        return "The token has expired (exp).";
    out->ends_ms = ms > now_ms ? ms : ms + GRANT_LEEWAY_MS;
    return NULL;
}

/* ---- from whom, for whom ---- */

static bool is_listed(const json_t *text, char **list, size_t len) {
    const char *value = json_string_value(text);
    for (size_t i = 0; value != NULL && i < len; i++)
        if (strcmp(value, list[i]) == 0)
            return true;
    return false;
}

static const char *check_parties(const json_t *claims, const struct grant_rules *rules) {
    const json_t *aud = json_object_get(claims, "aud");
    if (rules->any_party)
        return NULL;
    if (rules->issuers_len > 0 &&
        !is_listed(json_object_get(claims, "iss"), rules->issuers, rules->issuers_len))
        return "The token is from an issuer (iss) that this relay does not take tokens of.";
    bool good = rules->audiences_len == 0 && aud == NULL;
    good = good || is_listed(aud, rules->audiences, rules->audiences_len);
    for (size_t i = 0; !good && i < json_array_size(aud); i++)
        good = is_listed(json_array_get(aud, i), rules->audiences, rules->audiences_len);
    return good ? NULL : "The token is for another audience (aud) than this relay.";
}

/* ---- the patterns ---- */

static const char *read_patterns(const json_t *list, struct grant_patterns *out) {
    size_t len = json_array_size(list);
    if (list == NULL)
        return NULL;
    if (!json_is_array(list))
        return "The claim for topics holds something else than lists of patterns.";
    out->items = mem_zalloc((len + 1) * sizeof(*out->items));
    for (size_t i = 0; i < len; i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item))
            return "The claim for topics holds a pattern that is not a text.";
        out->items[i].text = json_string_value(item);
        out->items[i].len = json_string_length(item);
        if (pattern_check(out->items[i].text, out->items[i].len) != NULL)
            return "The claim for topics holds something that is not a pattern.";
        out->len++;
    }
    return NULL;
}

/* One step of a JSON pointer: "/a~1b/c" is the member "a/b", and "/c" is left. */
static const json_t *step(const json_t *at, const char **pointer) {
    struct buf name = BUF_INIT;
    const char *p = *pointer + 1;
    *buf_reserve(&name, strlen(p) + 1) = '\0';
    for (; *p != '\0' && *p != '/'; p++) {
        bool escaped = *p == '~' && (p[1] == '0' || p[1] == '1');
        buf_putc(&name, !escaped ? *p : p[1] == '0' ? '~' : '/');
        p += escaped;
    }
    *pointer = p;
    at = json_object_get(at, name.data);
    buf_fini(&name);
    return at;
}

static const json_t *find_claim(const json_t *claims, const char *where) {
    if (where[0] != '/')
        return json_object_get(claims, where);
    while (*where == '/')
        claims = step(claims, &where);
    return claims;
}

static const char *read_claim(const json_t *claims, const struct grant_rules *rules,
                              struct grant *out) {
    const json_t *claim = find_claim(claims, rules->claim != NULL ? rules->claim : GRANT_CLAIM);
    const char *wrong = NULL;
    if (claim != NULL && !json_is_object(claim))
        return "The claim for topics is not an object with subscribe and publish.";
    for (unsigned a = 0; a < AUTH_ACTIONS && wrong == NULL; a++)
        wrong = read_patterns(json_object_get(claim, action_names[a]), &out->patterns[a]);
    return wrong;
}

static const char *read_subject(const json_t *claims, struct grant *out) {
    const json_t *sub = json_object_get(claims, "sub");
    if (sub != NULL && !json_is_string(sub))
        return "The claim sub of the token is not a text.";
    const json_t *jti = json_object_get(claims, "jti");
    out->subject = (struct subject){json_string_value(sub), json_string_length(sub)};
    out->id = (struct subject){json_string_value(jti), json_string_length(jti)};
    return NULL;
}

const char *grant_read(const char *json, size_t len, const struct grant_rules *rules,
                       uint64_t now_ms, struct grant *out) {
    json_error_t ignored;
    json_t *claims = json_loadb(json, len, JSON_REJECT_DUPLICATES, &ignored);
    struct grant g = {.claims = claims};
    const char *wrong = NULL;
    if (!json_is_object(claims))
        wrong = "The claims of the token are not a JSON object, or name one twice.";
    if (wrong == NULL)
        wrong = check_times(claims, now_ms, &g);
    if (wrong == NULL)
        wrong = check_parties(claims, rules);
    if (wrong == NULL)
        wrong = read_subject(claims, &g);
    if (wrong == NULL)
        wrong = read_claim(claims, rules, &g);
    if (wrong != NULL)
        grant_fini(&g);
    else
        *out = g;
    return wrong;
}

void grant_fini(struct grant *g) {
    for (unsigned a = 0; a < AUTH_ACTIONS; a++)
        free(g->patterns[a].items);
    json_decref(g->claims);
    *g = (struct grant){0};
}

bool grant_allows(const struct grant *g, enum auth_action action, const char *topic, size_t len) {
    const struct grant_patterns *p = &g->patterns[action];
    for (size_t i = 0; i < p->len; i++)
        if (pattern_matches(p->items[i].text, p->items[i].len, &g->subject, topic, len))
            return true;
    return false;
}
