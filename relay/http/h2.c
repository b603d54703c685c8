/* An HTTP/2 connection: what is read, deadlines, drain; h2.h tells the rest.
 *
 * Happy path: nghttp2 reads frames and calls back; the fields of a request become an h2_request,
 * which is routed when its head is complete. A client that breaks the protocol is told by nghttp2
 * (GOAWAY), one that floods by us, and both are read no more. */
#include "relay/http/h2.h"

#include <stdlib.h>

#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/http/authority.h"
#include "relay/http/h2_output.h"
#include "relay/http/h2_stream.h"

enum {
    DISCARD_MAX_BYTES = 64 * 1024, /* behind a request that was answered */
    LINGER_MAX_BYTES = 16 * 1024 * 1024,
    HELD_MAX_BYTES = 8 * 1024 * 1024, /* bodies of one connection's requests and answers */
    FIELDS_MAX_BYTES = 4 * REQUEST_HEAD_MAX_BYTES, /* of a head that gets an answer, as decoded */
    DRAIN_IDLE_MS = 500 /* a request that is on its way when the node goes down is answered */
};

static struct h2 *h2_of(struct conn *c) {
    return container_of(c, struct h2_conn, conn)->h2;
}

static const struct http_options *options_of(const struct h2 *h) {
    return &h->conn->group->service.options;
}

static const struct exchange_handler *handler_of(const struct h2 *h) {
    return h->conn->group->service.handler;
}

static struct h2_stream *stream_of(const struct h2 *h, int32_t id) {
    return nghttp2_session_get_stream_user_data(h->session, id);
}

/* ---- the end of a client that cannot be served ---- */

/* Streams are not ended here: one of them may be what calls. */
static void fail(struct h2 *h, uint32_t code) {
    h->failed = true;
    nghttp2_session_terminate_session(h->session, code);
    conn_later(h->conn->group, &h->later);
}

