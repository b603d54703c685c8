/* The bus and a real redis-server; see bus_world.h. */
#include "tests/loop/bus/bus_world.h"

#include <hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/wire/envelope.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 30000, STEP_US = 1000, LARGE_BYTES = 256 * 1024 * 1024 };

uint64_t bus_world_deadline(void) {
    return clock_mono_ms() + PATIENCE_MS;
}

void bus_world_pause(uint64_t end_ms, const char *what) {
    if (clock_mono_ms() >= end_ms)
        fail_msg("waited in vain for %s", what);
    usleep(STEP_US);
}

/* ---- life ---- */

const struct bus_world_options bus_plain = {.linger_ms = HOUR_MS};
const struct bus_world_options bus_tiny_rings = {
    .linger_ms = HOUR_MS, .ring_topic_bytes = TINY_BYTES, .ring_node_bytes = 4 * TINY_BYTES};

static void open_publisher(struct bus_world *w) {
    durable_open(&w->durable, w->redis.socket);
    w->durable.history = w->history;
}

void bus_world_start(struct bus_world *w, const struct bus_world_options *o) {
    const char *why = NULL;
    memset(w, 0, sizeof(*w));
    signal(SIGPIPE, SIG_IGN); /* as every program that uses the bus */
    redis_server_start(&w->redis);
    assert_int_equal(redis_url_parse(w->redis.url, &w->url, &why), RELAY_OK);
    for (unsigned i = 0; i < BUS_WORKERS; i++) {
        size_t limit = i == 0 && o->inbox_limit > 0 ? o->inbox_limit : SIZE_MAX;
        queue_init(&w->inboxes[i], limit, SIZE_MAX, NULL);
        w->inbox_list[i] = &w->inboxes[i];
    }
    w->options = (struct bus_options){
        .url = &w->url,
        .prefix = "sse",
        .node = "node",
        .redis_timeout_ms = o->redis_timeout_ms > 0 ? o->redis_timeout_ms : PATIENCE_MS,
        .linger_ms = o->linger_ms,
        .history = PUBLISH_HISTORY_DEFAULT,
        .ttl_ms = PUBLISH_TTL_DEFAULT_MS,
        .memory_ms = PUBLISH_MEMORY_DEFAULT_MS,
        .replay_limit = o->replay_limit,
        .ring_topic_bytes = o->ring_topic_bytes > 0 ? o->ring_topic_bytes : LARGE_BYTES,
        .ring_node_bytes = o->ring_node_bytes > 0 ? o->ring_node_bytes : LARGE_BYTES,
        .inboxes = w->inbox_list,
        .workers = BUS_WORKERS,
        .bars = o->bars};
    w->history = o->history;
    if (!o->unborn) {
        open_publisher(w);
        durable_publish(&w->durable, NULL, NULL);
    }
    w->bus = bus_start(&w->options, &w->metrics);
}

size_t bus_world_stop(struct bus_world *w) {
    size_t published = 0;
    if (w->bus != NULL)
        bus_stop(w->bus);
    for (unsigned i = 0; i < BUS_WORKERS; i++) {
        struct queue_node *lists[] = {w->taken[i], queue_take(&w->inboxes[i])};
        for (int k = 0; k < 2; k++) {
            while (lists[k] != NULL) {
                struct bus_message *m = container_of(lists[k], struct bus_message, node);
                lists[k] = lists[k]->next;
                published += m->kind == BUS_PUBLISHED;
                message_free(m);
            }
        }
        queue_fini(&w->inboxes[i]);
    }
    if (w->cli != NULL)
        redisFree(w->cli);
    durable_close(&w->durable);
    redis_server_stop(&w->redis);
    redis_url_fini(&w->url);
    return published;
}

/* ---- Redis ---- */

static redisReply *ask(struct bus_world *w, int argc, const char **argv, const size_t *argv_len) {
    if (w->cli != NULL && w->cli->err != 0) {
        redisFree(w->cli);
        w->cli = NULL;
    }
    if (w->cli == NULL)
        w->cli = redisConnectUnix(w->redis.socket);
    redisReply *reply = redisCommandArgv(w->cli, argc, argv, argv_len);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", argv[0], reply != NULL ? reply->str : w->cli->errstr);
    return reply;
}

