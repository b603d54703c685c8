/* One connection to Redis under test; see redis_world.h. */
#include "tests/loop/redis/redis_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/reply.h"
#include "tests/unit/unit.h"

static void on_patience(uv_timer_t *timer) {
    struct redis_world *w = timer->data;
    fail_msg("nothing more happens; told so far:\n%s", w->told.data);
}

int redis_world_set_up(void **state) {
    struct redis_world *w = mem_zalloc(sizeof(*w));
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->patience);
    w->patience.data = w;
    uv_timer_start(&w->patience, on_patience, PATIENCE_MS, 0);
    uv_unref((uv_handle_t *)&w->patience);
    buf_puts(&w->told, "");
    w->options = (struct redis_conn_options){
        .url = &w->url, .client_name = "test", .timeout_ms = PATIENCE_MS};
    *state = w;
    return 0;
}

int redis_world_tear_down(void **state) {
    struct redis_world *w = *state;
    if (w->has_peer)
        peer_close(&w->peer);
    uv_close((uv_handle_t *)&w->patience, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    assert_int_equal(w->asked, w->answered);
    assert_int_equal(w->closed, 1);
    redis_url_fini(&w->url);
    buf_fini(&w->told);
    free(w);
    return 0;
}

/* ---- what is told ---- */

static const char *name_of(int status) {
    switch (status) {
    case RELAY_OK:
        return "ok";
    case RELAY_ECANCELED:
        return "cancelled";
    case RELAY_ECONN:
        return "lost";
    case RELAY_ETIMEOUT:
        return "late";
    case RELAY_EPROTO:
        return "proto";
    case RELAY_EREMOTE:
        return "refused";
    case RELAY_EOVERFLOW:
        return "overflow";
    default:
        return "unexpected";
    }
}

static void put_reply(struct buf *out, const redisReply *reply) {
    if (reply->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < reply->elements; i++) {
            buf_puts(out, i > 0 ? "," : "[");
            put_reply(out, reply->element[i]);
        }
        buf_puts(out, reply->elements == 0 ? "[]" : "]");
    } else if (reply->type == REDIS_REPLY_INTEGER) {
        buf_printf(out, "%lld", reply->integer);
    } else if (reply->type == REDIS_REPLY_NIL) {
        buf_puts(out, "nil");
    } else if (reply->len > 100) {
        buf_printf(out, "%zu bytes", reply->len);
    } else {
        buf_append(out, reply->str, reply->len);
    }
}

static void on_ready(void *arg) {
    struct redis_world *w = arg;
    buf_puts(&w->told, "ready\n");
    if (w->on_ready != NULL)
        w->on_ready(w);
}

static void on_push(void *arg, const redisReply *reply) {
    struct redis_world *w = arg;
    buf_puts(&w->told, "push ");
    put_reply(&w->told, reply);
    buf_putc(&w->told, '\n');
    if (w->on_push != NULL)
        w->on_push(w);
}

static void on_closed(void *arg, int status, const char *why) {
    struct redis_world *w = arg;
    buf_printf(&w->told, "closed %s: %s\n", name_of(status), why);
    w->conn = NULL;
    w->closed++;
}

void redis_world_on_answer(void *arg, int status, const redisReply *reply) {
    struct redis_world *w = arg;
    buf_printf(&w->told, "answer %s ", name_of(status));
    if (reply != NULL)
        put_reply(&w->told, reply);
    buf_putc(&w->told, '\n');
    w->answered++;
}

void redis_world_on_answer_close(void *arg, int status, const redisReply *reply) {
    struct redis_world *w = arg;
    redis_world_on_answer(arg, status, reply);
    if (w->conn != NULL)
        redis_conn_close(w->conn);
}

/* ---- what the tests do ---- */

static const struct redis_conn_callbacks callbacks = {on_ready, on_push, on_closed};

void redis_world_start(struct redis_world *w, const char *url) {
    const char *why = "";
    if (redis_url_parse(url, &w->url, &why) != RELAY_OK)
        fail_msg("%s: %s", url, why);
    w->conn = redis_conn_start(&w->loop, &w->options, &callbacks, w);
    assert_string_equal(w->told.data, ""); /* no callback from inside start */
}

/* Start against a server that plays @script; @userinfo goes into the URL. */
void redis_world_start_with(struct redis_world *w, const struct peer_step *script,
                            const char *userinfo, const char *db) {
    char url[512];
    peer_start(&w->peer, &w->loop, NULL);
    peer_add_script(&w->peer, script);
    w->has_peer = true;
    snprintf(url, sizeof(url), "redis://%s%s%s", userinfo, w->peer.url + strlen("redis://"), db);
    redis_world_start(w, url);
}

void redis_world_run(struct redis_world *w) {
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

void redis_world_play(struct redis_world *w, const struct peer_step *script) {
    redis_world_start_with(w, script, "", "");
    redis_world_run(w);
}

void redis_world_told(const struct redis_world *w, const char *wanted) {
    assert_string_equal(w->told.data, wanted);
}

void redis_world_ask(struct redis_world *w, const char *command, redis_reply_cb cb) {
    const char *argv[8] = {NULL};
    char *copy = strdup(command), *rest = NULL;
    int argc = 0;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    w->asked++;
    assert_int_equal(redis_conn_command(w->conn, argc, argv, NULL, cb, w), RELAY_OK);
    free(copy);
}

void redis_world_subscribe(struct redis_world *w, const char *command, const char *a,
                           const char *b) {
    const char *argv[] = {command, a, b};
    int argc = b == NULL ? 2 : 3;
    assert_int_equal(redis_conn_subscription_command(w->conn, argc, argv, NULL, NULL, NULL),
                     RELAY_OK);
}
