/* Durable publishes: the script of relay/wire/publish.h on the publishing connection.
 *
 * On each new connection: the server's run_id is read and the script loaded, then the script is
 * called with no topic, which starts the clock, or the epoch of a server that is another one. Only
 * then are durable events published over it, so that none gets an id of a clock that nobody has
 * looked at. Where Redis refuses one of these (a replica, loading, an ACL), it is tried again each
 * second, and publishers are told why meanwhile. Probes wait for the outcome, so that a node that
 * says it is ready takes durable events. The connection's end answers everything with a
 * code, so no reply of one connection is taken for one of the next. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/internal.h"

enum { RETRY_MS = 1000, BIRTH_DIGITS = 12 };

/* ---- the command ---- */

/* What every call says. The word for a birth is a new one each time: were the clock deleted twice
 * while we are connected, two births of one name would be taken for one. */
static struct publish_request new_request(struct bus *bus, char birth[BIRTH_DIGITS + 1]) {
    rng_hex(&bus->script.rng, birth, BIRTH_DIGITS);
    return (struct publish_request){.prefix = bus->options.prefix,
                                    .tag = BUS_TAG,
                                    .memory_ms = bus->options.memory_ms,
                                    .run_id = bus->script.run_id,
                                    .birth = birth};
}

/* @text: Redis does not know the script, so send the whole of it. */
static int send_request(struct bus *bus, const struct publish_request *request, bool text,
                        redis_reply_cb cb, void *arg) {
    struct publish_command command;
    publish_command_init(&command, request);
    if (!text && bus->script.sha[0] != '\0')
        publish_command_use_sha(&command, bus->script.sha);
    int rc = redis_client_command(&bus->publisher, command.argc, command.argv, command.argv_len, cb,
                                  arg);
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

static void start(struct bus *bus);

static void on_retry(uv_timer_t *timer) {
    start(timer->data);
}

/* A step failed. */
static void setup_failed(struct bus *bus, int status, const redisReply *reply) {
    struct bus_script *s = &bus->script;
    if (reply == NULL)
        return; /* the connection is gone, and its return starts anew */
    const char *why = status == RELAY_EREMOTE ? reply->str : relay_strerror(RELAY_EPROTO);
    bool news = s->why[0] == '\0';
    snprintf(s->why, sizeof(s->why), "%s", why);
    s->error = status == RELAY_EREMOTE ? publish_error_kind(why) : PUBLISH_OTHER;
    if (news)
        log_warn("durable events cannot be published; trying on", "why=%s", s->why);
    uv_timer_start(&s->retry, on_retry, RETRY_MS, 0);
    if (news)
        probe_now(bus);
}

static void call_clock(struct bus *bus, bool text);

static void on_position(void *arg, int status, const struct redisReply *reply) {
    struct bus *bus = arg;
    struct publish_answer answer;
    struct event_id position;
    const char *id;
    size_t len;
    if (is_unknown(status, reply)) {
        call_clock(bus, true);
        return;
    }
    if (status == RELAY_OK)
        status = parse_answer(reply, 1, &answer);
    if (status != RELAY_OK || !publish_answer_next(&answer, &id, &len) ||
        id_parse(id, len, &position) != RELAY_OK) {
        setup_failed(bus, status, reply);
        return;
    }
    bus->script.ready = true;
    bus->script.why[0] = '\0';
    history_clock_known(bus, &position);
    probe_now(bus);
}

static void call_clock(struct bus *bus, bool text) {
    char birth[BIRTH_DIGITS + 1];
    struct publish_request request = new_request(bus, birth);
    send_request(bus, &request, text, on_position, bus);
}

/* The rights may cover EVALSHA and EVAL, and not SCRIPT: then the text is sent each time. */
static void on_loaded(void *arg, int status, const struct redisReply *reply) {
    struct bus *bus = arg;
    if (status == RELAY_OK && reply->type == REDIS_REPLY_STRING && reply->len == PUBLISH_SHA_BYTES)
        memcpy(bus->script.sha, reply->str, PUBLISH_SHA_BYTES + 1);
    if (bus->script.run_id[0] != '\0')
        call_clock(bus, false);
}

static void on_info(void *arg, int status, const struct redisReply *reply) {
    struct bus *bus = arg;
    if (status == RELAY_OK && reply->type == REDIS_REPLY_STRING)
        redis_info_value(reply->str, "run_id", bus->script.run_id);
    if (bus->script.run_id[0] == '\0')
        setup_failed(bus, status, reply);
}

static void start(struct bus *bus) {
    static const char *const info[] = {"INFO", "server"};
    static const size_t info_len[] = {4, 6};
    const char *load[] = {"SCRIPT", "LOAD", NULL};
    size_t load_len[] = {6, 4, 0};
    load[2] = publish_script(&load_len[2]);
    bus->script.run_id[0] = bus->script.sha[0] = '\0';
    if (redis_client_command(&bus->publisher, 2, (const char **)info, info_len, on_info, bus) ==
        RELAY_OK)
        redis_client_command(&bus->publisher, 3, load, load_len, on_loaded, bus);
}

void script_init(struct bus *bus) {
    rng_init(&bus->script.rng);
    uv_timer_init(&bus->loop, &bus->script.retry);
    bus->script.retry.data = bus;
}

void script_up(struct bus *bus) {
    bus->script.why[0] = '\0';
    start(bus);
}

bool script_settled(const struct bus *bus) {
    return bus->script.ready || bus->script.why[0] != '\0';
}

void script_down(struct bus *bus) {
    bus->script.ready = false;
    uv_timer_stop(&bus->script.retry);
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

static int send_publish(struct bus *bus, struct bus_publish *p, bool text);

static void on_published(void *arg, int status, const struct redisReply *reply) {
    struct bus_publish *p = arg;
    struct publish_answer answer;
    if (is_unknown(status, reply)) {
        status = send_publish(p->bus, p, true);
        if (status == RELAY_OK)
            return;
        reply = NULL;
    } else if (status == RELAY_OK) {
        status = parse_answer(reply, p->topics_len, &answer);
        if (status == RELAY_OK)
            take_ids(p, &answer);
    } else if (status == RELAY_EREMOTE) {
        p->error = publish_error_kind(reply->str);
    }
    publish_done(p, status, status == RELAY_EREMOTE ? reply->str : NULL);
}

static int send_publish(struct bus *bus, struct bus_publish *p, bool text) {
    char birth[BIRTH_DIGITS + 1];
    struct publish_request request = new_request(bus, birth);
    struct publish_topic *topics = mem_zalloc(p->topics_len * sizeof(*topics));
    const char *name = p->topics;
    for (size_t i = 0; i < p->topics_len; i++, name += strlen(name) + 1)
        topics[i] = (struct publish_topic){name, strlen(name)};
    request.topics = topics;
    request.topics_count = p->topics_len;
    request.event = p->event;
    request.history = p->history > 0 ? p->history : bus->options.history;
    request.ttl_ms = p->ttl_ms > 0 ? p->ttl_ms : bus->options.ttl_ms;
    request.key = p->key;
    request.key_len = p->key_len;
    int rc = send_request(bus, &request, text, on_published, p);
    free(topics);
    return rc;
}

void script_publish(struct bus *bus, struct bus_publish *p) {
    const struct bus_script *s = &bus->script;
    if (s->ready) {
        int rc = send_publish(bus, p, false);
        if (rc != RELAY_OK)
            publish_done(p, RELAY_EAGAIN, NULL);
    } else if (s->why[0] != '\0' && bus->publisher.state == REDIS_CLIENT_READY) {
        p->error = s->error;
        publish_done(p, RELAY_EREMOTE, s->why);
    } else {
        publish_done(p, RELAY_EAGAIN, NULL);
    }
}
