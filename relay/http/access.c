/* Tokens of requests; see access.h. */
#include "relay/http/access.h"

#include <string.h>
#include <strings.h>

#include "relay/auth/auth.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/timestamp.h"
#include "relay/http/authority.h"
#include "relay/http/client_address.h"
#include "relay/http/limits.h"
#include "relay/http/respond.h"

/* Whose key is still to be fetched comes again in 2 to 6 s. */
enum { KEY_RETRY_MS = 2000 };

#define CHALLENGE "Bearer realm=\"sse-relay\""

/* ---- where the token stands ---- */

enum token_source { TOKEN_NONE, TOKEN_HEADER, TOKEN_QUERY, TOKEN_COOKIE };

struct found_token {
    enum token_source source;
    struct span text;   /* within the request, or within `decoded` */
    struct buf decoded; /* of the query */
    bool twice;         /* the request has two headers that could hold it */
};

static struct span trim(struct span s) {
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = (struct span){s.data + 1, s.len - 1};
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Another scheme, such as the Basic of a proxy in front, is none of ours. Of two headers a proxy
 * may have looked at the other one, so neither counts. */
static bool find_in_header(const struct request *r, struct found_token *found) {
    static const char scheme[] = "Bearer";
    struct span value;
    size_t len = sizeof(scheme) - 1;
    found->twice = request_fields(r, "authorization", &value) > 1;
    if (found->twice)
        return true;
    if (value.len < len || strncasecmp(value.data, scheme, len) != 0 ||
        (value.len > len && value.data[len] != ' ' && value.data[len] != '\t'))
        return false;
    found->source = TOKEN_HEADER;
    found->text = trim((struct span){value.data + len, value.len - len});
    return true;
}

/* Of two, the last one counts, as with other parameters. */
static bool find_in_query(const struct request *r, struct found_token *found) {
    struct span rest = r->query, name, value;
    while (query_next(&rest, &name, &value)) {
        if (!query_name_is(name, "token"))
            continue;
        buf_reset(&found->decoded);
        if (query_decode(value, &found->decoded) != RELAY_OK)
            buf_reset(&found->decoded); /* no token has a '%' in it */
        found->source = TOKEN_QUERY;
        found->text = (struct span){found->decoded.data, found->decoded.len};
    }
    return found->source == TOKEN_QUERY;
}

/* In one Cookie field. Of two of that name the first one counts: it is the one of the longer path.
 */
static bool find_in_cookies(struct span rest, const char *name, struct found_token *found) {
    size_t name_len = strlen(name);
    while (rest.len > 0) {
        const char *end = memchr(rest.data, ';', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.data) : rest.len;
        struct span pair = trim((struct span){rest.data, len});
        size_t used = end != NULL ? len + 1 : len;
        rest = (struct span){rest.data + used, rest.len - used};
        if (pair.len <= name_len || pair.data[name_len] != '=' ||
            memcmp(pair.data, name, name_len) != 0)
            continue;
        found->source = TOKEN_COOKIE;
        found->text = (struct span){pair.data + name_len + 1, pair.len - name_len - 1};
        if (found->text.len >= 2 && found->text.data[0] == '"' &&
            found->text.data[found->text.len - 1] == '"')
            found->text = (struct span){found->text.data + 1, found->text.len - 2};
        return true;
    }
    return false;
}

/* HTTP/2 may part the cookies into several fields (RFC 9113, section 8.2.3). */
static bool find_in_cookie(const struct request *r, const char *name, struct found_token *found) {
    for (size_t i = 0; name != NULL && i < r->fields_len; i++)
        if (span_equals_nocase(request_span(r, r->fields[i].name), span_of("cookie")) &&
            find_in_cookies(request_span(r, r->fields[i].value), name, found))
            return true;
    return false;
}

static void find_token(const struct exchange *x, struct found_token *found) {
    *found = (struct found_token){.decoded = BUF_INIT};
    if (!find_in_header(x->request, found) && !find_in_query(x->request, found))
        find_in_cookie(x->request, x->service->options.token_cookie, found);
}

/* ---- the answers ---- */

static const char *const verbs[AUTH_ACTIONS] = {"read", "publish to"};
static const char *const nouns[AUTH_ACTIONS] = {"Reading", "Publishing to"};

static void deny(struct exchange *x, enum http_denial why, int status, const char *challenge,
                 const char *detail) {
    struct fields more = {0};
    if (challenge != NULL)
        fields_add(&more, "WWW-Authenticate", challenge);
    metric_add(&x->service->metrics->denied[why], 1);
    respond_problem(x, status, &more, detail);
}

static void deny_without_token(struct exchange *x, enum auth_action action, size_t position) {
    const char *cookie = x->service->options.token_cookie;
    struct buf detail = BUF_INIT;
    buf_printf(&detail,
               "%s topic %zu needs a token. Send it in the header `Authorization: Bearer TOKEN`%s "
               "as `token=` in the query",
               nouns[action], position, cookie != NULL ? "," : ", or");
    if (cookie != NULL)
        buf_printf(&detail, ", or in the cookie `%s`", cookie);
    buf_puts(&detail, ".");
    deny(x, HTTP_DENIED_NO_TOKEN, 401, CHALLENGE, detail.data);
    buf_fini(&detail);
}

static void deny_invalid(struct exchange *x, const char *wrong) {
    struct buf challenge = BUF_INIT;
    buf_printf(&challenge, CHALLENGE ", error=\"invalid_token\", error_description=\"%s\"", wrong);
    deny(x, HTTP_DENIED_INVALID, 401, challenge.data, wrong);
    buf_fini(&challenge);
}

static void deny_topic(struct exchange *x, enum auth_action action, size_t position) {
    static const char *const members[AUTH_ACTIONS] = {"subscribe", "publish"};
    struct buf challenge = BUF_INIT, detail = BUF_INIT;
    buf_printf(&challenge,
               CHALLENGE ", error=\"insufficient_scope\", error_description=\"The token does not "
                         "let you %s topic %zu.\"",
               verbs[action], position);
    buf_printf(&detail,
               "The token does not let you %s topic %zu: no pattern in its list `%s` fits it.",
               verbs[action], position, members[action]);
    deny(x, HTTP_DENIED_TOPIC, 403, challenge.data, detail.data);
    buf_fini(&challenge);
    buf_fini(&detail);
}

/* ---- bars ---- */

/* By clock_mono_ms(); 0: it is not barred. */
static uint64_t bar_end_ms(const struct exchange *x, enum kick_by by, struct span name) {
    struct bars *bars = x->service->options.bars;
    return bars != NULL ? bars_end_ms(bars, by, name.data, name.len, clock_mono_ms()) : 0;
}

/* @detail is begun; it gets until when. */
static void deny_barred(struct exchange *x, struct buf *detail, uint64_t end_ms) {
    uint64_t now_ms = clock_mono_ms(), left_ms = end_ms > now_ms ? end_ms - now_ms : 0;
    buf_puts(detail, " before ");
    timestamp_put(detail, clock_wall_ms() + left_ms + 999); /* a whole second behind it */
    buf_puts(detail, ": an operator has kicked its streams (sse-publish kick). Come back then.");
    metric_add(&x->service->metrics->denied[HTTP_DENIED_BARRED], 1);
    respond_later(x, 403, left_ms / 1000 + 1, detail->data);
}

static bool is_barred(struct exchange *x, enum kick_by by, const struct subject *name,
                      enum auth_action action) {
    uint64_t end_ms = bar_end_ms(x, by, (struct span){name->data, name->len});
    if (end_ms == 0)
        return false;
    struct buf detail = BUF_INIT;
    buf_printf(&detail, "%s may not %s here",
               by == KICK_TOKEN ? "This token" : "This token's subject",
               action == AUTH_SUBSCRIBE ? "read" : "publish");
    deny_barred(x, &detail, end_ms);
    buf_fini(&detail);
    return true;
}

/* ---- the decision ---- */

static bool is_public(const struct auth *auth, enum auth_action action, struct span topic) {
    return action == AUTH_SUBSCRIBE && auth_is_public(auth, topic.data, topic.len);
}

/* The index of the first topic that not everybody may have; topics->len: there is none. */
static size_t first_guarded(const struct auth *auth, enum auth_action action,
                            const struct topic_list *topics) {
    size_t i = 0;
    while (i < topics->len && is_public(auth, action, topics->topics[i]))
        i++;
    return i;
}

/* The index of the first one that is neither public nor granted. */
static size_t first_denied(const struct auth *auth, const struct grant *grant,
                           enum auth_action action, const struct topic_list *topics) {
    for (size_t i = 0; i < topics->len; i++) {
        struct span topic = topics->topics[i];
        if (!is_public(auth, action, topic) && !grant_allows(grant, action, topic.data, topic.len))
            return i;
    }
    return topics->len;
}

/* Decide by the token that was found. */
static enum access may_with(struct exchange *x, const struct found_token *found,
                            enum auth_action action, const struct topic_list *topics,
                            struct grant *grant) {
    struct auth *auth = x->service->options.auth;
    struct limits *limits = x->service->options.shared->limits;
    uint64_t address = exchange_limit_key(x);
    uint64_t after_s = limits_token(limits, address);
    if (after_s > 0) {
        respond_later(x, 429, after_s,
                      "Too many tokens from your address were not valid (--max-failed-tokens), so "
                      "this one was not looked at. Get a new token, and try again later.");
        return ACCESS_DENIED;
    }
    const char *wrong;
    enum auth_verdict verdict =
        auth_verify(auth, found->text.data, found->text.len, clock_wall_ms(), grant, &wrong);
    if (verdict == AUTH_KEY_AWAITED)
        return ACCESS_LATER;
    if (verdict == AUTH_INVALID) {
        limits_token_failed(limits, address);
        deny_invalid(x, wrong);
        return ACCESS_DENIED;
    }
    size_t denied = first_denied(auth, grant, action, topics);
    if (denied < topics->len)
        deny_topic(x, action, topics->positions[denied]);
    return denied == topics->len && !is_barred(x, KICK_SUBJECT, &grant->subject, action) &&
                   !is_barred(x, KICK_TOKEN, &grant->id, action)
               ? ACCESS_GRANTED
               : ACCESS_DENIED;
}

static enum access may(struct exchange *x, enum auth_action action, const struct topic_list *topics,
                       struct grant *grant) {
    const struct http_options *o = &x->service->options;
    size_t guarded = first_guarded(o->auth, action, topics);
    if (guarded == topics->len)
        return ACCESS_GRANTED;
    struct found_token found;
    enum access access = ACCESS_DENIED;
    find_token(x, &found);
    if (found.twice)
        deny_invalid(x, "The request has more than one header Authorization.");
    else if (found.source == TOKEN_NONE)
        deny_without_token(x, action, topics->positions[guarded]);
    else if (action == AUTH_PUBLISH && found.source == TOKEN_COOKIE &&
             !origin_is_named(&o->origins, x->request))
        deny(
            x, HTTP_DENIED_ORIGIN, 403, NULL,
            "A browser sends a cookie along whichever page asks, so with the token in a cookie the "
            "page's Origin has to be this host, or be named with --cors-origin. Programs send the "
            "token in the header Authorization.");
    else
        access = may_with(x, &found, action, topics, grant);
    buf_fini(&found.decoded);
    return access;
}

int access_topics(struct exchange *x, struct topic_list *out, struct buf *why) {
    const struct http_options *o = &x->service->options;
    int rc = topic_list_parse(x->request->query, o->max_topics, out, why);
    if (rc == RELAY_EOVERFLOW)
        limits_reached(o->shared->limits, HTTP_LIMIT_TOPICS);
    return rc;
}

/* A topic is barred for everybody who would read it, with whatever token. */
static bool has_barred_topic(struct exchange *x, const struct topic_list *topics) {
    for (size_t i = 0; i < topics->len; i++) {
        uint64_t end_ms = bar_end_ms(x, KICK_TOPIC, topics->topics[i]);
        if (end_ms == 0)
            continue;
        struct buf detail = BUF_INIT;
        buf_printf(&detail, "Nobody may read topic %zu", topics->positions[i]);
        deny_barred(x, &detail, end_ms);
        buf_fini(&detail);
        return true;
    }
    return false;
}

const char *access_later(struct exchange *x, uint64_t *retry_ms) {
    metric_add(&x->service->metrics->denied[HTTP_DENIED_KEY], 1);
    *retry_ms = KEY_RETRY_MS + rng_below(&x->service->rng, 2 * KEY_RETRY_MS);
    return "The token is signed with a key that this relay does not have yet. It asks the issuer "
           "for its keys; try again.";
}

enum access access_to_read(struct exchange *x, const struct topic_list *topics,
                           struct grant *grant) {
    *grant = (struct grant){0};
    enum access access =
        x->service->options.auth == NULL ? ACCESS_GRANTED : may(x, AUTH_SUBSCRIBE, topics, grant);
    return access == ACCESS_GRANTED && has_barred_topic(x, topics) ? ACCESS_DENIED : access;
}

uint64_t access_expires_ms(const struct grant *grant) {
    uint64_t now_ms = clock_wall_ms();
    if (grant->ends_ms == 0)
        return 0;
    return clock_mono_ms() + (grant->ends_ms > now_ms ? grant->ends_ms - now_ms : 0);
}

bool access_may_publish(struct exchange *x, struct grant *grant) {
    struct topic_list topics;
    struct buf why = BUF_INIT;
    enum access access = ACCESS_DENIED;
    *grant = (struct grant){0};
    if (access_topics(x, &topics, &why) != RELAY_OK) {
        respond_problem(x, 400, NULL, why.data);
    } else {
        access = may(x, AUTH_PUBLISH, &topics, grant);
        topic_list_fini(&topics);
    }
    if (access == ACCESS_LATER) {
        uint64_t retry_ms;
        const char *detail = access_later(x, &retry_ms);
        respond_retry(x, retry_ms / 1000, detail);
    }
    buf_fini(&why);
    return access == ACCESS_GRANTED;
}
