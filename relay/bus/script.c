/* Durable publishes: the script of relay/wire/publish_script.h on the publishing connection.
 *
 * On each new connection: the server's run_id is read and the script loaded, then the script is
 * called with no topic, which starts the clock, or the epoch of a server that is another one. Only
 * then are durable events published over it, so that none gets an id of a clock that nobody has
 * looked at. Where Redis refuses one of these (a replica, loading, an ACL), it is tried again each
 * second, and publishers are told why meanwhile. Probes wait for the outcome, so that a node that
 * says it is ready takes durable events. The connection's end answers everything with a
 * code, so no reply of one connection is taken for one of the next. */
#include "relay/bus/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/core_state.h"
#include "relay/bus/publish_answer.h"
#include "relay/bus/server_info.h"

enum { RETRY_MS = 1000, BIRTH_DIGITS = 12 };

/* ---- the command ---- */

/* What every call says. The word for a birth is a new one each time: were the clock deleted twice
 * while we are connected, two births of one name would be taken for one. */
static struct publish_request new_request(struct bus_node *n, char birth[BIRTH_DIGITS + 1]) {
    rng_hex(&n->script.rng, birth, BIRTH_DIGITS);
    return (struct publish_request){.prefix = n->bus->options.prefix,
                                    .tag = n->bus->domain.tag,
                                    .memory_ms = n->bus->options.memory_ms,
                                    .run_id = n->script.run_id,
                                    .birth = birth};
}

/* @text: Redis does not know the script, so send the whole of it. */
static int send_request(struct bus_node *n, const struct publish_request *request, bool text,
                        redis_reply_cb cb, void *arg) {
    struct publish_command command;
    publish_command_init(&command, request);
    if (!text && n->script.sha[0] != '\0')
        publish_command_use_sha(&command, n->script.sha);
    int rc =
        redis_client_command(&n->publisher, command.argc, command.argv, command.argv_len, cb, arg);
    publish_command_fini(&command);
    return rc;
}

static bool is_unknown(int status, const redisReply *reply) {
    return status == RELAY_EREMOTE && publish_error_kind(reply->str) == PUBLISH_NOSCRIPT;
}

static int parse_answer(const redisReply *reply, size_t ids_count, struct publish_answer *out) {
    if (reply->type != REDIS_REPLY_STRING)
        return RELAY_EPROTO;
    int rc = publish_answer_parse(reply->str, reply->len, out);
    return rc == RELAY_OK && out->ids_count != ids_count ? RELAY_EPROTO : rc;
}

/* ---- a new connection ---- */

/* A step failed. */
static void setup_failed(struct bus_node *n, int status, const redisReply *reply) {
    struct bus_script *s = &n->script;
    if (reply == NULL)
        return; /* the connection is gone, and its return starts anew */
    const char *why = status == RELAY_EREMOTE ? reply->str : relay_strerror(RELAY_EPROTO);
    bool news = s->why[0] == '\0';
    snprintf(s->why, sizeof(s->why), "%s", why);
    s->error = status == RELAY_EREMOTE ? publish_error_kind(why) : PUBLISH_OTHER;
    if (news)
        log_warn("durable events cannot be published; trying again", "why=%s", s->why);
    s->retry_ms = clock_mono_ms() + RETRY_MS;
    if (news)
        n->callbacks->script_known(n, NULL);
}

static void call_clock(struct bus_node *n, bool text);

static void on_position(void *arg, int status, const struct redisReply *reply) {
    struct bus_node *n = arg;
    struct publish_answer answer;
    struct event_id position;
    const char *id;
    size_t len;
    if (is_unknown(status, reply)) {
        call_clock(n, true);
        return;
    }
    if (status == RELAY_OK)
        status = parse_answer(reply, 1, &answer);
    if (status != RELAY_OK || !publish_answer_next(&answer, &id, &len) ||
        id_parse(id, len, &position) != RELAY_OK) {
        setup_failed(n, status, reply);
        return;
    }
    n->script.ready = true;
    n->script.why[0] = '\0';
    n->callbacks->script_known(n, &position);
}

static void call_clock(struct bus_node *n, bool text) {
    char birth[BIRTH_DIGITS + 1];
    struct publish_request request = new_request(n, birth);
    send_request(n, &request, text, on_position, n);
}

/* The rights may cover EVALSHA and EVAL, and not SCRIPT: then the text is sent each time. */
static void on_loaded(void *arg, int status, const struct redisReply *reply) {
    struct bus_node *n = arg;
    if (status == RELAY_OK && reply->type == REDIS_REPLY_STRING && reply->len == PUBLISH_SHA_BYTES)
        memcpy(n->script.sha, reply->str, PUBLISH_SHA_BYTES + 1);
    if (n->script.run_id[0] != '\0')
        call_clock(n, false);
}

