/* Answers that are not streams; see respond.h. */
#include "relay/http/respond.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/http/status.h"

void respond_fields(const struct exchange *x, struct fields *fields) {
    fields->len = 0;
    origin_put_cors(&x->service->options.origins, x->request, fields);
}

void respond(struct exchange *x, int status, const char *content_type, const struct fields *more,
             const char *body, size_t len) {
    struct answer answer = {.status = status, .body = {body, len}};
    respond_fields(x, &answer.fields);
    if (content_type != NULL) {
        fields_add(&answer.fields, "Content-Type", content_type);
        fields_add(&answer.fields, "X-Content-Type-Options", "nosniff");
    }
    if (more != NULL)
        fields_add_all(&answer.fields, more);
    exchange_answer(x, &answer);
}

void respond_problem(struct exchange *x, int status, const struct fields *more,
                     const char *detail) {
    const char *title = status_phrase(status);
    struct buf json = BUF_INIT;
    buf_puts(&json, "{\"type\":\"about:blank\",\"title\":");
    buf_put_json(&json, title, strlen(title));
    buf_printf(&json, ",\"status\":%d,\"detail\":", status);
    buf_put_json(&json, detail, strlen(detail));
    buf_puts(&json, "}\n");
    struct fields all = {0};
    fields_add(&all, "Cache-Control", "no-store");
    if (more != NULL)
        fields_add_all(&all, more);
    respond(x, status, "application/problem+json", &all, json.data, json.len);
    buf_fini(&json);
}

void respond_later(struct exchange *x, int status, uint64_t after_s, const char *detail) {
    char text[24];
    struct fields more = {0};
    snprintf(text, sizeof(text), "%" PRIu64, after_s);
    fields_add(&more, "Retry-After", text);
    respond_problem(x, status, &more, detail);
}

void respond_retry(struct exchange *x, uint64_t after_s, const char *detail) {
    respond_later(x, 503, after_s, detail);
}
