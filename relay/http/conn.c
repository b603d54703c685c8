/* A connection's bytes and deadlines; conn.h tells its states. */
#include "relay/http/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"

enum {
    DISCARD_MAX_BYTES = 64 * 1024, /* behind a stream's head */
    /* After our end: a client that writes all of a body before it reads our refusal gets it. */
    LINGER_MAX_BYTES = 16 * 1024 * 1024,
    LINGER_MS = 2000,
    TURN_REQUESTS = 16, /* of one connection, so that pipelined ones cost the others no time */
    SURPLUS_TIMEOUT_MS = 2000,
    DRAIN_IDLE_MS = 500 /* a request that is on its way when the node goes down is still answered */
};

static bool is_streaming(const struct conn *c) {
    return c->state == CONN_STREAMING || c->state == CONN_FINISHING;
}

/* ---- the end ---- */

static void on_handle_closed(uv_handle_t *handle) {
    struct conn *c = handle->data;
    struct server *server = c->server;
    free(c);
    server_handle_closed(server);
}

static void unlink_from_server(struct conn *c) {
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->server->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    figure_sub(&c->server->figures->connections, 1);
    atomic_fetch_sub_explicit(&c->server->options.shared->connections, 1, memory_order_relaxed);
}

void conn_close(struct conn *c) {
    if (c->state == CONN_CLOSED)
        return;
    if (c->subscriber != NULL)
        hub_detach(c->subscriber);
    if (c->publish != NULL)
        c->publish->waiter = NULL; /* its answer is thrown away when it comes */
    request_free(c->request);
    buf_fini(&c->in);
    buf_fini(&c->out);
    wheel_clear(&c->deadline);
    c->state = CONN_CLOSED;
    log_debug("connection closed", "fd=%d", c->fd);
    unlink_from_server(c);
    uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    close(c->fd);
}

static void count_end(struct conn *c, enum hub_end why) {
    figure_add(&c->server->figures->ends[why], 1);
    log_debug("stream ended", "fd=%d reason=%s", c->fd, hub_end_name(why));
}

/* Our side is done: shut it, and wait for the client's end so that our last bytes are not lost to a
 * reset. */
static void linger(struct conn *c) {
    shutdown(c->fd, SHUT_WR);
    c->state = CONN_LINGERING;
    c->discarded = 0;
    conn_set_deadline(c, LINGER_MS);
    conn_poll(c);
}

void conn_end_stream(struct conn *c, enum hub_end why) {
    count_end(c, why);
    conn_close(c);
}

void conn_finish_stream(struct conn *c) {
    count_end(c, c->end);
    hub_detach(c->subscriber);
    c->subscriber = NULL;
    linger(c);
}

void conn_drain(struct conn *c) {
    conn_set_deadline(c, DRAIN_IDLE_MS);
}

/* ---- deadlines ---- */

void conn_set_deadline(struct conn *c, uint64_t from_now_ms) {
    wheel_set(&c->server->wheel, &c->deadline, clock_mono_ms() + from_now_ms);
}

static uint64_t read_timeout(const struct conn *c) {
    const struct http_options *o = &c->server->options;
    if (c->surplus)
        return SURPLUS_TIMEOUT_MS;
    if (c->request != NULL && request_state(c->request) == REQUEST_BODY)
        return o->body_timeout_ms;
    return o->header_timeout_ms;
}

void conn_fire(struct wheel_entry *e, uint64_t now_ms, void *ctx) {
    struct conn *c = container_of(e, struct conn, deadline);
    uint64_t write_timeout_ms = c->server->options.write_timeout_ms;
    (void)ctx;
    if (c->progress_ms !=
        0) { /* bytes wait to leave: the client must take some within the timeout */
        if (now_ms < c->progress_ms + write_timeout_ms)
            wheel_set(&c->server->wheel, e, c->progress_ms + write_timeout_ms);
        else if (is_streaming(c))
            conn_end_stream(c, c->state == CONN_FINISHING ? c->end : HUB_END_WRITE_TIMEOUT);
        else
            conn_close(c);
        return;
    }
    bool begun = c->state == CONN_READING && c->request != NULL && request_has_begun(c->request);
    if (!begun) { /* idle between requests, or lingering */
        conn_close(c);
        return;
    }
    c->close_after = true;
    respond_problem(c, 408, NULL, "The request did not arrive in time. Send it again, at once.");
}

/* ---- polling ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

static int wanted_events(const struct conn *c) {
    int waits = c->progress_ms != 0 ? UV_WRITABLE : 0;
    switch ((enum conn_state)c->state) {
    case CONN_READING: /* requests that came already are answered first, in a later turn */
        return c->in.len > 0 ? UV_WRITABLE : UV_READABLE;
    case CONN_LINGERING:
        return UV_READABLE;
    case CONN_STREAMING:
    case CONN_FINISHING:
        return UV_READABLE | waits;
    case CONN_RESPONDING:
        return waits;
    case CONN_WAITING:
    case CONN_CLOSED:
        break;
    }
    return 0;
}

void conn_poll(struct conn *c) {
    int events = wanted_events(c);
    if (c->state == CONN_CLOSED || events == c->polled)
        return;
    c->polled = (uint8_t)events;
    if (events == 0)
        uv_poll_stop(&c->poll);
    else
        uv_poll_start(&c->poll, events, on_poll);
}

/* ---- sending an answer ---- */

static void on_answered(struct conn *c) {
    buf_fini(&c->out);
    c->out_sent = 0;
    c->progress_ms = 0;
    request_free(c->request);
    c->request = NULL;
    c->head_seen = false;
    if (c->close_after) {
        linger(c);
        return;
    }
    c->state = CONN_READING;
    conn_set_deadline(c, c->server->options.idle_timeout_ms);
    conn_poll(c);
}

