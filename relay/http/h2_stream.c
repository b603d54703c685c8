/* A stream of HTTP/2 as an exchange; see h2_stream.h and h2.h. */
#include "relay/http/h2_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/http/authority.h"
#include "relay/http/h2_batch.h"

enum {
    SLICES = 128, /* of one DATA frame */
    EARNS_BYTES = 1024,
    EARNS_FRAMES = 2 /* a window update for the stream, and one for the connection */
};

static struct h2_stream *of_exchange(struct exchange *x) {
    return container_of(x, struct h2_stream, exchange);
}

static const struct http_options *options_of(const struct h2_stream *s) {
    return &s->exchange.service->options;
}

static void write_later(struct h2 *h) {
    conn_later(h->conn->group, &h->later);
}

/* ---- deadlines ---- */

void h2_due(struct h2 *h, uint64_t due_ms) {
    if (h->conn->progress_ms != 0 || (h->due_ms != 0 && h->due_ms <= due_ms))
        return; /* while bytes wait for the socket, that has a deadline of its own */
    h->due_ms = due_ms;
    conn_set_deadline(h->conn, due_ms > h->now_ms ? due_ms - h->now_ms : 0);
}

void h2_stream_await(struct h2_stream *s, uint64_t timeout_ms) {
    s->h2->now_ms = clock_mono_ms();
    s->since_ms = s->h2->now_ms;
    h2_due(s->h2, s->since_ms + timeout_ms);
}

uint64_t h2_stream_due_ms(const struct h2_stream *s) {
    const struct http_options *o = options_of(s);
    if (s->since_ms == 0)
        return 0;
    if (s->state != H2_STREAM_READING)
        return s->since_ms + o->write_timeout_ms;
    return s->since_ms + (s->head_seen ? o->body_timeout_ms : o->header_timeout_ms);
}

/* ---- the end ---- */

static void free_request(struct h2_stream *s) {
    s->exchange.request = NULL;
    if (s->request != NULL)
        s->h2->held_bytes -= s->request->body.len;
    h2_request_free(s->request);
    s->request = NULL;
}

static void free_body(struct h2_stream *s) {
    if (s->body != NULL)
        s->h2->held_bytes -= s->body->len;
    free(s->body);
    s->body = NULL;
}

void h2_stream_end(struct h2_stream *s, enum hub_end why) {
    if (s->exchange.subscriber != NULL) {
        bool announced = s->state == H2_STREAM_FINISHING || s->state == H2_STREAM_DONE;
        enum hub_end end = announced ? s->end : why;
        log_debug("stream ended", "fd=%d stream=%d reason=%s", s->h2->conn->transport.fd, s->id,
                  hub_end_name(end));
        exchange_end_stream(&s->exchange, end);
    }
    exchange_fini(&s->exchange);
    free_request(s);
    free_body(s);
    s->state = H2_STREAM_DONE;
    s->since_ms = 0;
}

static void unlink_stream(struct h2_stream *s) {
    struct h2 *h = s->h2;
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        h->streams = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    if (h->streams == NULL) {
        const struct http_options *o = options_of(s);
        h->now_ms = h->idle_since_ms = clock_mono_ms();
        h2_due(h, h->now_ms + o->idle_timeout_ms);
    }
}

static void release(struct h2_stream *s, enum hub_end why) {
    h2_stream_end(s, why);
    metric_sub(&s->exchange.service->metrics->h2_streams, 1);
    free(s);
}

void h2_stream_free(struct h2_stream *s, enum hub_end why) {
    unlink_stream(s);
    release(s, why);
}

void h2_stream_closed(struct h2_stream *s, enum hub_end why) {
    struct h2 *h = s->h2;
    unlink_stream(s);
    if (h->batch == NULL) {
        release(s, why);
        return;
    }
    s->closed = true;
    s->next = h->dead;
    h->dead = s;
}

/* ---- data ---- */

/* Point @iov at what is queued behind what the batch has already. Returns how many pieces; all of
 * those that are looked at may be in the batch. */
static int gather(const struct h2_stream *s, struct iovec iov[SLICES], size_t *bytes) {
    struct iovec all[2 * SLICES];
    int found = hub_gather(s->exchange.subscriber, all, 2 * SLICES), len = 0;
    size_t skip = s->batched;
    *bytes = 0;
    for (int i = 0; i < found && len < SLICES; i++) {
        if (skip >= all[i].iov_len) {
            skip -= all[i].iov_len;
            continue;
        }
        iov[len].iov_base = (char *)all[i].iov_base + skip;
        iov[len].iov_len = all[i].iov_len - skip;
        *bytes += iov[len++].iov_len;
        skip = 0;
    }
    return len;
}

static size_t unsent(const struct h2_stream *s) {
    if (s->body != NULL)
        return s->body->len - s->body->sent;
    return s->exchange.subscriber != NULL ? hub_unsent(s->exchange.subscriber) - s->batched : 0;
}

static bool is_finishing(const struct h2_stream *s) {
    return s->state == H2_STREAM_FINISHING || s->state == H2_STREAM_RESPONDING;
}

