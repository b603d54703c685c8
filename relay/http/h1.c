/* Requests of an HTTP/1 connection, and the exchange that it provides; h1.h tells its states. */
#include "relay/http/h1.h"

#include <stddef.h>
#include <stdlib.h>

#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/http/h1_answer.h"
#include "relay/http/h1_output.h"

enum {
    DISCARD_MAX_BYTES = 64 * 1024, /* behind a stream's head */
    /* After our end: a client that writes all of a body before it reads our refusal gets it. */
    LINGER_MAX_BYTES = 16 * 1024 * 1024,
    TURN_REQUESTS = 16, /* of one connection, so that pipelined ones cost the others no time */
    SURPLUS_TIMEOUT_MS = 2000,
    DRAIN_IDLE_MS = 500 /* a request that is on its way when the node goes down is still answered */
};

static struct h1 *h1_of(struct conn *c) {
    return container_of(c, struct h1, conn);
}

static struct h1 *h1_of_exchange(struct exchange *x) {
    return container_of(x, struct h1, exchange);
}

static const struct http_options *options_of(const struct h1 *h) {
    return &h->exchange.service->options;
}

/* The request that is being read or answered. */
static struct h1_request *request_of(const struct h1 *h) {
    return h->work != NULL ? h->work->request : NULL;
}

static void on_fault(struct h1 *h, int status, const char *why) {
    h->close_after = true;
    h->exchange.service->handler->on_fault(&h->exchange, status, why);
}

/* ---- deadlines ---- */

static uint64_t read_timeout(const struct h1 *h) {
    const struct h1_request *r = request_of(h);
    if (h->exchange.surplus != HTTP_SURPLUS_NONE)
        return SURPLUS_TIMEOUT_MS;
    if (r != NULL && h1_request_state(r) == H1_REQUEST_BODY)
        return options_of(h)->body_timeout_ms;
    return options_of(h)->header_timeout_ms;
}

static void h1_drain(struct conn *c) {
    struct h1 *h = h1_of(c);
    if (h->state == H1_READING && request_of(h) == NULL)
        conn_set_deadline(c, DRAIN_IDLE_MS);
}

static void h1_end_by(struct conn *c, enum hub_end why) {
    struct h1 *h = h1_of(c);
    bool announced = h->state == H1_FINISHING && why == HUB_END_WRITE_TIMEOUT;
    h1_end(h, announced ? h->end : why);
}

/* ---- reading ---- */

static void fail_request(struct h1 *h) {
    const char *why = NULL;
    int status = h1_request_failure(request_of(h), &why);
    on_fault(h, status, why);
}

/* The head has just been read. Who does not answer by it wants the body. */
static void route(struct h1 *h) {
    h->head_seen = true;
    metric_add(&h->exchange.service->metrics->requests, 1);
    conn_set_deadline(&h->conn, read_timeout(h));
    h->exchange.service->handler->on_head(&h->exchange);
    struct h1_request *r = request_of(h);
    if (h->state == H1_READING && r != NULL && h1_request_state(r) == H1_REQUEST_BODY &&
        h1_request_expects_continue(r))
        h1_send_continue(h);
}

/* One step of the request from @data; returns how many bytes were taken. */
static size_t feed(struct h1 *h, const char *data, size_t len) {
    if (h->work == NULL)
        h->work = mem_zalloc(sizeof(*h->work));
    if (h->work->request == NULL) {
        h->work->request = h1_request_new();
        h->exchange.request = h1_request_view(h->work->request);
        conn_set_deadline(&h->conn, read_timeout(h));
    }
    size_t taken = h1_request_feed(h->work->request, data, len);
    enum h1_request_state state = h1_request_state(h->work->request);
    if (state == H1_REQUEST_FAILED) {
        fail_request(h);
        return len;
    }
    if (state != H1_REQUEST_HEAD && !h->head_seen)
        route(h);
    struct h1_request *r = request_of(h);
    if (h->state == H1_READING && r != NULL && h1_request_state(r) == H1_REQUEST_DONE)
        h->exchange.service->handler->on_request(&h->exchange);
    return taken;
}

