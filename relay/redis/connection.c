/* One connection to Redis; see connection.h for the story.
 *
 * Everything that ends it goes through fail(), which closes the handles and does no more; when the
 * last of them (and a look-up that still runs) has reported, finish() answers what is outstanding
 * and calls on_closed. So every end has one path, and no callback fires from within a call. */
#include "relay/redis/connection.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/reply.h"

enum {
    READ_BYTES = 64 * 1024,
    KEEP_BYTES = 1024 * 1024, /* an output buffer larger than this is freed once it is empty */
    KEEPALIVE_S = 10,
    IDLE_MS = 10 * 1000 /* without a byte: we PING, so that nobody on the way takes it for dead */
};

enum state { RESOLVING, CONNECTING, GREETING, READY, ENDED };

struct redis_conn {
    uv_loop_t *loop;
    struct redis_conn_options options;
    struct redis_conn_callbacks callbacks;
    void *arg;
    enum state state;
    unsigned parts; /* open handles, and a look-up that runs: finish() waits for all */

    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } socket;
    bool has_socket; /* initialised and not yet being closed */
    uv_getaddrinfo_t lookup;
    bool is_looking_up;
    uv_connect_t connecting;
    struct addrinfo *addresses; /* what the look-up found */
    struct addrinfo *untried;   /* the rest of them */
    int dial_error;             /* libuv's code of the last attempt */

    uv_timer_t timer;     /* the present deadline */
    uint64_t started_ms;  /* loop time */
    uint64_t progress_ms; /* when bytes came last, or the first command was sent after idleness */
    bool is_overdue;      /* the deadline passed, what the socket holds is looked at first */

    uv_prepare_t flusher; /* active while there is something to be sent and no write runs */
    uv_write_t write;
    bool is_writing;
    struct buf out;     /* to be sent */
    struct buf sending; /* held by the running write */

    struct redis_replies replies;
    int status;    /* why it ended */
    char why[256]; /* the same in words */
    char input[READ_BYTES];
};

static void dial_next(struct redis_conn *c);

/* ---- the end ---- */

/* What a command is told whose answer will not come. */
static int answer_status(int status) {
    switch (status) {
    case RELAY_ETIMEOUT:
    case RELAY_ECANCELED:
    case RELAY_EPROTO:
    case RELAY_EOVERFLOW: /* a reply was too large: this one, or one before it */
        return status;
    default:
        return RELAY_ECONN;
    }
}

static void finish(struct redis_conn *c) {
    redis_replies_cancel(&c->replies, answer_status(c->status));
    c->callbacks.on_closed(c->arg, c->status, c->why);
    redis_replies_fini(&c->replies);
    uv_freeaddrinfo(c->addresses);
    buf_fini(&c->out);
    buf_fini(&c->sending);
    free(c);
}

static void part_gone(struct redis_conn *c) {
    if (--c->parts == 0)
        finish(c);
}

static void on_handle_closed(uv_handle_t *handle) {
    part_gone(handle->data);
}

static void on_socket_closed(uv_handle_t *handle) {
    struct redis_conn *c = handle->data;
    if (c->state == CONNECTING)
        dial_next(c);
    part_gone(c);
}

static void close_socket(struct redis_conn *c) {
    if (!c->has_socket)
        return;
    c->has_socket = false;
    uv_close(&c->socket.handle, on_socket_closed);
}

static void fail(struct redis_conn *c, int status, const char *what, const char *detail) {
    if (c->state == ENDED)
        return;
    c->state = ENDED;
    c->status = status;
    snprintf(c->why, sizeof(c->why), "%s%s", what, detail);
    redis_replies_stop(&c->replies);
    if (c->is_looking_up)
        uv_cancel((uv_req_t *)&c->lookup); /* or it runs, and is waited for */
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    uv_close((uv_handle_t *)&c->flusher, on_handle_closed);
    close_socket(c);
}

void redis_conn_close(struct redis_conn *c) {
    fail(c, RELAY_ECANCELED, "closed by us", "");
}

