/* Routes; see route.h. */
#include "relay/http/route.h"

#include <string.h>

#include "relay/base/log.h"
#include "relay/http/client_address.h"
#include "relay/http/post.h"
#include "relay/http/respond.h"
#include "relay/http/sse.h"

static bool path_is(struct span path, const char *expected) {
    return path.len == strlen(expected) && memcmp(path.data, expected, path.len) == 0;
}

static const char SSE_METHODS[] = "GET, HEAD, POST, OPTIONS";
static const char PAGE_METHODS[] = "GET, HEAD, OPTIONS";

static void not_allowed(struct exchange *x, const char *methods) {
    struct fields more = {0};
    fields_add(&more, "Allow", methods);
    respond_problem(x, 405, &more,
                    "This method is not served at this path; Allow lists those that are.");
}

/* OPTIONS: what is served here, and a browser's preflight. */
static void answer_options(struct exchange *x, const char *methods) {
    struct fields more = {0};
    fields_add(&more, "Allow", methods);
    origin_put_preflight(&x->service->options.origins, x->request, methods, &more);
    respond(x, 204, NULL, &more, NULL, 0);
}

static void route_sse(struct exchange *x) {
    switch (x->request->method) {
    case HTTP_METHOD_GET:
    case HTTP_METHOD_HEAD:
        sse_get(x);
        break;
    case HTTP_METHOD_POST:
        if (post_may(x))
            post_can_read(x);
        break;
    case HTTP_METHOD_OPTIONS:
        answer_options(x, SSE_METHODS);
        break;
    case HTTP_METHOD_OTHER:
        not_allowed(x, SSE_METHODS);
    }
}

static void serve_page(struct exchange *x, const struct http_route *route) {
    enum http_method method = x->request->method;
    if (method == HTTP_METHOD_OPTIONS) {
        answer_options(x, PAGE_METHODS);
        return;
    }
    if (method != HTTP_METHOD_GET && method != HTTP_METHOD_HEAD) {
        not_allowed(x, PAGE_METHODS);
        return;
    }
    struct http_page page = {
        .status = 200, .content_type = "text/plain; charset=utf-8", .body = BUF_INIT};
    struct fields more = {0};
    route->fill(route->arg, &page);
    if (page.fields != NULL)
        fields_add_table(&more, page.fields);
    respond(x, page.status, page.content_type, &more, page.body.data, page.body.len);
    buf_fini(&page.body);
}

/* Never the query: tokens may stand there. */
static void log_request(const struct exchange *x) {
    char text[IP_ADDRESS_TEXT];
    struct ip_address client = exchange_client_address(x);
    log_debug("request", "client=%s path=%.*s", ip_address_format(&client, text),
              (int)x->request->path.len, x->request->path.data);
}

static void on_head(struct exchange *x) {
    const struct http_options *o = &x->service->options;
    struct span path = x->request->path;
    if (log_enabled(LOG_LEVEL_DEBUG))
        log_request(x);
    if (x->loopback && !origin_host_is_local(&o->origins, x->request)) {
        respond_problem(x, 421, NULL,
                        "This listener is on a loopback address and serves this machine's own "
                        "names only. Name the "
                        "host with --allowed-host if it is meant to be served here.");
        return;
    }
    if (x->service->hub != NULL && path_is(path, "/sse")) {
        route_sse(x);
        return;
    }
    if (path_is(path, "*")) { /* of the server as a whole (RFC 9110, 9.3.7) */
        if (x->request->method == HTTP_METHOD_OPTIONS)
            answer_options(x, SSE_METHODS);
        else
            not_allowed(x, "OPTIONS");
        return;
    }
    for (const struct http_route *r = o->routes; r->path != NULL; r++) {
        if (path_is(path, r->path)) {
            serve_page(x, r);
            return;
        }
    }
    respond_problem(
        x, 404, NULL,
        "Nothing is served at this path. Streams and publishing are at /sse; the console is at /.");
}

/* Only a publish waits for its body; everything else was answered by its head. */
static void on_request(struct exchange *x) {
    post_publish(x);
}

static void on_fault(struct exchange *x, int status, const char *why) {
    respond_problem(x, status, NULL, why);
}

const struct exchange_handler route_handler = {on_head, on_request, on_fault};
