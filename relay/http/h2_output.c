/* What leaves on an HTTP/2 connection; see h2_output.h.
 *
 * nghttp2 decides what is next, and whose turn it is. Its control frames are copied into the batch,
 * of streams' data only the 9 bytes in front of it. What the socket does not take is copied, at
 * most one batch: then the streams may forget it, and nothing more is asked of them before it has
 * left. */
#include "relay/http/h2_output.h"

#include <stdlib.h>

#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/http/h2_batch.h"
#include "relay/http/h2_stream.h"

enum {
    TURN_BATCHES = 4, /* of one connection in a turn: the others are served in between */
    LINGER_MS = 2000,
    /* A frame of nghttp2's own, and the heads of frames that come before it in the same call. */
    CONTROL_MAX_BYTES = 16 * 1024 + 4 * 1024,
    SURPLUS_TIMEOUT_MS = 2000
};

/* ---- polling and deadlines ---- */

static bool is_blocked(const struct h2 *h) {
    return h->conn->progress_ms != 0;
}

/* While the socket takes nothing, nothing is read: what a client sends would make us queue more. */
void h2_poll(struct h2 *h) {
    if (is_blocked(h))
        conn_want(h->conn, TRANSPORT_WRITE);
    else
        conn_want(h->conn, TRANSPORT_READ | (h->more || h->shutting ? TRANSPORT_WRITE : 0));
}

static uint64_t idle_timeout(const struct h2 *h) {
    const struct http_options *o = &h->conn->group->service.options;
    if (h->conn->surplus)
        return SURPLUS_TIMEOUT_MS;
    return h->requested ? o->idle_timeout_ms : o->header_timeout_ms;
}

void h2_arm(struct h2 *h) {
    h->due_ms = 0;
    if (h->drain_ms != 0)
        h2_due(h, h->drain_ms);
    if (h->idle_since_ms != 0)
        h2_due(h, h->idle_since_ms + idle_timeout(h));
    for (struct h2_stream *s = h->streams; s != NULL; s = s->next)
        if (s->since_ms != 0)
            h2_due(h, h2_stream_due_ms(s));
}

/* ---- the end ---- */

static void end_streams(struct h2 *h, enum hub_end why) {
    for (struct h2_stream *s = h->streams; s != NULL; s = s->next)
        h2_stream_end(s, why);
}

void h2_end(struct h2 *h, enum hub_end why) {
    struct conn *c = h->conn;
    while (h->streams != NULL)
        h2_stream_free(h->streams, why);
    conn_later_cancel(&h->later);
    nghttp2_session_del(h->session);
    buf_fini(&h->pending);
    metric_sub(&c->group->service.metrics->h2_connections, 1);
    free(h);
    conn_close(c);
}

static void shut_down(struct h2 *h) {
    h->shutting = transport_shut_down(&h->conn->transport) == TRANSPORT_AGAIN;
    h2_poll(h);
}

/* Our side is done: shut it, and wait for the client's end so that the GOAWAY is not lost to a
 * reset. */
static void linger(struct h2 *h) {
    end_streams(h, HUB_END_INPUT); /* of a session that failed; else there are none */
    h->lingering = true;
    h->more = false;
    conn_set_deadline(h->conn, LINGER_MS);
    shut_down(h);
}

static bool is_over(const struct h2 *h) {
    bool last = h->going_away && h->drain_ms == 0 && h->streams == NULL;
    return h->failed || last ||
           (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session));
}

/* ---- writing ---- */

enum outcome { NOTHING, SENT, BLOCKED, FAILED };

static void blocked(struct h2 *h) {
    h->due_ms = 0; /* the write timeout holds in its place */
    if (!is_blocked(h))
        h->blocked_ms = clock_mono_ms();
    conn_blocked(h->conn);
}

/* Streams made no progress while the socket did not, which is not their windows' fault. */
static void unblocked(struct h2 *h) {
    h->now_ms = clock_mono_ms();
    for (struct h2_stream *s = h->streams; s != NULL; s = s->next)
        if (s->since_ms != 0)
            s->since_ms += h->now_ms - h->blocked_ms;
    conn_unblocked(h->conn);
    h2_arm(h);
}

static enum outcome send_pending(struct h2 *h) {
    while (h->pending_sent < h->pending.len) {
        struct iovec iov = {h->pending.data + h->pending_sent, h->pending.len - h->pending_sent};
        ssize_t n = transport_writev(&h->conn->transport, &iov, 1);
        if (n < 0)
            return n == TRANSPORT_AGAIN ? BLOCKED : FAILED;
        h->pending_sent += (size_t)n;
        conn_progressed(h->conn);
    }
    buf_fini(&h->pending);
    h->pending_sent = 0;
    return SENT;
}

static void keep_rest(struct h2 *h, const struct h2_batch *b, size_t sent) {
    for (int i = 0; i < b->len; i++) {
        size_t len = b->iov[i].iov_len, skip = sent < len ? sent : len;
        buf_append(&h->pending, (const char *)b->iov[i].iov_base + skip, len - skip);
        sent -= skip;
    }
}

static bool fill(struct h2 *h, struct h2_batch *b) {
    ssize_t n = 1;
    while (n > 0 && h2_batch_takes(b, CONTROL_MAX_BYTES)) {
        const uint8_t *bytes;
        n = nghttp2_session_mem_send(h->session, &bytes);
        if (n > 0)
            h2_batch_copy(b, bytes, (size_t)n);
    }
    return n >= 0;
}

/* One write of what is queued. */
static enum outcome write_batch(struct h2 *h) {
    struct h2_batch b;
    enum outcome outcome = SENT;
    h2_batch_init(&b, h->conn->group->scratch, sizeof(h->conn->group->scratch));
    h->batch = &b;
    bool good = fill(h, &b);
    h->batch = NULL;
    if (!good) {
        outcome = FAILED;
    } else if (b.len == 0) {
        outcome = NOTHING;
    } else {
        ssize_t n = transport_writev(&h->conn->transport, b.iov, b.len);
        if (n == TRANSPORT_FAILED)
            outcome = FAILED;
        else if (n != (ssize_t)b.bytes)
            outcome = BLOCKED;
        if (outcome == BLOCKED)
            keep_rest(h, &b, n > 0 ? (size_t)n : 0);
    }
    h2_streams_settle(h, &b);
    return outcome;
}

void h2_write(struct h2 *h) {
    enum outcome outcome = SENT;
    if (is_blocked(h) || h->lingering)
        return;
    h->now_ms = clock_mono_ms();
    for (int i = 0; i < TURN_BATCHES && outcome == SENT; i++) {
        if (h->failed)
            end_streams(h, HUB_END_INPUT);
        outcome = write_batch(h);
    }
    conn_later_cancel(&h->later);
    h->more = outcome == SENT;
    if (outcome == FAILED) {
        h2_end(h, HUB_END_CLIENT);
        return;
    }
    if (outcome == BLOCKED)
        blocked(h);
    if (outcome == NOTHING && is_over(h))
        linger(h);
    else
        h2_poll(h);
}

void h2_write_on(struct h2 *h) {
    if (h->lingering) {
        if (h->shutting)
            shut_down(h);
        return;
    }
    enum outcome outcome = send_pending(h);
    if (outcome == FAILED) {
        h2_end(h, HUB_END_CLIENT);
    } else if (outcome == SENT) {
        if (is_blocked(h))
            unblocked(h);
        h2_write(h);
    }
}
