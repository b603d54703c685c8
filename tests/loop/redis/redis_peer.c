/* A server that plays a script; see redis_peer.h. */
#include "tests/loop/redis/redis_peer.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"

struct peer_connection {
    struct peer *peer;
    struct peer_connection *next;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } socket;
    const struct peer_step *step;
    struct buf unread; /* received and not expected yet */
    char input[65536];
};

static void play(struct peer_connection *c);

static void on_connection_closed(uv_handle_t *handle) {
    struct peer_connection *c = handle->data;
    struct peer_connection **link = &c->peer->connections;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    c->peer->open--;
    buf_fini(&c->unread);
    free(c);
}

static void close_connection(struct peer_connection *c) {
    if (!uv_is_closing(&c->socket.handle))
        uv_close(&c->socket.handle, on_connection_closed);
}

struct sending {
    uv_write_t write;
    char *bytes;
};

static void on_sent(uv_write_t *write, int status) {
    struct sending *sending = write->data;
    (void)status; /* the other end may be gone: that is what the test is about */
    free(sending->bytes);
    free(sending);
}

static void send_text(struct peer_connection *c, const char *text, int count) {
    struct buf bytes = BUF_INIT;
    for (int i = 0; i < count; i++)
        buf_puts(&bytes, text);
    size_t len = bytes.len;
    struct sending *sending = mem_zalloc(sizeof(*sending));
    sending->bytes = buf_detach(&bytes);
    sending->write.data = sending;
    uv_buf_t buf = uv_buf_init(sending->bytes, (unsigned)len);
    if (uv_write(&sending->write, &c->socket.stream, &buf, 1, on_sent) != 0)
        on_sent(&sending->write, -1);
}

/* The bytes behind the first @text in what was not expected yet; false without one. */
static bool expect(struct peer_connection *c, const char *text) {
    size_t len = strlen(text);
    if (c->unread.len < len)
        return false;
    const char *found = memmem(c->unread.data, c->unread.len, text, len);
    if (found == NULL)
        return false;
    buf_consume(&c->unread, (size_t)(found - c->unread.data) + len);
    return true;
}

static void on_closing_written(uv_shutdown_t *request, int status) {
    (void)status;
    close_connection(request->data);
    free(request);
}

/* Close once everything was sent. */
static void close_gently(struct peer_connection *c) {
    uv_shutdown_t *request = mem_zalloc(sizeof(*request));
    request->data = c;
    if (uv_shutdown(request, &c->socket.stream, on_closing_written) != 0)
        on_closing_written(request, -1);
}

static void play(struct peer_connection *c) {
    for (;; c->step++) {
        switch (c->step->action) {
        case PEER_END:
            return;
        case PEER_EXPECT:
            if (!expect(c, c->step->text))
                return;
            break;
        case PEER_SEND:
            send_text(c, c->step->text, 1);
            break;
        case PEER_SEND_MANY:
            send_text(c, c->step->text, c->step->count);
            break;
        case PEER_REPEAT:
            c->step -= c->step->count + 1; /* the one to go back to comes next */
            break;
        case PEER_CLOSE:
            close_gently(c);
            c->step++;
            return;
        }
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *bytes) {
    struct peer_connection *c = handle->data;
    (void)suggested;
    *bytes = uv_buf_init(c->input, sizeof(c->input));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *bytes) {
    struct peer_connection *c = stream->data;
    if (len < 0) {
        close_connection(c);
        return;
    }
    buf_append(&c->peer->received, bytes->base, (size_t)len);
    buf_append(&c->unread, bytes->base, (size_t)len);
    play(c);
}

static bool is_unix(const struct peer *p) {
    return p->listener.handle.type == UV_NAMED_PIPE;
}

static void on_connection(uv_stream_t *listener, int status) {
    struct peer *p = listener->data;
    struct peer_connection *c = mem_zalloc(sizeof(*c));
    assert(status == 0 && p->script_count > 0);
    if (is_unix(p))
        uv_pipe_init(p->loop, &c->socket.pipe, 0);
    else
        uv_tcp_init(p->loop, &c->socket.tcp);
    c->socket.handle.data = c;
    c->peer = p;
    c->next = p->connections;
    p->connections = c;
    c->step = p->scripts[p->accepted < p->script_count ? p->accepted : p->script_count - 1];
    p->accepted++;
    p->open++;
    if (uv_accept(listener, &c->socket.stream) != 0 ||
        uv_read_start(&c->socket.stream, on_alloc, on_read) != 0) {
        close_connection(c);
        return;
    }
    play(c);
}

static void listen_tcp(struct peer *p) {
    struct sockaddr_in address;
    int len = sizeof(address);
    uv_tcp_init(p->loop, &p->listener.tcp);
    uv_ip4_addr("127.0.0.1", 0, &address);
    int error = uv_tcp_bind(&p->listener.tcp, (struct sockaddr *)&address, 0);
    assert(error == 0);
    error = uv_tcp_getsockname(&p->listener.tcp, (struct sockaddr *)&address, &len);
    assert(error == 0);
    (void)error;
    snprintf(p->url, sizeof(p->url), "redis://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
}

static void listen_unix(struct peer *p, const char *path) {
    uv_pipe_init(p->loop, &p->listener.pipe, 0);
    int error = uv_pipe_bind(&p->listener.pipe, path);
    assert(error == 0);
    (void)error;
    snprintf(p->url, sizeof(p->url), "unix:%s", path);
}

void peer_start(struct peer *p, uv_loop_t *loop, const char *path) {
    *p = (struct peer){.loop = loop};
    if (path != NULL)
        listen_unix(p, path);
    else
        listen_tcp(p);
    p->listener.handle.data = p;
    int error = uv_listen(&p->listener.stream, 16, on_connection);
    assert(error == 0);
    (void)error;
    uv_unref(&p->listener.handle);
}

void peer_add_script(struct peer *p, const struct peer_step *script) {
    assert(p->script_count < PEER_SCRIPTS_MAX);
    p->scripts[p->script_count++] = script;
}

void peer_close(struct peer *p) {
    if (uv_is_closing(&p->listener.handle))
        return;
    uv_close(&p->listener.handle, NULL);
    for (struct peer_connection *c = p->connections; c != NULL; c = c->next)
        close_connection(c);
    buf_fini(&p->received);
}
