/* What leaves on an HTTP/1 connection; see h1_output.h. */
#include "relay/http/h1_output.h"

#include <stdlib.h>

#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/http/h1_answer.h"

enum { FLUSH_IOV = 64, LINGER_MS = 2000 };

/* ---- polling ---- */

static bool has_unsent(const struct h1_work *w) {
    return w != NULL && w->out_sent < w->out.len;
}

static unsigned wanted(const struct h1 *h) {
    unsigned waits = h->conn.progress_ms != 0 ? TRANSPORT_WRITE : 0;
    switch ((enum h1_state)h->state) {
    case H1_READING: /* requests that came already are answered first, in a later turn */
        if (h->work != NULL && h->work->in.len > 0)
            return TRANSPORT_WRITE;
        return TRANSPORT_READ | (has_unsent(h->work) ? TRANSPORT_WRITE : 0);
    case H1_LINGERING:
        return TRANSPORT_READ | (h->shutting ? TRANSPORT_WRITE : 0);
    case H1_STREAMING:
    case H1_FINISHING:
        return TRANSPORT_READ | waits;
    case H1_RESPONDING:
        return waits;
    case H1_WAITING:
    case H1_CLOSED:
        break;
    }
    return 0;
}

void h1_poll(struct h1 *h) {
    conn_want(&h->conn, wanted(h));
}

/* ---- the end ---- */

/* The request, and its answer. */
static void forget_request(struct h1 *h) {
    struct h1_work *w = h->work;
    h->exchange.request = NULL;
    h1_request_free(w->request);
    w->request = NULL;
    buf_fini(&w->out);
    w->out_sent = 0;
}

static void free_work(struct h1 *h) {
    if (h->work == NULL)
        return;
    forget_request(h);
    buf_fini(&h->work->in);
    free(h->work);
    h->work = NULL;
}

static void end_stream(struct h1 *h, enum hub_end why) {
    log_debug("stream ended", "fd=%d reason=%s", h->conn.transport.fd, hub_end_name(why));
    exchange_end_stream(&h->exchange, why);
}

void h1_end(struct h1 *h, enum hub_end why) {
    if (h->state == H1_CLOSED)
        return;
    if (h1_is_streaming(h))
        end_stream(h, why);
    exchange_fini(&h->exchange);
    free_work(h);
    h->state = H1_CLOSED;
    conn_close(&h->conn);
}

static void shut_down(struct h1 *h) {
    h->shutting = transport_shut_down(&h->conn.transport) == TRANSPORT_AGAIN;
    h1_poll(h);
}

/* Our side is done: shut it, and wait for the client's end so that our last bytes are not lost to a
 * reset. */
static void linger(struct h1 *h) {
    h->state = H1_LINGERING;
    h->discarded = 0;
    conn_set_deadline(&h->conn, LINGER_MS);
    shut_down(h);
}

/* ---- answers ---- */

static void on_answered(struct h1 *h) {
    struct h1_work *w = h->work;
    conn_unblocked(&h->conn);
    h->head_seen = false;
    if (h->close_after) {
        free_work(h);
        linger(h);
        return;
    }
    if (w->in.len > 0)
        forget_request(h);
    else
        free_work(h);
    h->state = H1_READING;
    conn_set_deadline(&h->conn, h->conn.group->service.options.idle_timeout_ms);
    h1_poll(h);
}

/* What is in `out`. Returns 0 when all has left, or AGAIN or FAILED. */
static int send_out(struct h1 *h) {
    struct h1_work *w = h->work;
    while (has_unsent(w)) {
        struct iovec iov = {w->out.data + w->out_sent, w->out.len - w->out_sent};
        ssize_t n = transport_writev(&h->conn.transport, &iov, 1);
        if (n < 0)
            return (int)n;
        w->out_sent += (size_t)n;
        conn_progressed(&h->conn);
    }
    return 0;
}

static void send_answer(struct h1 *h) {
    int outcome = send_out(h);
    if (outcome == 0) {
        on_answered(h);
    } else if (outcome == TRANSPORT_AGAIN) {
        conn_blocked(&h->conn);
        h1_poll(h);
    } else {
        h1_end(h, HUB_END_CLIENT);
    }
}

void h1_send_answer(struct h1 *h) {
    h->state = H1_RESPONDING;
    conn_clear_deadline(&h->conn);
    send_answer(h);
}

/* What does not leave at once goes on while the body is awaited: the client may send it all the
 * same (RFC 9110, section 10.1.1), so the body's own deadline holds. */
static void send_interim(struct h1 *h) {
    if (send_out(h) == TRANSPORT_FAILED)
        h1_end(h, HUB_END_CLIENT);
    else
        h1_poll(h);
}

void h1_send_continue(struct h1 *h) {
    buf_puts(&h->work->out, "HTTP/1.1 100 Continue\r\n\r\n");
    send_interim(h);
}

/* ---- the stream ---- */