/* ---- deadlines ---- */

static void on_timer(uv_timer_t *timer);

static void arm(struct redis_conn *c, uint64_t delay_ms) {
    c->is_overdue = false;
    uv_timer_start(&c->timer, on_timer, delay_ms, 0);
}

/* What is left of the time to become ready; at least 1 ms. */
static uint64_t left_ms(const struct redis_conn *c) {
    uint64_t spent = uv_now(c->loop) - c->started_ms;
    return spent < c->options.timeout_ms ? c->options.timeout_ms - spent : 1;
}

static void on_deadline(struct redis_conn *c) {
    switch (c->state) {
    case RESOLVING:
        fail(c, RELAY_ETIMEOUT, "the name server did not answer in time", "");
        break;
    case CONNECTING:
        c->dial_error = UV_ETIMEDOUT;
        close_socket(c);
        break;
    case GREETING:
        fail(c, RELAY_ETIMEOUT, "connected, but Redis did not answer in time", "");
        break;
    case READY:
        fail(c, RELAY_ETIMEOUT, "Redis did not answer in time", "");
        break;
    case ENDED:
        break;
    }
}

/* Nothing is outstanding. */
static void watch_idleness(struct redis_conn *c, uint64_t silent_ms) {
    if (silent_ms < c->options.idle_ms) {
        arm(c, c->options.idle_ms - silent_ms);
        return;
    }
    static const char *ping[] = {"PING"};
    redis_conn_command(c, 1, ping, NULL, NULL, NULL);
    uint64_t timeout_ms = c->options.timeout_ms, idle_ms = c->options.idle_ms;
    arm(c, timeout_ms < idle_ms ? timeout_ms : idle_ms);
}

static void on_timer(uv_timer_t *timer) {
    struct redis_conn *c = timer->data;
    if (c->state == READY) {
        uint64_t silent_ms = uv_now(c->loop) - c->progress_ms;
        if (c->replies.pending == 0) {
            watch_idleness(c, silent_ms);
            return;
        }
        if (silent_ms < c->options.timeout_ms) {
            arm(c, c->options.timeout_ms - silent_ms);
            return;
        }
    }
    /* Timers run before sockets are read: after a long stall of ours the answer may be there. */
    if (!c->is_overdue) {
        c->is_overdue = true;
        uv_timer_start(timer, on_timer, 0, 0);
        return;
    }
    on_deadline(c);
}

/* ---- writing ---- */

static void on_prepare(uv_prepare_t *prepare);

/* @b was sent: keep its memory for the next output, unless it is much. */
static void clear(struct buf *b) {
    if (b->cap > KEEP_BYTES)
        buf_fini(b);
    else
        buf_reset(b);
}

static void flush_later(struct redis_conn *c) {
    if (!c->is_writing && c->state != ENDED)
        uv_prepare_start(&c->flusher, on_prepare);
}

static void on_written(uv_write_t *write, int status) {
    struct redis_conn *c = write->data;
    c->is_writing = false;
    clear(&c->sending);
    if (status < 0)
        fail(c, RELAY_ECONN, "cannot send: ", uv_strerror(status));
    else if (c->out.len > 0)
        flush_later(c);
}

/* Hand what is left of the output to the loop, which sends it as the kernel takes it. */
static void write_rest(struct redis_conn *c) {
    struct buf empty = c->sending;
    c->sending = c->out;
    c->out = empty;
    uv_buf_t bytes = {.base = c->sending.data, .len = c->sending.len};
    c->write.data = c;
    int error = uv_write(&c->write, &c->socket.stream, &bytes, 1, on_written);
    if (error < 0)
        fail(c, RELAY_ECONN, "cannot send: ", uv_strerror(error));
    else
        c->is_writing = true;
}

