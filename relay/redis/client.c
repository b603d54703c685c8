/* A connection that comes back; see client.h. */
#include "relay/redis/client.h"

#include "relay/base/err.h"

enum {
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 2000, /* while there is no server */
    LOST_MAX_MS = 700,     /* while there is one, however often it throws us out */
    STABLE_MS = 2000
};

static void connect_now(struct redis_client *c);

static void on_retry_closed(uv_handle_t *handle) {
    struct redis_client *c = handle->data;
    c->callbacks.on_closed(c->arg);
}

static void close_timer(struct redis_client *c) {
    c->state = REDIS_CLIENT_CLOSED;
    uv_close((uv_handle_t *)&c->retry, on_retry_closed);
}

static void on_retry(uv_timer_t *timer) {
    connect_now(timer->data);
}

static void on_ready(void *arg) {
    struct redis_client *c = arg;
    c->state = REDIS_CLIENT_READY;
    c->ready_ms = uv_now(c->loop);
    c->attempts = 0;
    c->callbacks.on_up(c->arg);
}

static void on_push(void *arg, const struct redisReply *reply) {
    struct redis_client *c = arg;
    if (c->callbacks.on_push != NULL)
        c->callbacks.on_push(c->arg, reply);
}

/* How long to wait after a connection that ended just now. */
static uint64_t next_wait_ms(struct redis_client *c, bool was_ready) {
    if (!was_ready)
        return rng_backoff_ms(&c->rng, c->attempts++, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
    bool stable = uv_now(c->loop) - c->ready_ms >= STABLE_MS;
    c->short_lives = stable ? 0 : c->short_lives + 1;
    uint64_t max_ms = c->useless ? BACKOFF_MAX_MS : LOST_MAX_MS;
    return rng_backoff_ms(&c->rng, c->short_lives, BACKOFF_FIRST_MS, max_ms);
}

static void on_conn_closed(void *arg, int status, const char *why) {
    struct redis_client *c = arg;
    bool was_ready = c->state == REDIS_CLIENT_READY;
    c->conn = NULL;
    if (c->closing) {
        close_timer(c);
        return;
    }
    c->state = REDIS_CLIENT_WAITING;
    uv_timer_start(&c->retry, on_retry, next_wait_ms(c, was_ready), 0);
    c->callbacks.on_down(c->arg, was_ready, status, why); /* may close us */
}

static void connect_now(struct redis_client *c) {
    const struct redis_conn_callbacks callbacks = {
        .on_ready = on_ready, .on_push = on_push, .on_closed = on_conn_closed};
    c->state = REDIS_CLIENT_CONNECTING;
    c->useless = false;
    c->conn = redis_conn_start(c->loop, &c->options, &callbacks, c);
}

void redis_client_start(struct redis_client *c, uv_loop_t *loop,
                        const struct redis_conn_options *options,
                        const struct redis_client_callbacks *callbacks, void *arg) {
    *c = (struct redis_client){
        .loop = loop, .options = *options, .callbacks = *callbacks, .arg = arg};
    rng_init(&c->rng);
    uv_timer_init(loop, &c->retry);
    c->retry.data = c;
    connect_now(c);
}

/* A connection that is ending is no connection any more, but a client that is not. */
static int client_status(const struct redis_client *c, int conn_status) {
    return conn_status == RELAY_ECLOSING && !c->closing ? RELAY_EAGAIN : conn_status;
}

int redis_client_command(struct redis_client *c, int argc, const char **argv,
                         const size_t *argv_len, redis_reply_cb cb, void *arg) {
    if (c->closing)
        return RELAY_ECLOSING;
    if (c->conn == NULL)
        return RELAY_EAGAIN;
    return client_status(c, redis_conn_command(c->conn, argc, argv, argv_len, cb, arg));
}

int redis_client_commands(struct redis_client *c, const char *bytes, size_t len, size_t count,
                          redis_reply_cb cb, void *arg) {
    if (c->closing)
        return RELAY_ECLOSING;
    if (c->conn == NULL)
        return RELAY_EAGAIN;
    return client_status(c, redis_conn_commands(c->conn, bytes, len, count, cb, arg));
}

int redis_client_subscription_command(struct redis_client *c, int argc, const char **argv,
                                      const size_t *argv_len, redis_reply_cb cb, void *arg) {
    if (c->closing)
        return RELAY_ECLOSING;
    if (c->conn == NULL)
        return RELAY_EAGAIN;
    return client_status(c,
                         redis_conn_subscription_command(c->conn, argc, argv, argv_len, cb, arg));
}

size_t redis_client_unsent_bytes(const struct redis_client *c) {
    return c->conn == NULL ? 0 : redis_conn_unsent_bytes(c->conn);
}

uint64_t redis_client_waiting_ms(const struct redis_client *c) {
    return c->conn == NULL ? 0 : redis_conn_waiting_ms(c->conn);
}

size_t redis_client_pending(const struct redis_client *c) {
    return c->conn == NULL ? 0 : redis_conn_pending(c->conn);
}

void redis_client_reconnect(struct redis_client *c) {
    if (c->conn != NULL)
        redis_conn_close(c->conn);
}

void redis_client_back_off(struct redis_client *c) {
    c->useless = c->conn != NULL;
    redis_client_reconnect(c);
}

void redis_client_close(struct redis_client *c) {
    if (c->closing)
        return;
    c->closing = true;
    if (c->conn != NULL)
        redis_conn_close(c->conn); /* goes on in on_conn_closed() */
    else
        close_timer(c);
}
