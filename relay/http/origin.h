/* Who may ask: CORS (WHATWG Fetch), publishing from a browser, and the Host of a loopback listener
 * (DNS rebinding). Pure; any thread once made. */
#ifndef RELAY_HTTP_ORIGIN_H
#define RELAY_HTTP_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/http/fields.h"
#include "relay/http/request.h"

/* The configured lists; strings are borrowed. Origins compare as scheme, host and port, case
 * ignored and default ports filled in. */
struct origin_policy {
    char **cors_origins; /* "https://a.example" entries, or one "*" */
    size_t cors_origins_len;
    char **allowed_hosts; /* host names, without port */
    size_t allowed_hosts_len;
};

/* Add the CORS fields that an answer to this request carries: always `Vary: Origin`; when Origin is
 * on the list, Access-Control-Allow-Origin (echoed, with Allow-Credentials: true; or `*`, without)
 * and Access-Control-Expose-Headers. @r may be NULL (no request was read): Vary only.
 * Here and below, what is echoed stays the request's. */
void origin_put_cors(const struct origin_policy *p, const struct request *r, struct fields *fields);

/* For a preflight of an allowed origin: add Allow-Methods (@methods), Allow-Headers (those that
 * it asks for) and Max-Age, which stand beside those of origin_put_cors(); and in any case what the
 * answer varies by. */
void origin_put_preflight(const struct origin_policy *p, const struct request *r,
                          const char *methods, struct fields *fields);

/* True when the request may publish: no Origin at all (not a browser), an Origin that is the
 * request's own Host (scheme http or https, port compared with the defaults 80 and 443 filled in),
 * or one on the list ('*' does count). `Origin: null` is not. */
bool origin_may_publish(const struct origin_policy *p, const struct request *r);

/* True when there is an Origin, and it is the request's own Host or on the list by name: '*' does
 * not count. For a request whose right comes from a cookie. */
bool origin_is_named(const struct origin_policy *p, const struct request *r);

/* True when Host names this machine: localhost, *.localhost, an address of 127.0.0.0/8, [::1], or
 * an allowed host (case ignored, any port). For requests on a loopback TCP listener; a request
 * without Host, which only HTTP/1.0 may be and no browser sends, passes. */
bool origin_host_is_local(const struct origin_policy *p, const struct request *r);

#endif