static void on_prepare(uv_prepare_t *prepare) {
    struct redis_conn *c = prepare->data;
    uv_prepare_stop(prepare);
    uv_buf_t bytes = {.base = c->out.data, .len = c->out.len};
    int sent = uv_try_write(&c->socket.stream, &bytes, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        fail(c, RELAY_ECONN, "cannot send: ", uv_strerror(sent));
        return;
    }
    if (sent >= 0 && (size_t)sent == c->out.len) {
        clear(&c->out);
        return;
    }
    if (sent > 0)
        buf_consume(&c->out, (size_t)sent);
    write_rest(c);
}

/* ---- commands ---- */

static void put_command(struct redis_conn *c, int argc, const char **argv, const size_t *argv_len) {
    char *bytes = NULL;
    long long len = redisFormatCommandArgv(&bytes, argc, argv, argv_len);
    if (len < 0 || bytes == NULL)
        abort(); /* out of memory: the sizes are ours */
    buf_append(&c->out, bytes, (size_t)len);
    redisFreeCommand(bytes);
    flush_later(c);
}

/* The clock of the first outstanding answer starts now. */
static void start_waiting(struct redis_conn *c) {
    if (c->replies.pending > 0)
        return;
    c->progress_ms = uv_now(c->loop);
    if (c->state == READY && uv_timer_get_due_in(&c->timer) > c->options.timeout_ms)
        arm(c, c->options.timeout_ms);
}

static int refusal(const struct redis_conn *c) {
    if (c->state == ENDED)
        return RELAY_ECLOSING;
    return c->state == READY ? RELAY_OK : RELAY_EAGAIN;
}

int redis_conn_command(struct redis_conn *c, int argc, const char **argv, const size_t *argv_len,
                       redis_reply_cb cb, void *arg) {
    if (refusal(c) != RELAY_OK)
        return refusal(c);
    start_waiting(c);
    redis_replies_expect(&c->replies, 1, cb, arg);
    put_command(c, argc, argv, argv_len);
    return RELAY_OK;
}

int redis_conn_commands(struct redis_conn *c, const char *bytes, size_t len, size_t count,
                        redis_reply_cb cb, void *arg) {
    if (refusal(c) != RELAY_OK)
        return refusal(c);
    start_waiting(c);
    redis_replies_expect(&c->replies, count, cb, arg);
    buf_append(&c->out, bytes, len);
    flush_later(c);
    return RELAY_OK;
}

int redis_conn_subscription_command(struct redis_conn *c, int argc, const char **argv,
                                    const size_t *argv_len, redis_reply_cb cb, void *arg) {
    if (refusal(c) != RELAY_OK)
        return refusal(c);
    start_waiting(c);
    redis_replies_expect_confirmations(&c->replies, argv[0], (size_t)argc - 1, cb, arg);
    put_command(c, argc, argv, argv_len);
    return RELAY_OK;
}

size_t redis_conn_unsent_bytes(const struct redis_conn *c) {
    size_t queued = c->is_writing ? uv_stream_get_write_queue_size(&c->socket.stream) : 0;
    return c->out.len + queued;
}

uint64_t redis_conn_waiting_ms(const struct redis_conn *c) {
    return c->replies.pending > 0 ? uv_now(c->loop) - c->progress_ms : 0;
}

size_t redis_conn_pending(const struct redis_conn *c) {
    return c->replies.pending;
}

/* ---- the greeting ---- */

static bool is_error(const redisReply *reply, const char *code) {
    return strncmp(reply->str, code, strlen(code)) == 0;
}

static void on_auth(void *arg, int status, const redisReply *reply) {
    struct redis_conn *c = arg;
    static const char *const safe[] = {"WRONGPASS", "ERR AUTH <password> called", "ERR max number",
                                       "DENIED", "LOADING"};
    if (status != RELAY_EREMOTE)
        return;
    for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++)
        if (is_error(reply, safe[i])) {
            fail(c, RELAY_EREMOTE, reply->str, "");
            return;
        }
    /* A server that does not know AUTH repeats its arguments, and so the secret. */
    fail(c, RELAY_EREMOTE, "AUTH was refused", "");
}