static void on_info(void *arg, int status, const struct redisReply *reply) {
    struct bus_node *n = arg;
    struct redis_server_info server = {.is_too_old = false};
    if (status == RELAY_OK && reply->type == REDIS_REPLY_STRING)
        redis_server_read(reply->str, &server);
    if (!server.is_too_old) /* else nothing is written: server_info.c says why */
        memcpy(n->script.run_id, server.run_id, sizeof(n->script.run_id));
    if (n->script.run_id[0] == '\0')
        setup_failed(n, status, reply);
}

static void start(struct bus_node *n) {
    static const char *const info[] = {"INFO", "server"};
    static const size_t info_len[] = {4, 6};
    const char *load[] = {"SCRIPT", "LOAD", NULL};
    size_t load_len[] = {6, 4, 0};
    load[2] = publish_script(&load_len[2]);
    n->script.run_id[0] = n->script.sha[0] = '\0';
    if (redis_client_command(&n->publisher, 2, (const char **)info, info_len, on_info, n) ==
        RELAY_OK)
        redis_client_command(&n->publisher, 3, load, load_len, on_loaded, n);
}

void script_init(struct bus_node *n) {
    rng_init(&n->script.rng);
}

void script_tick(struct bus_node *n, uint64_t now_ms) {
    if (n->script.retry_ms == 0 || now_ms < n->script.retry_ms)
        return;
    n->script.retry_ms = 0;
    start(n);
}

void script_up(struct bus_node *n) {
    n->script.why[0] = '\0';
    start(n);
}

bool script_known(const struct bus_node *n) {
    return n->script.ready || n->script.why[0] != '\0';
}

void script_down(struct bus_node *n) {
    n->script.ready = false;
    n->script.retry_ms = 0;
}

/* ---- a publish ---- */

static void take_ids(struct bus_publish *p, struct publish_answer *answer) {
    struct buf ids = BUF_INIT;
    const char *id;
    size_t len;
    while (publish_answer_next(answer, &id, &len)) {
        buf_append(&ids, id, len);
        buf_putc(&ids, '\0');
    }
    p->unannounced = !answer->announced;
    p->ids = buf_detach(&ids);
}

static int send_publish(struct bus_node *n, struct bus_publish *p, bool text);

static void on_published(void *arg, int status, const struct redisReply *reply) {
    struct bus_publish *p = arg;
    struct publish_answer answer;
    if (is_unknown(status, reply)) {
        status = send_publish(&p->bus->node, p, true);
        if (status == RELAY_OK)
            return;
        reply = NULL;
    } else if (status == RELAY_OK) {
        status = parse_answer(reply, p->topics_len, &answer);
        if (status == RELAY_OK)
            take_ids(p, &answer);
    } else if (status == RELAY_EREMOTE) {
        p->error = publish_error_kind(reply->str);
        if (p->error == PUBLISH_READONLY)
            server_info_readonly(&p->bus->node);
    }
    publish_done(p, status, status == RELAY_EREMOTE ? reply->str : NULL);
}

static int send_publish(struct bus_node *n, struct bus_publish *p, bool text) {
    char birth[BIRTH_DIGITS + 1];
    struct publish_request request = new_request(n, birth);
    struct publish_topic *topics = mem_zalloc(p->topics_len * sizeof(*topics));
    const char *name = p->topics;
    for (size_t i = 0; i < p->topics_len; i++, name += strlen(name) + 1)
        topics[i] = (struct publish_topic){name, strlen(name)};
    request.topics = topics;
    request.topics_count = p->topics_len;
    request.event = p->event;
    request.history = p->history > 0 ? p->history : n->bus->options.history;
    request.ttl_ms = p->ttl_ms > 0 ? p->ttl_ms : n->bus->options.ttl_ms;
    request.key = p->key;
    request.key_len = p->key_len;
    int rc = send_request(n, &request, text, on_published, p);
    free(topics);
    return rc;
}

void script_publish(struct bus_node *n, struct bus_publish *p) {
    const struct bus_script *s = &n->script;
    const char *why;
    if (server_info_refuses(n, &why)) {
        p->error = PUBLISH_OTHER;
        publish_done(p, RELAY_EREMOTE, why);
    } else if (n->server.is_replica) {
        p->error = PUBLISH_READONLY;
        publish_done(p, RELAY_EREMOTE, bus_unfit_text(BUS_UNFIT_REPLICA));
    } else if (s->ready) {
        int rc = send_publish(n, p, false);
        if (rc != RELAY_OK)
            publish_done(p, RELAY_EAGAIN, NULL);
    } else if (s->why[0] != '\0' && n->publisher.state == REDIS_CLIENT_READY) {
        p->error = s->error;
        publish_done(p, RELAY_EREMOTE, s->why);
    } else {
        publish_done(p, RELAY_EAGAIN, NULL);
    }
}
