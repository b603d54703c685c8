/* Answers as HTTP/1 writes them; see h1_answer.h. */
#include "relay/http/h1_answer.h"

#include "relay/http/status.h"

const char H1_LAST_CHUNK[5] = {'0', '\r', '\n', '\r', '\n'};

static void put_field(struct buf *out, const struct field *f) {
    buf_puts(out, f->name);
    buf_append(out, ": ", 2);
    buf_append(out, f->value.data, f->value.len);
    buf_append(out, "\r\n", 2);
}

void h1_put_head(struct buf *out, const struct h1_answer *a) {
    const struct answer *answer = a->answer;
    buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", answer->status, status_phrase(answer->status),
               a->date);
    for (size_t i = 0; i < answer->fields.len; i++)
        put_field(out, &answer->fields.list[i]);
    if (a->framing == H1_FRAMING_LENGTH && answer->status != 204)
        buf_printf(out, "Content-Length: %zu\r\n", answer->body.len);
    else if (a->framing == H1_FRAMING_CHUNKED)
        buf_puts(out, "Transfer-Encoding: chunked\r\n");
    if (a->connection != NULL)
        buf_printf(out, "Connection: %s\r\n", a->connection);
    buf_append(out, "\r\n", 2);
}

void h1_put_body(struct buf *out, const struct h1_answer *a) {
    struct span body = a->answer->body;
    if (a->framing != H1_FRAMING_CHUNKED) {
        buf_append(out, body.data, body.len);
        return;
    }
    if (body.len > 0) {
        buf_printf(out, "%zx\r\n", body.len);
        buf_append(out, body.data, body.len);
        buf_append(out, "\r\n", 2);
    }
    buf_append(out, H1_LAST_CHUNK, sizeof(H1_LAST_CHUNK));
}
