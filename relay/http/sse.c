/* GET /sse: from a request to a subscriber of the hub, and the stream that it writes to. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/http/conn.h"
#include "relay/http/cursor.h"
#include "relay/http/query.h"

enum {
    FLUSH_IOV = 64,
    /* A full node asks its clients to come back in 30 to 90 s, so that they do not come back at one
       moment. */
    FULL_RETRY_MS = 30000
};

/* ---- the query ---- */

struct stream_query {
    struct topic_list topics;
    struct cursor_request start;
    enum frame_form form;
    bool ping;
};

static const char *const form_names[FRAME_FORMS] = {"data", "topic", "json"};

static bool parse_form(struct span value, enum frame_form *form) {
    struct buf text = BUF_INIT;
    bool found = false;
    if (query_decode(value, &text) == RELAY_OK && text.len > 0)
        for (unsigned i = 0; i < FRAME_FORMS && !found; i++)
            if (strcmp(text.data, form_names[i]) == 0) {
                *form = i;
                found = true;
            }
    buf_fini(&text);
    return found;
}

static bool span_is(struct span s, const char *word) {
    return s.len == strlen(word) && memcmp(s.data, word, s.len) == 0;
}

/* With as=topic a topic becomes an event's name, and EventSource has two of its own. */
static int check_topics_as_names(struct stream_query *q, struct buf *why) {
    for (size_t i = 0; i < q->topics.len; i++) {
        struct span topic = q->topics.topics[i];
        if (!span_is(topic, "error") && !span_is(topic, "open"))
            continue;
        buf_printf(why,
                   "Topic %zu is a name that EventSource uses itself; ask for as=json instead of "
                   "as=topic.",
                   i + 1);
        topic_list_fini(&q->topics);
        return RELAY_EINVAL;
    }
    return RELAY_OK;
}

/* On failure @why has a sentence, and nothing is to be freed. */
static int parse_query(struct conn *c, struct stream_query *q, struct buf *why) {
    struct span query = request_query(c->request), rest = query, name, value;
    *q = (struct stream_query){.form = FRAME_FORM_DATA};
    while (query_next(&rest, &name, &value)) {
        if (query_name_is(name, "as") && !parse_form(value, &q->form)) {
            buf_puts(why, "The parameter `as` is `data`, `topic` or `json`.");
            return RELAY_EINVAL;
        }
        if (query_name_is(name, "ping"))
            q->ping = !(value.len == 1 && value.data[0] == '0');
    }
    if (cursor_parse(c->request, clock_wall_ms(), &q->start, why) != RELAY_OK)
        return RELAY_EINVAL;
    if (topic_list_parse(query, c->server->options.max_topics, &q->topics, why) != RELAY_OK)
        return RELAY_EINVAL;
    return q->form == FRAME_FORM_TOPIC ? check_topics_as_names(q, why) : RELAY_OK;
}

/* ---- the answer ---- */

static bool is_chunked(const struct conn *c) {
    return !request_is_http10(c->request);
}

static void put_stream_head(const struct conn *c, struct buf *out) {
    respond_head(c, out, 200);
    buf_puts(out, "Content-Type: text/event-stream\r\n"
                  "Cache-Control: no-cache, no-store, no-transform\r\n"
                  "X-Accel-Buffering: no\r\n"
                  "X-Content-Type-Options: nosniff\r\n");
    if (is_chunked(c))
        buf_puts(out, "Transfer-Encoding: chunked\r\n");
    if (c->close_after || !is_chunked(c))
        buf_puts(out, "Connection: close\r\n");
    buf_puts(out, "\r\n");
}

/* What is sent at once, so that onopen fires and proxies flush. */
static void put_greeting(const struct conn *c, uint64_t retry_ms, struct buf *out) {
    struct frame *retry = frame_retry(retry_ms), *comment = frame_heartbeat();
    struct frame *greeting[] = {retry, comment};
    for (int i = 0; i < 2; i++) {
        struct frame_slice s = frame_slice(greeting[i], FRAME_FORM_DATA, is_chunked(c));
        buf_append(out, s.bytes, s.len);
        frame_unref(greeting[i]);
    }
}

static bool is_event_source(const struct conn *c) {
    struct span accept = request_header(c->request, "accept");
    return accept.len >= 17 && memmem(accept.data, accept.len, "text/event-stream", 17) != NULL;
}

/* No stream now. An answer that is not 200 would end an EventSource for good, so it gets a stream
 * that ends, with the time to come back; everybody else 503. */
static void turn_away(struct conn *c, uint64_t retry_ms, const char *detail) {
    c->close_after = true;
    if (is_event_source(c)) {
        put_stream_head(c, &c->out);
        if (request_method(c->request) != HTTP_METHOD_HEAD) {
            put_greeting(c, retry_ms, &c->out);
            buf_puts(&c->out, is_chunked(c) ? "0\r\n\r\n" : "");
        }
        conn_start_sending(c);
        return;
    }
    struct buf header = BUF_INIT;
    buf_printf(&header, "Retry-After: %" PRIu64 "\r\n", retry_ms / 1000 + 1);
    respond_problem(c, 503, header.data, detail);
    buf_fini(&header);
}