ssize_t h2_stream_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *ctx) {
    struct h2_stream *s = source->ptr;
    struct iovec iov[SLICES];
    size_t left = unsent(s), can = left;
    (void)session, (void)id, (void)buf, (void)ctx;
    if (s->state == H2_STREAM_DONE)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (left == 0 && !is_finishing(s))
        return NGHTTP2_ERR_DEFERRED;
    if (s->body == NULL && left > 0)
        gather(s, iov, &can);
    if (left > 0 && can == 0)
        return NGHTTP2_ERR_PAUSE; /* until the batch has left */
    if (can > length)
        can = length;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    s->last = can == left;
    if (s->last)
        *flags |= NGHTTP2_DATA_FLAG_EOF | (is_finishing(s) ? 0u : NGHTTP2_DATA_FLAG_NO_END_STREAM);
    return (ssize_t)can;
}

/* Its bytes went into the batch. */
static void progressed(struct h2_stream *s, size_t length) {
    struct h2 *h = s->h2;
    if (length >= EARNS_BYTES || unsent(s) == 0)
        h2_floods_allow(&h->floods, HTTP_FLOOD_OTHER, EARNS_FRAMES);
    s->since_ms = unsent(s) > 0 ? h->now_ms : 0;
    if (s->since_ms != 0)
        h2_due(h, h2_stream_due_ms(s));
}

static void put_data(struct h2_stream *s, struct h2_batch *b, const struct iovec *iov, int n,
                     size_t length) {
    for (int i = 0; i < n && length > 0; i++) {
        size_t len = iov[i].iov_len < length ? iov[i].iov_len : length;
        h2_batch_point(b, iov[i].iov_base, len);
        length -= len;
    }
    if (s->batched == 0)
        b->streams[b->streams_len++] = s;
}

int h2_stream_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                   size_t length, nghttp2_data_source *source, void *ctx) {
    struct h2_stream *s = source->ptr;
    struct h2_batch *b = s->h2->batch;
    struct iovec iov[SLICES] = {{NULL, 0}};
    size_t bytes;
    int n = 0;
    (void)session, (void)frame, (void)ctx;
    if (s->state == H2_STREAM_DONE)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* given up since the frame was made */
    if (s->body != NULL)
        iov[n++] = (struct iovec){s->body->bytes + s->body->sent, s->body->len - s->body->sent};
    else if (length > 0)
        n = gather(s, iov, &bytes);
    if (!h2_batch_has_room(b, n))
        return NGHTTP2_ERR_WOULDBLOCK; /* until the batch has left */
    h2_batch_copy(b, head, 9);
    put_data(s, b, iov, n, length);
    if (s->body != NULL)
        s->body->sent += length;
    else
        s->batched += (uint32_t)length;
    progressed(s, length);
    return 0;
}

/* Let nghttp2 ask for what there is, once it may be sent. */
static void queue(struct h2_stream *s) {
    static const nghttp2_data_provider nothing = {.read_callback = h2_stream_read};
    nghttp2_data_provider provider = nothing;
    provider.source.ptr = s;
    if (s->queued) {
        nghttp2_session_resume_data(s->h2->session, s->id); /* where it found nothing */
    } else if (nghttp2_submit_data(s->h2->session, NGHTTP2_FLAG_END_STREAM, s->id, &provider) !=
               0) {
        exchange_abort(&s->exchange, HUB_END_ERROR);
        return;
    } else {
        s->queued = true;
    }
    if (s->since_ms == 0)
        h2_stream_await(s, options_of(s)->write_timeout_ms);
    write_later(s->h2);
}

void h2_stream_frame_sent(struct h2_stream *s, bool end) {
    if (s->last)
        s->queued = s->last = false;
    if (end) {
        s->state = H2_STREAM_DONE;
        s->since_ms = 0;
        if (!s->remote_ended) /* what it still sends is not read (RFC 9113, section 8.1) */
            nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    } else if (!s->queued && (unsent(s) > 0 || s->state == H2_STREAM_FINISHING)) {
        queue(s);
    }
}

void h2_streams_settle(struct h2 *h, struct h2_batch *b) {
    for (unsigned i = 0; i < b->streams_len; i++) {
        struct h2_stream *s = b->streams[i];
        size_t written = s->batched;
        s->batched = 0;
        if (s->exchange.subscriber != NULL && written > 0)
            hub_written(s->exchange.subscriber, written);
        if (s->state == H2_STREAM_DONE)
            h2_stream_end(s, s->end);
    }
    b->streams_len = 0;
    while (h->dead != NULL) {
        struct h2_stream *s = h->dead;
        h->dead = s->next;
        release(s, HUB_END_CLIENT);
    }
}

/* ---- the hub's stream ---- */

static void on_flush(struct stream *stream) {
    queue(container_of(stream, struct h2_stream, stream));
}

static void on_finish(struct stream *stream, enum hub_end why) {
    struct h2_stream *s = container_of(stream, struct h2_stream, stream);
    s->state = H2_STREAM_FINISHING;
    s->end = (uint8_t)why;
}

