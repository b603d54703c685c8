/* Who may ask: CORS (WHATWG Fetch), publishing from a browser, and the Host of a loopback listener
 * (DNS rebinding). Pure; any thread once made. */
#ifndef RELAY_HTTP_ORIGIN_H
#define RELAY_HTTP_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/buf.h"
#include "relay/http/request.h"

/* The configured lists; strings are borrowed. Origins compare as scheme, host and port, case
 * ignored and default ports filled in. */
struct origin_policy {
    char **cors_origins; /* "https://a.example" entries, or one "*" */
    size_t cors_origins_len;
    char **allowed_hosts; /* host names, without port */
    size_t allowed_hosts_len;
};

/* Append the CORS headers that an answer to this request carries: always `Vary: Origin`; when
 * Origin is on the list, Access-Control-Allow-Origin (echoed, with Allow-Credentials: true; or `*`,
 * without) and Access-Control-Expose-Headers (Retry-After). @r may be NULL (no request was read):
 * Vary only. */
void origin_put_cors(const struct origin_policy *p, const struct request *r, struct buf *headers);

/* For a preflight of an allowed origin: append the Allow-Methods (GET, HEAD, POST, OPTIONS),
 * Allow-Headers (Last-Event-ID, Content-Type, Authorization, Cache-Control) and Max-Age headers,
 * which stand beside those of origin_put_cors(). */
void origin_put_preflight(const struct origin_policy *p, const struct request *r,
                          struct buf *headers);

/* True when the request may publish: no Origin at all (not a browser), an Origin that is the
 * request's own Host (scheme http or https, port compared with the defaults 80 and 443 filled in),
 * or one on the list ('*' does count). `Origin: null` is not. */
bool origin_may_publish(const struct origin_policy *p, const struct request *r);

/* True when Host names this machine: localhost, *.localhost, an address of 127.0.0.0/8, [::1], or
 * an allowed host (case ignored, any port). For requests on a loopback TCP listener; an HTTP/1.0
 * request without Host passes. */
bool origin_host_is_local(const struct origin_policy *p, const struct request *r);

#endif