/* What is left to send: frames of the hub, and what ends the response behind them. */
static size_t unsent(const struct h1 *h) {
    return hub_unsent(h->exchange.subscriber) + h->end_left;
}

/* Point @iov at what is queued; the response's end comes in the same write as the last frames. */
static int gather(const struct h1 *h, struct iovec iov[FLUSH_IOV], size_t *offered) {
    int count = hub_gather(h->exchange.subscriber, iov, FLUSH_IOV - 1);
    *offered = 0;
    for (int i = 0; i < count; i++)
        *offered += iov[i].iov_len;
    if (h->end_left > 0 && *offered == hub_unsent(h->exchange.subscriber)) {
        const char *end = H1_LAST_CHUNK + sizeof(H1_LAST_CHUNK) - h->end_left;
        iov[count++] = (struct iovec){(void *)(uintptr_t)end, h->end_left};
        *offered += h->end_left;
    }
    return count;
}

static void sent(struct h1 *h, size_t n) {
    size_t frames = n;
    if (h->end_left > 0) {
        size_t queued = hub_unsent(h->exchange.subscriber);
        frames = n < queued ? n : queued;
        h->end_left -= (uint8_t)(n - frames);
    }
    if (frames > 0)
        hub_written(h->exchange.subscriber, frames);
    conn_progressed(&h->conn);
}

/* One write of what is queued. Returns true when the transport took all that was offered. */
static bool write_some(struct h1 *h) {
    struct iovec iov[FLUSH_IOV];
    size_t offered;
    int count = gather(h, iov, &offered);
    ssize_t n = transport_writev(&h->conn.transport, iov, count);
    if (n == TRANSPORT_FAILED) {
        h1_end(h, h->state == H1_FINISHING ? h->end : HUB_END_CLIENT);
        return false;
    }
    if (n > 0)
        sent(h, (size_t)n);
    if (n == (ssize_t)offered)
        return true;
    conn_blocked(&h->conn);
    h1_poll(h);
    return false;
}

/* FINISHING, and all has left. */
static void finished(struct h1 *h) {
    end_stream(h, h->end);
    linger(h);
}

static void flush(struct h1 *h) {
    while (unsent(h) > 0)
        if (!write_some(h))
            return;
    if (h->conn.progress_ms != 0) {
        conn_unblocked(&h->conn);
        h1_poll(h);
    }
    if (h->state == H1_FINISHING)
        finished(h);
}

static void on_flush(struct stream *s) {
    flush(container_of(s, struct h1, stream));
}

static void on_finish(struct stream *s, enum hub_end why) {
    struct h1 *h = container_of(s, struct h1, stream);
    h->state = H1_FINISHING;
    h->end = (uint8_t)why;
    if (h->chunked)
        h->end_left = sizeof(H1_LAST_CHUNK);
}

static const struct stream_ops stream_ops = {on_flush, on_finish};

/* The head and the first frame, in one write of its own so that proxies pass it on at once. A
 * stream's connection always ends with it. A client that pools connections has to know before that,
 * or it sends its next request into one that is closing. */
static struct frame *opening(const struct h1 *h, const struct answer *head, struct frame *first) {
    struct h1_answer a = {.answer = head,
                          .framing = h->chunked ? H1_FRAMING_CHUNKED : H1_FRAMING_CLOSE,
                          .date = h->conn.group->date,
                          .connection = "close"};
    struct buf bytes = BUF_INIT;
    h1_put_head(&bytes, &a);
    struct frame_slice s =
        frame_slice(first, FRAME_FORMAT_DATA, h->chunked ? FRAMING_CHUNK : FRAMING_NONE);
    buf_append(&bytes, s.bytes, s.len);
    frame_unref(first);
    struct frame *whole = frame_raw(bytes.data, bytes.len);
    buf_fini(&bytes);
    return whole;
}

void h1_start_stream(struct h1 *h, const struct answer *head, struct hub_subscription_spec *spec) {
    h->chunked = !h1_request_is_http10(h->work->request);
    spec->framing = h->chunked ? FRAMING_CHUNK : FRAMING_NONE;
    spec->opening = opening(h, head, spec->opening);
    h->state = H1_STREAMING;
    h->stream.ops = &stream_ops;
    conn_clear_deadline(&h->conn);
    h->exchange.subscriber =
        hub_attach(h->exchange.service->hub, spec, &h->stream, clock_mono_ms());
    free_work(h);
    log_debug("stream opened", "fd=%d topics=%zu", h->conn.transport.fd, spec->topics_len);
}

/* ---- going on ---- */

void h1_write_on(struct h1 *h) {
    if (h1_is_streaming(h))
        flush(h);
    else if (h->state == H1_RESPONDING)
        send_answer(h);
    else if (h->state == H1_LINGERING && h->shutting)
        shut_down(h);
    else if (h->state == H1_READING && has_unsent(h->work))
        send_interim(h);
}