static void send_out(struct conn *c) {
    while (c->out_sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->out_sent, c->out.len - c->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (c->progress_ms == 0) {
                c->progress_ms = clock_mono_ms();
                conn_set_deadline(c, c->server->options.write_timeout_ms);
            }
            conn_poll(c);
            return;
        }
        if (n < 0) {
            conn_close(c);
            return;
        }
        c->out_sent += (size_t)n;
        if (c->progress_ms != 0)
            c->progress_ms = clock_mono_ms();
    }
    on_answered(c);
}

void conn_start_sending(struct conn *c) {
    c->state = CONN_RESPONDING;
    wheel_clear(&c->deadline);
    send_out(c);
}

/* ---- reading ---- */

static void fail_request(struct conn *c) {
    const char *why = NULL;
    int status = request_failure(c->request, &why);
    c->close_after = true;
    respond_problem(c, status, NULL, why);
}

/* One step of the request from @data; returns how many bytes were taken. */
static size_t feed(struct conn *c, const char *data, size_t len) {
    if (c->request == NULL) {
        c->request = request_new();
        conn_set_deadline(c, read_timeout(c));
    }
    size_t taken = request_feed(c->request, data, len);
    enum request_state state = request_state(c->request);
    if (state == REQUEST_FAILED) {
        fail_request(c);
        return len;
    }
    if (state != REQUEST_HEAD && !c->head_seen) {
        c->head_seen = true;
        figure_add(&c->server->figures->requests, 1);
        conn_set_deadline(c, read_timeout(c));
        route_head(c);
    }
    if (c->state == CONN_READING && c->request != NULL && request_state(c->request) == REQUEST_DONE)
        route_request(c);
    return taken;
}

/* Bytes that came behind a stream's request, or after our end: count and forget. */
static void discard(struct conn *c, size_t len) {
    c->discarded += (uint32_t)len;
    if (c->discarded <= (is_streaming(c) ? DISCARD_MAX_BYTES : LINGER_MAX_BYTES))
        return;
    if (is_streaming(c))
        conn_end_stream(c, HUB_END_INPUT);
    else
        conn_close(c);
}

/* Requests are answered one after the other, and so many in one turn of the loop: what is behind
 * them waits in `in`. */
static void take_input(struct conn *c, const char *data, size_t len) {
    unsigned answered = 0;
    while (len > 0 && c->state == CONN_READING && answered < TURN_REQUESTS) {
        size_t taken = feed(c, data, len);
        data += taken;
        len -= taken;
        answered += c->request == NULL;
    }
    if (c->state == CONN_CLOSED)
        return;
    if (len > 0 && (is_streaming(c) || c->state == CONN_LINGERING))
        discard(c, len);
    else if (len > 0)
        buf_append(&c->in, data, len);
    conn_poll(c);
}

void conn_process(struct conn *c) {
    if (c->in.len == 0 || c->state != CONN_READING)
        return;
    struct buf in = c->in;
    buf_init(&c->in);
    take_input(c, in.data, in.len);
    buf_fini(&in);
}

static void on_readable(struct conn *c) {
    struct server *server = c->server;
    ssize_t n = read(c->fd, server->scratch, sizeof(server->scratch));
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        if (is_streaming(c))
            conn_end_stream(c, HUB_END_CLIENT);
        else
            conn_close(c);
        return;
    }
    take_input(c, server->scratch, (size_t)n);
}

/* The kernel reports an error: a reset by the client, or TCP_USER_TIMEOUT for one that vanished. */
static void socket_failed(struct conn *c) {
    int error = 0;
    socklen_t len = sizeof(error);
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    enum hub_end why = HUB_END_ERROR;
    if (error == ECONNRESET || error == EPIPE)
        why = HUB_END_CLIENT;
    if (error == ETIMEDOUT)
        why = HUB_END_WRITE_TIMEOUT;
    if (is_streaming(c))
        conn_end_stream(c, why);
    else
        conn_close(c);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct conn *c = poll->data;
    if (status < 0) {
        socket_failed(c);
        return;
    }
    if (events & UV_WRITABLE) {
        if (is_streaming(c))
            sse_flush(c);
        else if (c->state == CONN_RESPONDING)
            send_out(c);
        conn_process(c);
    }
    if ((events & UV_READABLE) && (c->polled & UV_READABLE) && c->state != CONN_CLOSED)
        on_readable(c);
}

/* ---- the beginning ---- */

void conn_new(struct server *server, int fd, bool loopback) {
    struct http_shared *shared = server->options.shared;
    struct conn *c = mem_zalloc(sizeof(*c));
    if (uv_poll_init(server->loop, &c->poll, fd) != 0) {
        close(fd);
        free(c);
        return;
    }
    server->handles++;
    c->poll.data = c;
    c->server = server;
    c->fd = fd;
    c->loopback = loopback;
    c->stream.ops = &conn_stream_ops;
    wheel_entry_init(&c->deadline);
    c->next = server->conns;
    if (c->next != NULL)
        c->next->prev = c;
    server->conns = c;
    unsigned before = atomic_fetch_add_explicit(&shared->connections, 1, memory_order_relaxed);
    c->surplus = before >= shared->max_connections;
    figure_add(&server->figures->connections, 1);
    figure_add(&server->figures->accepted, 1);
    log_debug("connection accepted", "fd=%d surplus=%d", fd, c->surplus);
    conn_set_deadline(c, read_timeout(c));
    conn_poll(c);
}
