/* Who may ask: CORS, publishing from a browser, the Host of a loopback listener; see origin.h. */
#include "relay/http/origin.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "relay/http/authority.h"

enum { ADDRESS_MAX_BYTES = 46 }; /* INET6_ADDRSTRLEN, for any address as text */

/* An origin as the Fetch standard writes it: scheme://host[:port]. */
struct origin {
    struct span scheme;
    struct span host;
    unsigned port; /* 0: the scheme has no default and none was given */
};

static unsigned port_number(struct span port, struct span scheme) {
    if (port.len == 0) {
        if (span_equals_nocase(scheme, span_of("http")))
            return 80;
        return span_equals_nocase(scheme, span_of("https")) ? 443 : 0;
    }
    unsigned n = 0;
    for (size_t i = 0; i < port.len; i++)
        n = n * 10 + (unsigned)(port.data[i] - '0');
    return n;
}

/* False for what is no origin, such as "null". */
static bool origin_parse(struct span text, struct origin *o) {
    static const char mark[] = "://";
    size_t scheme = 0;
    while (scheme < text.len && text.data[scheme] != ':')
        scheme++;
    size_t start = scheme + strlen(mark);
    if (scheme == 0 || text.len <= start || memcmp(text.data + scheme, mark, strlen(mark)) != 0)
        return false;
    struct span port;
    if (!authority_split((struct span){text.data + start, text.len - start}, &o->host, &port))
        return false;
    o->scheme = (struct span){text.data, scheme};
    o->port = port_number(port, o->scheme);
    return true;
}

static bool origin_equals(const struct origin *a, const struct origin *b) {
    return a->port == b->port && span_equals_nocase(a->scheme, b->scheme) &&
           span_equals_nocase(a->host, b->host);
}

static bool list_has_any(const struct origin_policy *p) {
    for (size_t i = 0; i < p->cors_origins_len; i++) {
        if (strcmp(p->cors_origins[i], "*") == 0)
            return true;
    }
    return false;
}

/* Whether the list names @origin itself, not by "*". */
static bool list_names(const struct origin_policy *p, struct span origin) {
    struct origin asking, listed;
    if (!origin_parse(origin, &asking))
        return false;
    for (size_t i = 0; i < p->cors_origins_len; i++) {
        if (origin_parse(span_of(p->cors_origins[i]), &listed) && origin_equals(&asking, &listed))
            return true;
    }
    return false;
}

void origin_put_cors(const struct origin_policy *p, const struct request *r,
                     struct fields *fields) {
    struct span origin = r != NULL ? request_header(r, "Origin") : (struct span){NULL, 0};
    fields_add(fields, "Vary", "Origin");
    if (origin.data == NULL)
        return;
    if (list_names(p, origin)) {
        fields_add_span(fields, "Access-Control-Allow-Origin", origin);
        fields_add(fields, "Access-Control-Allow-Credentials", "true");
    } else if (list_has_any(p)) {
        fields_add(fields, "Access-Control-Allow-Origin", "*");
    } else {
        return;
    }
    fields_add(fields, "Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate");
}

/* Field names and commas, as a browser sends them. */
static bool is_header_list(struct span list) {
    static const char other[] = "!#$%&'*+-.^_`|~, \t"; /* RFC 9110's token, and what parts them */
    for (size_t i = 0; i < list.len; i++)
        if (!isalnum((unsigned char)list.data[i]) &&
            (list.data[i] == '\0' || strchr(other, list.data[i]) == NULL))
            return false;
    return list.len > 0;
}

void origin_put_preflight(const struct origin_policy *p, const struct request *r,
                          const char *methods, struct fields *fields) {
    struct span origin = request_header(r, "Origin");
    struct span wanted = request_header(r, "Access-Control-Request-Headers");
    if (origin.data == NULL || (!list_names(p, origin) && !list_has_any(p)))
        return;
    fields_add(fields, "Access-Control-Allow-Methods", methods);
    if (is_header_list(wanted))
        fields_add_span(fields, "Access-Control-Allow-Headers", wanted);
    fields_add(fields, "Access-Control-Max-Age", "7200");
}

/* Whether @asking is an origin that the request's own Host stands for. */
static bool is_own_host(const struct request *r, const struct origin *asking) {
    struct span host, port;
    bool web = span_equals_nocase(asking->scheme, span_of("http")) ||
               span_equals_nocase(asking->scheme, span_of("https"));
    return web && authority_split(request_header(r, "Host"), &host, &port) && host.len > 0 &&
           span_equals_nocase(host, asking->host) &&
           port_number(port, asking->scheme) == asking->port;
}

bool origin_is_named(const struct origin_policy *p, const struct request *r) {
    struct span origin = request_header(r, "Origin");
    struct origin asking;
    return origin.data != NULL && origin_parse(origin, &asking) &&
           (is_own_host(r, &asking) || list_names(p, origin));
}

bool origin_may_publish(const struct origin_policy *p, const struct request *r) {
    struct span origin = request_header(r, "Origin");
    struct origin asking;
    if (origin.data == NULL)
        return true;
    if (!origin_parse(origin, &asking))
        return false;
    return is_own_host(r, &asking) || list_names(p, origin) || list_has_any(p);
}

static bool ends_with_nocase(struct span s, struct span end) {
    return s.len > end.len &&
           span_equals_nocase((struct span){s.data + s.len - end.len, end.len}, end);
}

/* An address of 127.0.0.0/8, or [::1] in any spelling. */
static bool is_loopback_address(struct span host) {
    char text[ADDRESS_MAX_BYTES];
    struct in_addr v4;
    struct in6_addr v6;
    bool bracketed = host.len > 2 && host.data[0] == '[';
    if (bracketed)
        host = (struct span){host.data + 1, host.len - 2};
    if (host.len >= sizeof(text))
        return false;
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    if (bracketed)
        return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    return inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

bool origin_host_is_local(const struct origin_policy *p, const struct request *r) {
    struct span value = request_header(r, "Host");
    struct span host, port;
    if (value.data == NULL)
        return true;
    if (!authority_split(value, &host, &port) || host.len == 0)
        return false;
    if (span_equals_nocase(host, span_of("localhost")) ||
        ends_with_nocase(host, span_of(".localhost")) || is_loopback_address(host))
        return true;
    for (size_t i = 0; i < p->allowed_hosts_len; i++) {
        if (span_equals_nocase(host, span_of(p->allowed_hosts[i])))
            return true;
    }
    return false;
}