static void on_select(void *arg, int status, const redisReply *reply) {
    struct redis_conn *c = arg;
    if (status == RELAY_EREMOTE)
        fail(c, RELAY_EREMOTE, "SELECT was refused: ", reply->str);
}

/* The name is a courtesy, but this may be the first command, and tell why the server will not have
 * us (too many clients, protected mode, no password). */
static void on_named(void *arg, int status, const redisReply *reply) {
    struct redis_conn *c = arg;
    if (status == RELAY_EREMOTE && !is_error(reply, "NOPERM") && !is_error(reply, "ERR unknown"))
        fail(c, RELAY_EREMOTE, reply->str, "");
}

/* A server that cannot save (MISCONF) or does not let us PING (NOPERM) still serves pub/sub. */
static void on_pong(void *arg, int status, const redisReply *reply) {
    struct redis_conn *c = arg;
    if (reply == NULL)
        return;
    if (status == RELAY_EREMOTE && !is_error(reply, "MISCONF") && !is_error(reply, "NOPERM")) {
        fail(c, RELAY_EREMOTE, reply->str, "");
        return;
    }
    c->state = READY;
    c->progress_ms = uv_now(c->loop);
    arm(c, c->options.idle_ms);
    c->callbacks.on_ready(c->arg);
}

static void greet_with(struct redis_conn *c, redis_reply_cb cb, int argc, const char **argv) {
    redis_replies_expect(&c->replies, 1, cb, c);
    put_command(c, argc, argv, NULL);
}

static void greet(struct redis_conn *c) {
    const struct redis_url *url = c->options.url;
    if (url->password != NULL && url->user != NULL)
        greet_with(c, on_auth, 3, (const char *[]){"AUTH", url->user, url->password});
    else if (url->password != NULL)
        greet_with(c, on_auth, 2, (const char *[]){"AUTH", url->password});
    if (url->db != 0) {
        char db[16];
        snprintf(db, sizeof(db), "%u", url->db);
        greet_with(c, on_select, 2, (const char *[]){"SELECT", db});
    }
    if (c->options.client_name != NULL)
        greet_with(c, on_named, 3, (const char *[]){"CLIENT", "SETNAME", c->options.client_name});
    greet_with(c, on_pong, 1, (const char *[]){"PING"});
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *bytes) {
    struct redis_conn *c = handle->data;
    (void)suggested;
    *bytes = uv_buf_init(c->input, sizeof(c->input));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *bytes) {
    struct redis_conn *c = stream->data;
    if (len == UV_EOF) {
        bool within = redis_parser_is_within(&c->replies.parser);
        fail(c, RELAY_ECONN, "Redis closed the connection", within ? " within a reply" : "");
    } else if (len < 0) {
        fail(c, RELAY_ECONN, "cannot receive: ", uv_strerror((int)len));
    } else if (len > 0) {
        c->progress_ms = uv_now(c->loop);
        int status = redis_replies_feed(&c->replies, bytes->base, (size_t)len);
        if (status != RELAY_OK)
            fail(c, status, c->replies.why, "");
    }
}

static void on_push(void *arg, const redisReply *reply) {
    struct redis_conn *c = arg;
    if (c->callbacks.on_push != NULL)
        c->callbacks.on_push(c->arg, reply);
}

/* ---- connecting ---- */

static void on_connected(uv_connect_t *connecting, int status) {
    struct redis_conn *c = connecting->data;
    if (status == UV_ECANCELED) /* the socket is being closed */
        return;
    if (status == 0)
        status = uv_read_start(&c->socket.stream, on_alloc, on_read);
    if (status < 0) {
        c->dial_error = status;
        close_socket(c);
        return;
    }
    if (c->options.url->path == NULL) { /* a refusal of these is no reason to give up */
        uv_tcp_nodelay(&c->socket.tcp, 1);
        uv_tcp_keepalive(&c->socket.tcp, 1, KEEPALIVE_S);
    }
    c->state = GREETING;
    arm(c, left_ms(c));
    greet(c);
}