static bool turned_away(struct conn *c) {
    struct http_figures *figures = c->server->figures;
    if (atomic_load_explicit(&c->server->options.shared->draining, memory_order_relaxed)) {
        figure_add(&figures->refused_draining, 1);
        turn_away(c, hub_retry_soon_ms(c->server->hub),
                  "This node is going down. Try again; another one will answer.");
        return true;
    }
    if (c->surplus) {
        figure_add(&figures->refused_full, 1);
        turn_away(
            c, FULL_RETRY_MS + rng_below(&c->server->rng, 2 * FULL_RETRY_MS),
            "This node serves as many connections as it may (--max-connections). Try again later.");
        return true;
    }
    return false;
}

static void attach(struct conn *c, const struct stream_query *q) {
    struct server *server = c->server;
    struct buf opening = BUF_INIT;
    put_stream_head(c, &opening);
    put_greeting(c, hub_retry_ms(server->hub), &opening);
    struct hub_topic_name *names = mem_zalloc(q->topics.len * sizeof(*names));
    for (size_t i = 0; i < q->topics.len; i++)
        names[i] = (struct hub_topic_name){q->topics.topics[i].data, q->topics.topics[i].len};
    struct hub_subscription_spec spec = {.topics = names,
                                         .topics_len = q->topics.len,
                                         .form = q->form,
                                         .chunked = is_chunked(c),
                                         .ping = q->ping,
                                         .start = q->start,
                                         .opening = frame_raw(opening.data, opening.len)};
    buf_fini(&opening);
    request_free(c->request);
    c->request = NULL;
    c->state = CONN_STREAMING;
    wheel_clear(&c->deadline);
    c->subscriber = hub_attach(server->hub, &spec, &c->stream, clock_mono_ms());
    free(names);
    log_debug("stream opened", "fd=%d topics=%zu", c->fd, q->topics.len);
}

static void accept_stream(struct conn *c, const struct stream_query *q) {
    if (request_method(c->request) != HTTP_METHOD_HEAD) {
        attach(c, q);
        return;
    }
    c->close_after = true;
    put_stream_head(c, &c->out);
    conn_start_sending(c);
}

void sse_get(struct conn *c) {
    struct stream_query q;
    struct buf why = BUF_INIT;
    if (parse_query(c, &q, &why) != RELAY_OK) {
        respond_problem(c, 400, NULL, why.data);
    } else {
        if (!turned_away(c))
            accept_stream(c, &q);
        topic_list_fini(&q.topics);
    }
    buf_fini(&why);
}

/* ---- the stream ---- */

static ssize_t send_iov(int fd, struct iovec *iov, int n) {
    if (n == 1)
        return send(fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
    struct msghdr message = {.msg_iov = iov};
    message.msg_iovlen = (__typeof__(message.msg_iovlen))n;
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* The socket is full: wait for it, and expect progress within the write timeout. */
static void wait_for_socket(struct conn *c) {
    if (c->progress_ms == 0) {
        c->progress_ms = clock_mono_ms();
        conn_set_deadline(c, c->server->options.write_timeout_ms);
    }
    conn_poll(c);
}

/* One write of what is queued. Returns true when the socket took all that was offered. */
static bool write_some(struct conn *c) {
    struct iovec iov[FLUSH_IOV];
    int count = hub_gather(c->subscriber, iov, FLUSH_IOV);
    size_t offered = 0;
    for (int i = 0; i < count; i++)
        offered += iov[i].iov_len;
    ssize_t n = send_iov(c->fd, iov, count);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        conn_end_stream(c, c->state == CONN_FINISHING ? c->end : HUB_END_CLIENT);
        return false;
    }
    if (n > 0) {
        hub_written(c->subscriber, (size_t)n);
        if (c->progress_ms != 0)
            c->progress_ms = clock_mono_ms();
    }
    if (n == (ssize_t)offered)
        return true;
    wait_for_socket(c);
    return false;
}

void sse_flush(struct conn *c) {
    while (hub_unsent(c->subscriber) > 0)
        if (!write_some(c))
            return;
    if (c->progress_ms != 0) {
        c->progress_ms = 0;
        wheel_clear(&c->deadline);
        conn_poll(c);
    }
    if (c->state == CONN_FINISHING)
        conn_finish_stream(c);
}

static void on_flush(struct stream *s) {
    sse_flush(container_of(s, struct conn, stream));
}

static void on_finish(struct stream *s, enum hub_end why) {
    struct conn *c = container_of(s, struct conn, stream);
    c->state = CONN_FINISHING;
    c->end = (uint8_t)why;
    if (hub_is_chunked(c->subscriber))
        hub_push_last(c->subscriber, frame_raw("0\r\n\r\n", 5));
}

const struct stream_ops conn_stream_ops = {on_flush, on_finish};
