/* Which request goes where, and what is refused before its body is read. */
#include <string.h>

#include "relay/http/conn.h"

static bool path_is(struct span path, const char *expected) {
    return path.len == strlen(expected) && memcmp(path.data, expected, path.len) == 0;
}

static void not_allowed(struct conn *c, const char *allow_header) {
    respond_problem(c, 405, allow_header,
                    "This method is not served at this path; Allow lists those that are.");
}

/* One small write into a socket that is nearly always empty. Where it does not fit whole, the
 * client does without: RFC 9110 lets it send its body all the same. */
static void send_continue(struct conn *c) {
    static const char answer[] = "HTTP/1.1 100 Continue\r\n\r\n";
    ssize_t n = send(c->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
    if (n > 0 && n < (ssize_t)sizeof(answer) - 1)
        conn_close(c); /* a part of it would spoil what follows */
}

static void route_sse(struct conn *c) {
    struct buf headers = BUF_INIT;
    switch (request_method(c->request)) {
    case HTTP_METHOD_GET:
    case HTTP_METHOD_HEAD:
        sse_get(c);
        break;
    case HTTP_METHOD_POST:
        if (!publish_may(c))
            break;
        if (request_expects_continue(c->request) && request_state(c->request) == REQUEST_BODY)
            send_continue(c);
        break;
    case HTTP_METHOD_OPTIONS:
        buf_puts(&headers, "Allow: GET, HEAD, POST, OPTIONS\r\n");
        origin_put_preflight(&c->server->options.origins, c->request, &headers);
        respond(c, 204, NULL, headers.data, NULL, 0);
        buf_fini(&headers);
        break;
    case HTTP_METHOD_OTHER:
        not_allowed(c, "Allow: GET, HEAD, POST, OPTIONS\r\n");
    }
}

static void serve_page(struct conn *c, const struct http_route *route) {
    enum http_method method = request_method(c->request);
    if (method != HTTP_METHOD_GET && method != HTTP_METHOD_HEAD) {
        not_allowed(c, "Allow: GET, HEAD\r\n");
        return;
    }
    struct http_page page = {
        .status = 200, .content_type = "text/plain; charset=utf-8", .body = BUF_INIT};
    route->fill(route->arg, &page);
    respond(c, page.status, page.content_type, page.headers, page.body.data, page.body.len);
    buf_fini(&page.body);
}

void route_head(struct conn *c) {
    const struct http_options *o = &c->server->options;
    struct span path = request_path(c->request);
    if (c->loopback && !origin_host_is_local(&o->origins, c->request)) {
        respond_problem(c, 421, NULL,
                        "This listener is on a loopback address and serves this machine's own "
                        "names only. Name the "
                        "host with --allowed-host if it is meant to be served here.");
        return;
    }
    if (c->server->hub != NULL && path_is(path, "/sse")) {
        route_sse(c);
        return;
    }
    for (const struct http_route *r = o->routes; r->path != NULL; r++) {
        if (path_is(path, r->path)) {
            serve_page(c, r);
            return;
        }
    }
    respond_problem(
        c, 404, NULL,
        "Nothing is served at this path. Streams and publishing are at /sse; the console is at /.");
}

/* Only a publish waits for its body; everything else was answered by its head. */
void route_request(struct conn *c) {
    publish_post(c);
}