static const struct stream_ops stream_ops = {on_flush, on_finish};

/* ---- the exchange ---- */

enum { HEAD_FIELDS = FIELDS_MAX + 3 };

static nghttp2_nv pair(const char *name, struct span value) {
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name, /* it is copied, in small letters */
                        .value = (uint8_t *)(uintptr_t)value.data,
                        .namelen = strlen(name),
                        .valuelen = value.len,
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

/* The head of an answer, and behind it the body that nghttp2 will ask for, or none. */
static void submit_head(struct h2_stream *s, const struct answer *a, bool ends) {
    char status[16], length[24];
    nghttp2_nv fields[HEAD_FIELDS];
    size_t n = 0;
    snprintf(status, sizeof(status), "%d", a->status);
    snprintf(length, sizeof(length), "%zu", a->body.len);
    fields[n++] = pair(":status", span_of(status));
    fields[n++] = pair("date", span_of(s->h2->conn->group->date));
    for (size_t i = 0; i < a->fields.len; i++)
        fields[n++] = pair(a->fields.list[i].name, a->fields.list[i].value);
    if (!a->streamed && a->status != 204)
        fields[n++] = pair("content-length", span_of(length));
    nghttp2_submit_headers(s->h2->session, ends ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE,
                           s->id, NULL, fields, n, NULL);
    write_later(s->h2);
}

static void keep_body(struct h2_stream *s, struct span body) {
    s->body = mem_zalloc(sizeof(*s->body) + body.len);
    s->body->len = body.len;
    memcpy(s->body->bytes, body.data, body.len);
    s->h2->held_bytes += body.len;
}

static void answer(struct exchange *x, const struct answer *a) {
    struct h2_stream *s = of_exchange(x);
    bool is_head = s->head_seen && x->request->method == HTTP_METHOD_HEAD;
    bool ends = is_head || a->body.len == 0;
    struct span path = s->head_seen ? x->request->path : (struct span){"", 0};
    log_debug("request answered", "fd=%d stream=%d status=%d path=%.*s", s->h2->conn->transport.fd,
              s->id, a->status, (int)path.len, path.data);
    s->state = H2_STREAM_RESPONDING;
    s->since_ms = 0;
    submit_head(s, a, ends);
    if (!ends)
        keep_body(s, a->body);
    free_request(s);
    if (!ends)
        queue(s);
    if (x->surplus != HTTP_SURPLUS_NONE)
        nghttp2_submit_goaway(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR, NULL, 0);
    s->h2->going_away |= x->surplus != HTTP_SURPLUS_NONE;
}

static void stream(struct exchange *x, const struct answer *head,
                   struct hub_subscription_spec *spec) {
    struct h2_stream *s = of_exchange(x);
    submit_head(s, head, false);
    spec->framing = FRAMING_NONE;
    s->state = H2_STREAM_STREAMING;
    s->stream.ops = &stream_ops;
    s->since_ms = 0;
    x->subscriber = hub_attach(x->service->hub, spec, &s->stream, clock_mono_ms());
    free_request(s);
    log_debug("stream opened", "fd=%d stream=%d topics=%zu", s->h2->conn->transport.fd, s->id,
              spec->topics_len);
}

static void wait_for_answer(struct exchange *x) {
    struct h2_stream *s = of_exchange(x);
    s->state = H2_STREAM_WAITING;
    s->since_ms = 0;
}

static void abort_exchange(struct exchange *x, enum hub_end why) {
    struct h2_stream *s = of_exchange(x);
    nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
    h2_stream_end(s, why);
    write_later(s->h2);
}

static struct ip_address peer(const struct exchange *x) {
    return conn_peer(container_of(x, const struct h2_stream, exchange)->h2->conn);
}

static const void *connection(const struct exchange *x) {
    return container_of(x, const struct h2_stream, exchange)->h2->conn;
}

static const struct exchange_ops exchange_ops = {.answer = answer,
                                                 .stream = stream,
                                                 .wait = wait_for_answer,
                                                 .abort = abort_exchange,
                                                 .peer = peer,
                                                 .connection = connection};

void h2_stream_continue(struct h2_stream *s) {
    nghttp2_nv status = pair(":status", span_of("100"));
    nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, &status, 1, NULL);
    write_later(s->h2);
}

/* ---- the beginning ---- */

struct h2_stream *h2_stream_new(struct h2 *h, int32_t id) {
    struct h2_stream *s = mem_zalloc(sizeof(*s));
    exchange_init(&s->exchange, &exchange_ops, &h->conn->group->service);
    s->exchange.loopback = h->conn->loopback;
    s->exchange.surplus = h->conn->surplus;
    s->request = h2_request_new();
    s->exchange.request = &s->request->view;
    s->h2 = h;
    s->id = id;
    s->next = h->streams;
    if (s->next != NULL)
        s->next->prev = s;
    h->streams = s;
    h->idle_since_ms = 0;
    metric_add(&s->exchange.service->metrics->h2_streams, 1);
    return s;
}