/* Bytes that came behind a stream's request, or after our end: count and forget. */
static void discard(struct h1 *h, size_t len) {
    h->discarded += (uint32_t)len;
    if (h->discarded > (h1_is_streaming(h) ? DISCARD_MAX_BYTES : LINGER_MAX_BYTES))
        h1_end(h, HUB_END_INPUT);
}

static void keep(struct h1 *h, const char *data, size_t len) {
    if (h->work == NULL)
        h->work = mem_zalloc(sizeof(*h->work));
    buf_append(&h->work->in, data, len);
}

/* Requests are answered one after the other, and so many in one turn of the loop: what is behind
 * them waits in `in`. */
static void take_input(struct h1 *h, const char *data, size_t len) {
    unsigned answered = 0;
    while (len > 0 && h->state == H1_READING && answered < TURN_REQUESTS) {
        size_t taken = feed(h, data, len);
        data += taken;
        len -= taken;
        answered += request_of(h) == NULL;
    }
    if (h->state == H1_CLOSED)
        return;
    if (len > 0 && (h1_is_streaming(h) || h->state == H1_LINGERING))
        discard(h, len);
    else if (len > 0)
        keep(h, data, len);
    h1_poll(h);
}

/* Requests that are in `in` already. */
static void process(struct h1 *h) {
    if (h->state != H1_READING || h->work == NULL || h->work->in.len == 0)
        return;
    struct buf in = h->work->in;
    buf_init(&h->work->in);
    take_input(h, in.data, in.len);
    buf_fini(&in);
}

/* ---- the preface ---- */

/* What an HTTP/2 client sends first where it knows beforehand that it may (RFC 9113, section 3.4):
 * no request of HTTP/1 begins so. */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum { PREFACE_LEN = sizeof(preface) - 1 };

/* It is HTTP/1: what was taken for a preface is its beginning. */
static void be_http1(struct h1 *h) {
    size_t len = h->preface;
    h->is_first = false;
    h->preface = 0;
    if (len > 0)
        take_input(h, preface, len);
}

static void speak_http2(struct h1 *h, const char *data, size_t len) {
    struct conn *c = &h->conn;
    exchange_fini(&h->exchange);
    free(h->work);
    conn_switch(c, c->group->multiplexed, preface, PREFACE_LEN);
    if (len > 0 && !c->closed)
        c->protocol->input(c, data, len);
}

/* The first bytes of the connection, as far as they may be the preface. */
static void take_first(struct h1 *h, const char *data, size_t len) {
    size_t taken = 0;
    while (taken < len && h->preface < PREFACE_LEN && data[taken] == preface[h->preface]) {
        taken++;
        h->preface++;
    }
    if (h->preface == PREFACE_LEN) {
        speak_http2(h, data + taken, len - taken);
    } else if (taken < len) {
        be_http1(h);
        if (h->state != H1_CLOSED)
            take_input(h, data + taken, len - taken);
    }
}

static void read_on(struct h1 *h) {
    char *scratch = h->conn.group->scratch;
    ssize_t n = transport_read(&h->conn.transport, scratch, sizeof(h->conn.group->scratch));
    if (n > 0 && h->is_first)
        take_first(h, scratch, (size_t)n);
    else if (n > 0)
        take_input(h, scratch, (size_t)n);
    else if (n != TRANSPORT_AGAIN)
        h1_end(h, HUB_END_CLIENT);
}

static void h1_ready(struct conn *c, unsigned can) {
    struct h1 *h = h1_of(c);
    if (can & TRANSPORT_WRITE) {
        h1_write_on(h);
        process(h);
    }
    if ((can & TRANSPORT_READ) && (c->wanted & TRANSPORT_READ) && h->state != H1_CLOSED)
        read_on(h);
}

/* ---- deadlines ---- */

static void h1_deadline(struct conn *c) {
    struct h1 *h = h1_of(c);
    if (h->is_first)
        be_http1(h);
    const struct h1_request *r = request_of(h);
    if (h->state == H1_READING && r != NULL && h1_request_has_begun(r))
        on_fault(h, 408, "The request did not arrive in time. Send it again, at once.");
    else /* idle between requests, or lingering */
        h1_end(h, HUB_END_CLIENT);
}

