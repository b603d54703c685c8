/* Answers that are not streams: status line, headers, body. */
#include <inttypes.h>
#include <string.h>

#include "relay/base/log.h"
#include "relay/http/conn.h"

static const char *reason_phrase(int status) {
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {{200, "OK"},
                   {204, "No Content"},
                   {400, "Bad Request"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {408, "Request Timeout"},
                   {409, "Conflict"},
                   {413, "Content Too Large"},
                   {421, "Misdirected Request"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {502, "Bad Gateway"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"},
                   {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}

void respond_head(const struct conn *c, struct buf *out, int status) {
    buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, reason_phrase(status),
               c->server->date);
    origin_put_cors(&c->server->options.origins, c->request, out);
}

/* For the log. Never the query: tokens may stand there. */
static struct span path_of(const struct conn *c) {
    return c->head_seen ? request_path(c->request) : (struct span){"", 0};
}

static bool goes_on(const struct conn *c) {
    return !c->close_after && c->request != NULL && request_state(c->request) == REQUEST_DONE &&
           request_keep_alive(c->request) && !c->surplus &&
           !atomic_load_explicit(&c->server->options.shared->draining, memory_order_relaxed);
}

void respond(struct conn *c, int status, const char *content_type, const char *headers,
             const char *body, size_t len) {
    c->close_after = !goes_on(c);
    log_debug("request answered", "fd=%d status=%d path=%.*s", c->fd, status, (int)path_of(c).len,
              path_of(c).data);
    respond_head(c, &c->out, status);
    if (content_type != NULL)
        buf_printf(&c->out, "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\n",
                   content_type);
    if (headers != NULL)
        buf_puts(&c->out, headers);
    if (status != 204)
        buf_printf(&c->out, "Content-Length: %zu\r\n", len);
    if (c->close_after)
        buf_puts(&c->out, "Connection: close\r\n");
    else if (request_is_http10(c->request))
        buf_puts(&c->out, "Connection: keep-alive\r\n"); /* not the default of 1.0 */
    buf_puts(&c->out, "\r\n");
    bool is_head =
        c->request != NULL && c->head_seen && request_method(c->request) == HTTP_METHOD_HEAD;
    if (!is_head)
        buf_append(&c->out, body, len);
    conn_start_sending(c);
}

void respond_problem(struct conn *c, int status, const char *headers, const char *detail) {
    struct buf json = BUF_INIT;
    buf_puts(&json, "{\"type\":\"about:blank\",\"title\":");
    buf_put_json(&json, reason_phrase(status), strlen(reason_phrase(status)));
    buf_printf(&json, ",\"status\":%d,\"detail\":", status);
    buf_put_json(&json, detail, strlen(detail));
    buf_puts(&json, "}\n");
    struct buf all = BUF_INIT;
    buf_puts(&all, "Cache-Control: no-store\r\n");
    buf_puts(&all, headers != NULL ? headers : "");
    respond(c, status, "application/problem+json", all.data, json.data, json.len);
    buf_fini(&all);
    buf_fini(&json);
}