static void flooded(struct h2 *h, enum http_flood kind) {
    static const char *const names[HTTP_FLOODS] = {"reset",    "continuation", "ping",
                                                   "settings", "empty",        "other"};
    metric_add(&h->conn->group->service.metrics->floods[kind], 1);
    log_debug("client floods us", "fd=%d frames=%s", h->conn->transport.fd, names[kind]);
    fail(h, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void count(struct h2 *h, enum http_flood kind) {
    if (!h->failed && !h2_floods_pass(&h->floods, kind, h->now_ms))
        flooded(h, kind);
}

/* ---- requests ---- */

static void fault(struct h2_stream *s, int status, const char *why) {
    s->exchange.service->handler->on_fault(&s->exchange, status, why);
}

static void on_complete(struct h2_stream *s) {
    s->remote_ended = true;
    if (s->state == H2_STREAM_READING && s->head_seen)
        s->exchange.service->handler->on_request(&s->exchange);
}

static const char too_many_bodies[] =
    "This connection holds too many bodies at once. Read the answers, and try again.";

/* The head is complete. Who does not answer by it wants the body. */
static void route(struct h2 *h, struct h2_stream *s, bool ends) {
    struct h2_request *r = s->request;
    s->head_seen = true;
    s->remote_ended = ends;
    s->since_ms = 0;
    h->requested = true;
    metric_add(&h->conn->group->service.metrics->requests, 1);
    h2_request_head(r);
    if (r->fault != NULL) {
        fault(s, r->fault->status, r->fault->why);
        return;
    }
    if (h->held_bytes > HELD_MAX_BYTES) { /* answers that the client leaves in shut windows */
        fault(s, 503, too_many_bodies);
        return;
    }
    handler_of(h)->on_head(&s->exchange);
    if (s->state != H2_STREAM_READING)
        return;
    if (ends) {
        on_complete(s);
        return;
    }
    h2_stream_await(s, options_of(h)->body_timeout_ms);
    if (span_equals_nocase(request_header(&r->view, "expect"), span_of("100-continue")))
        h2_stream_continue(s);
}

static void take_body(struct h2 *h, struct h2_stream *s, const void *bytes, size_t len) {
    if (h->held_bytes + len > HELD_MAX_BYTES)
        fault(s, 503, too_many_bodies);
    else if (h2_request_body(s->request, bytes, len))
        h->held_bytes += len;
    else
        fault(s, s->request->fault->status, s->request->fault->why);
}

static void discard(struct h2_stream *s, size_t len) {
    s->discarded += (uint32_t)len;
    if (s->discarded > DISCARD_MAX_BYTES && s->state != H2_STREAM_DONE)
        exchange_abort(&s->exchange, HUB_END_INPUT);
}

/* ---- nghttp2's callbacks ---- */

static void was_reset(struct h2 *h, int32_t id) {
    if (id > h->reset_id)
        h->reset_id = id;
}

/* A stream begins: nghttp2 may still refuse it, and its client send of it before it knows. */
static void opens(struct h2 *h, int32_t id) {
    if (id > h->last_id + 2)
        h->skipped_id = id - 2;
    h->last_id = h->opening_id = id;
}

/* What comes on a stream that its client has ended or reset itself, or left out: nghttp2, which
 * forgets closed streams, ignores it, and RFC 9113 (5.1) asks for the end of the connection. */
static void check_open(struct h2 *h, const nghttp2_frame_hd *hd) {
    int32_t id = hd->stream_id;
    bool is_new = id > h->last_id;
    if (h->opening_id != 0)
        was_reset(h, h->opening_id);
    h->opening_id = 0;
    if (h->failed || h->going_away || id % 2 == 0)
        return;
    if (is_new && hd->type == NGHTTP2_HEADERS)
        opens(h, id);
    else if (!is_new && id > h->reset_id && stream_of(h, id) == NULL)
        fail(h, id <= h->skipped_id ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_STREAM_CLOSED);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *ctx) {
    struct h2 *h = ctx;
    (void)session;
    if (hd->type == NGHTTP2_DATA || hd->type == NGHTTP2_HEADERS)
        check_open(h, hd);
    switch (hd->type) {
    case NGHTTP2_DATA: /* of padding at most */
        if ((hd->flags & NGHTTP2_FLAG_END_STREAM) == 0 &&
            hd->length <= ((hd->flags & NGHTTP2_FLAG_PADDED) != 0 ? 256 : 0))
            count(h, HTTP_FLOOD_EMPTY);
        break;
    case NGHTTP2_HEADERS:
        h2_floods_allow(&h->floods, HTTP_FLOOD_CONTINUATION, H2_CONTINUATIONS_MAX);
        break;
    case NGHTTP2_CONTINUATION:
        count(h, HTTP_FLOOD_CONTINUATION);
        break;
    case NGHTTP2_RST_STREAM:
        count(h, HTTP_FLOOD_RESET);
        break;
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
        if ((hd->flags & NGHTTP2_FLAG_ACK) == 0)
            count(h, hd->type == NGHTTP2_PING ? HTTP_FLOOD_PING : HTTP_FLOOD_SETTINGS);
        else
            count(h, HTTP_FLOOD_OTHER);
        break;
    case NGHTTP2_PRIORITY: /* otherwise not looked at */
        if (hd->stream_id == 0)
            fail(h, NGHTTP2_PROTOCOL_ERROR);
        count(h, HTTP_FLOOD_OTHER);
        break;
    default:
        count(h, HTTP_FLOOD_OTHER);
    }
    return 0;
}

/* Many on one connection take turns, whatever their clients ask for: an event of one must not wait
 * for a replay of another. */
static void be_fair(struct h2 *h, int32_t id) {
    const nghttp2_extpri fair = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    nghttp2_session_change_extpri_stream_priority(h->session, id, &fair, 1);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct h2 *h = ctx;
    h->fields_bytes = 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST || h->failed)
        return 0;
    h->opening_id = 0;
    struct h2_stream *s = h2_stream_new(h, frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(session, s->id, s);
    h2_stream_await(s, options_of(h)->header_timeout_ms);
    be_fair(h, s->id);
    return 0;
}

/* Count a field. One byte may stand for 4 KiB that were sent before, and all of those are looked at
 * each time; so a list that goes on far beyond what is allowed ends the connection. What is left of
 * it is then decoded, since other heads build on it, and not looked at. */
static int count_field(struct h2 *h, size_t name_len, size_t value_len) {
    h->fields_bytes += name_len + value_len + H2_FIELD_OVERHEAD;
    if (!h->failed && h->fields_bytes > FIELDS_MAX_BYTES)
        flooded(h, HTTP_FLOOD_CONTINUATION);
    return h->failed ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

/* Those of trailers, behind the head, are read over. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx) {
    struct h2_stream *s = stream_of(ctx, frame->hd.stream_id);
    (void)session, (void)flags;
    if (s != NULL && !s->head_seen && s->request != NULL)
        h2_request_field(s->request, (struct span){(const char *)name, name_len},
                         (struct span){(const char *)value, value_len});
    return count_field(ctx, name_len, value_len);
}

/* A field with bytes that none may hold: nghttp2 would leave it out, and the request would mean
 * something else than its client, or a proxy in front, read in it. */
static int on_bad_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                         size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                         void *ctx) {
    struct h2_stream *s = stream_of(ctx, frame->hd.stream_id);
    (void)session, (void)name, (void)value, (void)flags;
    if (s != NULL && !s->head_seen && s->request != NULL)
        h2_request_bad_field(s->request);
    return count_field(ctx, name_len, value_len);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(h, frame->hd.stream_id);
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    (void)session;
    if (s == NULL || h->failed)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !s->head_seen && s->request != NULL)
        route(h, s, ends);
    else if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && ends)
        on_complete(s);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *ctx) {
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(h, id);
    (void)session, (void)flags;
    if (s == NULL || h->failed)
        return 0;
    if (s->state == H2_STREAM_READING)
        take_body(h, s, bytes, len);
    else
        discard(s, len);
    return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(h, frame->hd.stream_id);
    (void)session;
    /* What the protocol makes us reset costs us as much as what the client resets. */
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
        count(h, HTTP_FLOOD_RESET);
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        was_reset(h, frame->hd.stream_id);
    if (s != NULL && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
        h2_stream_frame_sent(s, (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
    return 0;
}

static int on_closed(nghttp2_session *session, int32_t id, uint32_t code, void *ctx) {
    struct h2_stream *s = stream_of(ctx, id);
    (void)session, (void)code;
    if (s != NULL)
        h2_stream_closed(s, HUB_END_CLIENT);
    return 0;
}

/* ---- reading ---- */

static void h2_input(struct conn *c, const void *bytes, size_t len) {
    struct h2 *h = h2_of(c);
    h->now_ms = clock_mono_ms();
    if (!h->failed && !h->lingering) {
        ssize_t n = nghttp2_session_mem_recv(h->session, bytes, len);
        if (n < 0 && !h->failed)
            fail(h, n == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
    } else {
        h->discarded += len;
        if (h->discarded > LINGER_MAX_BYTES) {
            h2_end(h, HUB_END_INPUT);
            return;
        }
    }
    conn_later(c->group, &h->later);
}

static void h2_ready(struct conn *c, unsigned can) {
    struct h2 *h = h2_of(c);
    char *scratch = c->group->scratch;
    if (can & TRANSPORT_WRITE)
        h2_write_on(h);
    if (c->closed || (can & TRANSPORT_READ) == 0 || (c->wanted & TRANSPORT_READ) == 0)
        return;
    ssize_t n = transport_read(&c->transport, scratch, sizeof(c->group->scratch));
    if (n > 0)
        h2_input(c, scratch, (size_t)n);
    else if (n != TRANSPORT_AGAIN)
        h2_end(h, HUB_END_CLIENT);
}

/* ---- deadlines, drain, end ---- */

static void go_away(struct h2 *h) {
    h->going_away = true;
    h->drain_ms = 0;
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
    conn_later(h->conn->group, &h->later);
}

/* Nobody can be served on a connection whose head does not end, so it ends. */
static void overdue(struct h2 *h, struct h2_stream *s) {
    if (s->state == H2_STREAM_READING && !s->head_seen)
        fail(h, NGHTTP2_ENHANCE_YOUR_CALM);
    else if (s->state == H2_STREAM_READING)
        fault(s, 408, "The request did not arrive in time. Send it again, at once.");
    else
        exchange_abort(&s->exchange, HUB_END_WRITE_TIMEOUT);
}

static bool is_idle(const struct h2 *h) {
    const struct http_options *o = options_of(h);
    uint64_t timeout_ms = h->requested ? o->idle_timeout_ms : o->header_timeout_ms;
    return h->idle_since_ms != 0 &&
           (h->conn->surplus != HTTP_SURPLUS_NONE || h->now_ms >= h->idle_since_ms + timeout_ms);
}

static void h2_deadline(struct conn *c) {
    struct h2 *h = h2_of(c);
    uint64_t now_ms = clock_mono_ms();
    h->now_ms = now_ms > h->due_ms ? now_ms : h->due_ms; /* never before what it is called for */
    if (h->lingering) {
        h2_end(h, HUB_END_CLIENT);
        return;
    }
    if (h->going_away && h->drain_ms == 0 && h->streams == NULL) { /* it did not take the GOAWAY */
        h2_end(h, HUB_END_CLIENT);
        return;
    }
    if ((h->drain_ms != 0 && h->now_ms >= h->drain_ms) || is_idle(h))
        go_away(h);
    for (struct h2_stream *s = h->streams; s != NULL; s = s->next)
        if (s->since_ms != 0 && h->now_ms >= h2_stream_due_ms(s))
            overdue(h, s);
    h2_arm(h);
}

/* A first GOAWAY says that the end is near, and a later one which requests were too late. */
static void h2_drain(struct conn *c) {
    struct h2 *h = h2_of(c);
    if (h->going_away || h->failed || h->lingering)
        return;
    h->now_ms = clock_mono_ms();
    nghttp2_submit_shutdown_notice(h->session);
    h->drain_ms = h->now_ms + DRAIN_IDLE_MS;
    h2_due(h, h->drain_ms);
    conn_later(c->group, &h->later);
}

static void h2_end_by(struct conn *c, enum hub_end why) {
    h2_end(h2_of(c), why);
}

/* ---- the beginning ---- */

static nghttp2_session *new_session(struct h2 *h) {
    nghttp2_session_callbacks *calls;
    nghttp2_option *option;
    nghttp2_session *session;
    if (nghttp2_session_callbacks_new(&calls) != 0 || nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_frame_callback(calls, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(calls, on_bad_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_closed);
    nghttp2_session_callbacks_set_send_data_callback(calls, h2_stream_send);
    nghttp2_option_set_no_closed_streams(option, 1);
    if (nghttp2_session_server_new2(&session, calls, h, option) != 0)
        abort();
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(calls);
    return session;
}

static void on_later(struct conn_later *l) {
    h2_write(container_of(l, struct h2, later));
}

static void h2_start(struct conn *c) {
    struct h2 *h = mem_zalloc(sizeof(*h));
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->group->service.options.max_streams},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, REQUEST_HEAD_MAX_BYTES},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}};
    container_of(c, struct h2_conn, conn)->h2 = h;
    h->conn = c;
    h->later.run = on_later;
    h->session = new_session(h);
    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
                            sizeof(settings) / sizeof(settings[0]));
    metric_add(&c->group->service.metrics->h2_connections, 1);
    log_debug("connection speaks HTTP/2", "fd=%d", c->transport.fd);
    h->now_ms = h->idle_since_ms = clock_mono_ms();
    h2_arm(h);
    h2_poll(h);
    conn_later(c->group, &h->later);
    if (atomic_load_explicit(&c->group->service.options.shared->draining, memory_order_relaxed))
        h2_drain(c); /* it was not HTTP/2 yet when all others were told */
}

const struct conn_protocol h2_protocol = {.size = sizeof(struct h2_conn),
                                          .start = h2_start,
                                          .input = h2_input,
                                          .ready = h2_ready,
                                          .deadline = h2_deadline,
                                          .drain = h2_drain,
                                          .end = h2_end_by};
_Static_assert(offsetof(struct h2_conn, conn) == 0, "conn.c frees it by its first member");