static void adopt_socket(struct redis_conn *c) {
    c->socket.handle.data = c;
    c->connecting.data = c;
    c->has_socket = true;
    c->parts++;
}

static void dial_unix(struct redis_conn *c) {
    c->state = CONNECTING;
    uv_pipe_init(c->loop, &c->socket.pipe, 0);
    adopt_socket(c);
    uv_pipe_connect(&c->connecting, &c->socket.pipe, c->options.url->path, on_connected);
    arm(c, left_ms(c));
}

/* Try the next address; each gets its share of the time that is left, so that one that swallows
 * packets leaves some for the others. */
static void dial_next(struct redis_conn *c) {
    struct addrinfo *address = c->untried;
    if (address == NULL) {
        int status = c->dial_error == UV_ETIMEDOUT ? RELAY_ETIMEOUT : RELAY_ECONN;
        fail(c, status, "cannot connect: ", uv_strerror(c->dial_error));
        return;
    }
    uint64_t share = 0;
    for (struct addrinfo *a = address; a != NULL; a = a->ai_next)
        share++;
    c->untried = address->ai_next;
    c->state = CONNECTING;
    uv_tcp_init(c->loop, &c->socket.tcp);
    adopt_socket(c);
    int error = uv_tcp_connect(&c->connecting, &c->socket.tcp, address->ai_addr, on_connected);
    if (error < 0) {
        c->dial_error = error;
        close_socket(c);
        return;
    }
    arm(c, left_ms(c) / share + 1);
}

static void use_addresses(struct redis_conn *c, struct addrinfo *addresses) {
    c->addresses = c->untried = addresses;
    c->dial_error = UV_EADDRNOTAVAIL; /* of an empty list */
    dial_next(c);
}

static void on_resolved(uv_getaddrinfo_t *lookup, int status, struct addrinfo *addresses) {
    struct redis_conn *c = lookup->data;
    c->is_looking_up = false;
    if (c->state == ENDED) {
        uv_freeaddrinfo(addresses);
    } else if (status < 0) {
        fail(c, RELAY_ECONN, "cannot find the host: ", uv_strerror(status));
    } else {
        use_addresses(c, addresses);
    }
    part_gone(c);
}

/* An address in digits is read at once; a name needs a thread of libuv's. */
static void resolve(struct redis_conn *c) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    const char *host = c->options.url->host;
    char port[16];
    snprintf(port, sizeof(port), "%u", c->options.url->port);
    if (uv_getaddrinfo(c->loop, &c->lookup, NULL, host, port, &hints) == 0) {
        use_addresses(c, c->lookup.addrinfo);
        return;
    }
    hints.ai_flags = 0;
    int error = uv_getaddrinfo(c->loop, &c->lookup, on_resolved, host, port, &hints);
    if (error < 0) {
        fail(c, RELAY_ECONN, "cannot look up the host: ", uv_strerror(error));
        return;
    }
    c->is_looking_up = true;
    c->parts++;
    arm(c, left_ms(c));
}

struct redis_conn *redis_conn_start(uv_loop_t *loop, const struct redis_conn_options *options,
                                    const struct redis_conn_callbacks *callbacks, void *arg) {
    struct redis_conn *c = mem_zalloc(sizeof(*c));
    c->loop = loop;
    c->options = *options;
    if (c->options.idle_ms == 0)
        c->options.idle_ms = IDLE_MS;
    c->callbacks = *callbacks;
    c->arg = arg;
    redis_replies_init(&c->replies, on_push, c);
    uv_timer_init(loop, &c->timer);
    uv_prepare_init(loop, &c->flusher);
    c->timer.data = c->flusher.data = c->lookup.data = c;
    c->parts = 2;
    uv_update_time(loop); /* the loop may have slept, or not have run yet */
    c->started_ms = uv_now(loop);
    if (options->url->path != NULL)
        dial_unix(c);
    else
        resolve(c);
    return c;
}