long long redis_do(struct bus_world *w, const char *format, ...) {
    char text[512], *save = NULL;
    const char *argv[32];
    int argc = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *word = strtok_r(text, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    redisReply *reply = ask(w, argc, argv, NULL);
    long long value = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    freeReplyObject(reply);
    return value;
}

void redis_publish(struct bus_world *w, const char *topic, const char *data) {
    char channel[300];
    snprintf(channel, sizeof(channel), "sse:%s", topic);
    freeReplyObject(ask(w, 3, (const char *[]){"PUBLISH", channel, data}, NULL));
}

long long redis_subscribers(struct bus_world *w, const char *topic) {
    char channel[300];
    snprintf(channel, sizeof(channel), "sse:%s", topic);
    redisReply *reply = ask(w, 3, (const char *[]){"PUBSUB", "NUMSUB", channel}, NULL);
    long long n = reply->element[1]->integer;
    freeReplyObject(reply);
    return n;
}

void redis_fail_over(struct bus_world *w) {
    if (w->cli != NULL)
        redisFree(w->cli);
    w->cli = NULL;
    durable_close(&w->durable);
    redis_server_kill(&w->redis);
    redis_server_restart(&w->redis);
    open_publisher(w);
}

long long redis_calls(struct bus_world *w, const char *command) {
    char field[64];
    redisReply *reply = ask(w, 2, (const char *[]){"INFO", "commandstats"}, NULL);
    snprintf(field, sizeof(field), "cmdstat_%s:calls=", command);
    const char *at = strstr(reply->str, field);
    long long calls = at != NULL ? atoll(at + strlen(field)) : 0;
    freeReplyObject(reply);
    return calls;
}

long long redis_log_reads(struct bus_world *w) {
    return redis_calls(w, "xrange") + redis_calls(w, "xrevrange");
}

/* ---- a worker ---- */

/* Names by blanks, each with a NUL behind; returns how many. */
static size_t split(char *names) {
    size_t n = 1;
    for (; *names != '\0'; names++)
        if (*names == ' ') {
            *names = '\0';
            n++;
        }
    return n;
}

static void send_interest(struct bus_world *w, enum bus_request_kind kind, unsigned worker,
                          const char *topic, unsigned formats) {
    struct bus_subscribe *r = bus_subscribe_new(kind, topic, strlen(topic), formats);
    r->base.worker = worker;
    queue_push_control(bus_requests(w->bus), &r->base.node);
}

void worker_subscribe(struct bus_world *w, unsigned worker, const char *topic, unsigned formats) {
    send_interest(w, BUS_SUBSCRIBE, worker, topic, formats);
}

void worker_unsubscribe(struct bus_world *w, unsigned worker, const char *topic) {
    send_interest(w, BUS_UNSUBSCRIBE, worker, topic, 0);
}

void worker_replay(struct bus_world *w, unsigned worker, const char *topics,
                   const struct worker_replay *replay) {
    char *names = mem_strndup(topics, strlen(topics));
    size_t len = strlen(topics) + 1;
    struct bus_replay *r = bus_replay_new(split(names), len);
    memcpy(r->names, names, len);
    r->token = replay->token;
    r->start = replay->start;
    r->replayed = replay->replayed;
    r->patience_ms = replay->patience_ms;
    r->limit_bytes = replay->limit_bytes > 0 ? replay->limit_bytes : LARGE_BYTES;
    r->format = replay->format;
    r->base.worker = worker;
    queue_push_control(bus_requests(w->bus), &r->base.node);
    free(names);
}

void worker_publish(struct bus_world *w, unsigned worker, const char *topics, const char *data) {
    struct bus_publish *p = mem_zalloc(sizeof(*p));
    struct buf envelope = BUF_INIT;
    struct event event = {.data = data, .data_len = strlen(data)};
    envelope_encode_live(&envelope, &event);
    p->base.request.kind = BUS_PUBLISH;
    p->base.request.worker = worker;
    p->envelope_len = envelope.len;
    p->envelope = buf_detach(&envelope);
    p->topics = mem_strndup(topics, strlen(topics));
    p->topics_len = split(p->topics);
    queue_push_control(bus_requests(w->bus), &p->base.request.node);
}

struct bus_message *worker_next(struct bus_world *w, unsigned worker) {
    uint64_t end_ms = bus_world_deadline();
    while (w->taken[worker] == NULL) {
        w->taken[worker] = queue_take(&w->inboxes[worker]);
        if (w->taken[worker] == NULL)
            bus_world_pause(end_ms, "a message");
    }
    struct bus_message *m = container_of(w->taken[worker], struct bus_message, node);
    w->taken[worker] = m->node.next;
    if (m->kind != BUS_GAP || !w->skips_gaps)
        return m;
    message_free(m);
    return worker_next(w, worker);
}

void message_free(struct bus_message *m) {
    if (m->kind == BUS_EVENT)
        bus_event_unref((struct bus_event *)m);
    else if (m->kind == BUS_REPLAYED)
        bus_replayed_free((struct bus_replayed *)m);
    else if (m->kind == BUS_PUBLISHED)
        bus_publish_free((struct bus_publish *)m);
    else
        free(m);
}

void expect_gap(struct bus_world *w, unsigned worker, const char *topic, unsigned reasons) {
    struct bus_gap *m = (struct bus_gap *)worker_next(w, worker);
    assert_int_equal(m->base.kind, BUS_GAP);
    assert_int_equal(m->topic_len, strlen(topic));
    assert_memory_equal(m->topic, topic, m->topic_len);
    assert_int_equal(m->reasons, reasons);
    free(m);
}

struct bus_replayed *expect_replayed(struct bus_world *w, unsigned worker, uint64_t token) {
    struct bus_replayed *m = (struct bus_replayed *)worker_next(w, worker);
    assert_int_equal(m->base.kind, BUS_REPLAYED);
    assert_int_equal(m->token, token);
    return m;
}

void expect_live(struct bus_world *w, unsigned worker, const char *topics) {
    worker_replay(w, worker, topics, &(struct worker_replay){.token = 77});
    struct bus_replayed *m = expect_replayed(w, worker, 77);
    assert_true(m->live);
    assert_null(m->slice);
    assert_int_equal(m->resets_len, 0);
    bus_replayed_free(m);
}

void expect_event(struct bus_world *w, unsigned worker, const char *topic, const char *data) {
    struct bus_event *e = (struct bus_event *)worker_next(w, worker);
    assert_int_equal(e->base.kind, BUS_EVENT);
    assert_int_equal(e->topic_len, strlen(topic));
    assert_memory_equal(e->topic, topic, e->topic_len);
    assert_true(e->received_us > 0);
    if (frame_has_format(e->frame, FRAME_FORMAT_DATA)) {
        char expected[512];
        int len = snprintf(expected, sizeof(expected), "data: %s\n\n", data);
        struct frame_slice s = frame_slice(e->frame, FRAME_FORMAT_DATA, FRAMING_NONE);
        assert_int_equal(s.len, len);
        assert_memory_equal(s.bytes, expected, s.len);
    }
    bus_event_unref(e);
}

int expect_published(struct bus_world *w, unsigned worker) {
    struct bus_publish *p = (struct bus_publish *)worker_next(w, worker);
    assert_int_equal(p->base.answer.kind, BUS_PUBLISHED);
    int status = p->status;
    assert_true(status == RELAY_OK || p->why[0] != '\0');
    bus_publish_free(p);
    return status;
}

void until_metric(const metric *f, uint64_t value) {
    UNTIL(metric_get(f) >= value);
}

void until_ready(struct bus_world *w, bool ready) {
    for (uint64_t end_ms = bus_world_deadline();;) {
        struct buf why = BUF_INIT;
        bool is = bus_ready(&w->options, &w->metrics, clock_mono_ms(), &why);
        assert_int_equal(is, why.len == 0); /* it says why not */
        buf_fini(&why);
        if (is == ready)
            return;
        bus_world_pause(end_ms, "readiness");
    }
}