/* ---- the exchange ---- */

static bool is_head(const struct h1 *h) {
    return h->head_seen && h->exchange.request->method == HTTP_METHOD_HEAD;
}

/* Whether another request may follow. */
static bool goes_on(const struct h1 *h) {
    const struct h1_request *r = request_of(h);
    return !h->close_after && r != NULL && h1_request_state(r) == H1_REQUEST_DONE &&
           h1_request_keep_alive(r) && h->exchange.surplus == HTTP_SURPLUS_NONE &&
           !atomic_load_explicit(&options_of(h)->shared->draining, memory_order_relaxed);
}

/* What tells where the answer ends, and what becomes of the connection behind it. */
static struct h1_answer shape_of(struct h1 *h, const struct answer *answer) {
    struct h1_answer a = {.answer = answer,
                          .framing = H1_FRAMING_LENGTH,
                          .date = h->conn.group->date,
                          .connection = NULL};
    bool http10 = request_of(h) != NULL && h1_request_is_http10(request_of(h));
    h->close_after = answer->streamed || !goes_on(h);
    if (answer->streamed)
        a.framing = http10 ? H1_FRAMING_CLOSE : H1_FRAMING_CHUNKED;
    if (h->close_after)
        a.connection = "close";
    else if (http10)
        a.connection = "keep-alive"; /* not the default of 1.0 */
    return a;
}

/* For the log. Never the query: tokens may stand there. */
static struct span path_of(const struct h1 *h) {
    return h->head_seen ? h->exchange.request->path : (struct span){"", 0};
}

static void answer(struct exchange *x, const struct answer *answer) {
    struct h1 *h = h1_of_exchange(x);
    bool waited = h->state == H1_WAITING;
    log_debug("request answered", "fd=%d status=%d path=%.*s", h->conn.transport.fd, answer->status,
              (int)path_of(h).len, path_of(h).data);
    struct h1_answer a = shape_of(h, answer);
    h1_put_head(&h->work->out, &a);
    if (!is_head(h))
        h1_put_body(&h->work->out, &a);
    h1_send_answer(h);
    if (waited)
        process(h);
}

static void stream(struct exchange *x, const struct answer *head,
                   struct hub_subscription_spec *spec) {
    h1_start_stream(h1_of_exchange(x), head, spec);
}

/* Whoever answers later has a deadline of his own. */
static void wait_for_answer(struct exchange *x) {
    struct h1 *h = h1_of_exchange(x);
    h->state = H1_WAITING;
    conn_clear_deadline(&h->conn);
    h1_poll(h);
}

static void abort_exchange(struct exchange *x, enum hub_end why) {
    h1_end(h1_of_exchange(x), why);
}

static struct ip_address peer(const struct exchange *x) {
    return conn_peer(&container_of(x, const struct h1, exchange)->conn);
}

static const void *connection(const struct exchange *x) {
    return &container_of(x, const struct h1, exchange)->conn;
}

static const struct exchange_ops exchange_ops = {.answer = answer,
                                                 .stream = stream,
                                                 .wait = wait_for_answer,
                                                 .abort = abort_exchange,
                                                 .peer = peer,
                                                 .connection = connection};

/* ---- the beginning ---- */

static void h1_start(struct conn *c) {
    struct h1 *h = h1_of(c);
    exchange_init(&h->exchange, &exchange_ops, &c->group->service);
    h->exchange.loopback = c->loopback;
    h->exchange.surplus = c->surplus;
    h->is_first = c->group->multiplexed != NULL;
    conn_set_deadline(c, read_timeout(h));
    h1_poll(h);
}

const struct conn_protocol h1_protocol = {.size = sizeof(struct h1),
                                          .start = h1_start,
                                          .ready = h1_ready,
                                          .deadline = h1_deadline,
                                          .drain = h1_drain,
                                          .end = h1_end_by};
_Static_assert(offsetof(struct h1, conn) == 0, "conn.c frees it by its first member");
