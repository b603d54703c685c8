/* POST /sse: from a request to a publish on the bus, and its answer. */
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/quantity.h"
#include "relay/http/conn.h"
#include "relay/http/query.h"
#include "relay/wire/envelope.h"
#include "relay/wire/publish.h"
#include "relay/wire/topic.h"

bool publish_may(struct conn *c) {
    const struct http_options *o = &c->server->options;
    if (!o->allow_publish || o->send == NULL) {
        respond_problem(c, 403, NULL,
                        "Publishing over HTTP is off. Start the relay with "
                        "--allow-anonymous-publish to let anybody who "
                        "reaches it publish, or publish through Redis.");
        return false;
    }
    if (!origin_may_publish(&o->origins, c->request)) {
        respond_problem(c, 403, NULL,
                        "Pages of this origin may not publish here. Name the origin with "
                        "--cors-origin to allow it.");
        return false;
    }
    return true;
}

/* ---- the query ---- */

/* What a POST asks for besides its topics. */
struct publish_query {
    struct event event;
    struct buf name; /* the bytes of event.name */
    bool live;
    uint64_t history, ttl_ms; /* 0: not said */
    struct buf key;           /* empty: none */
    bool says_durable;        /* key, history or ttl was there */
};

/* A number of @raw within @least and @most. */
static bool read_number(struct span raw, const struct unit *units, uint64_t least, uint64_t most,
                        uint64_t *out) {
    struct buf text = BUF_INIT;
    uint64_t value = 0;
    bool good = query_decode(raw, &text) == RELAY_OK && strlen(text.data) == text.len &&
                quantity_parse(text.data, units, &value) == NULL && value >= least && value <= most;
    buf_fini(&text);
    if (good)
        *out = value;
    return good;
}

static int read_name(struct publish_query *q, struct span raw, struct buf *why) {
    buf_reset(&q->name);
    const char *wrong = "is not percent-encoded correctly";
    if (query_decode(raw, &q->name) == RELAY_OK)
        wrong = event_name_check(q->name.data, q->name.len);
    if (wrong != NULL) {
        buf_printf(why, "The event's name %s.", wrong);
        return RELAY_EINVAL;
    }
    q->event.name = q->name.data;
    q->event.name_len = q->name.len;
    return RELAY_OK;
}

static int read_retry(struct publish_query *q, struct span raw, struct buf *why) {
    uint64_t ms;
    if (!read_number(raw, quantity_plain, RETRY_MIN_MS, RETRY_MAX_MS, &ms)) {
        buf_printf(why, "The parameter `retry` is a number of milliseconds from %d to %d.",
                   RETRY_MIN_MS, RETRY_MAX_MS);
        return RELAY_EINVAL;
    }
    q->event.retry_ms = (uint32_t)ms;
    return RELAY_OK;
}

static int read_live(struct publish_query *q, struct span raw, struct buf *why) {
    (void)why;
    q->live = !(raw.len == 1 && raw.data[0] == '0');
    return RELAY_OK;
}

static int read_key(struct publish_query *q, struct span raw, struct buf *why) {
    buf_reset(&q->key);
    const char *wrong = "is not percent-encoded correctly";
    if (query_decode(raw, &q->key) == RELAY_OK)
        wrong = publish_key_check(q->key.data, q->key.len);
    q->says_durable = true;
    if (wrong == NULL)
        return RELAY_OK;
    buf_printf(why, "The parameter `key` %s.", wrong);
    return RELAY_EINVAL;
}

static int read_history(struct publish_query *q, struct span raw, struct buf *why) {
    q->says_durable = true;
    if (read_number(raw, quantity_plain, 1, PUBLISH_HISTORY_MAX, &q->history))
        return RELAY_OK;
    buf_printf(why, "The parameter `history` is a number of events from 1 to %d.",
               PUBLISH_HISTORY_MAX);
    return RELAY_EINVAL;
}

static int read_ttl(struct publish_query *q, struct span raw, struct buf *why) {
    q->says_durable = true;
    if (read_number(raw, quantity_time_ms, PUBLISH_TTL_MIN_MS, UINT64_MAX - 1, &q->ttl_ms))
        return RELAY_OK;
    buf_puts(why, "The parameter `ttl` is a duration of at least a second, such as `30s`, `10m`, "
                  "`1h` or `2d`, or a number of milliseconds.");
    return RELAY_EINVAL;
}

static int parse_query(struct span rest, struct publish_query *q, struct buf *why) {
    static const struct {
        const char *name;
        int (*read)(struct publish_query *q, struct span raw, struct buf *why);
    } parameters[] = {{"event", read_name}, {"retry", read_retry},     {"live", read_live},
                      {"key", read_key},    {"history", read_history}, {"ttl", read_ttl}};
    struct span name, value;
    while (query_next(&rest, &name, &value))
        for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
            if (query_name_is(name, parameters[i].name) &&
                parameters[i].read(q, value, why) != RELAY_OK)
                return RELAY_EINVAL;
    if (!q->live || !q->says_durable)
        return RELAY_OK;
    buf_puts(why, "The parameters `key`, `history` and `ttl` belong to durable events. Leave them "
                  "out, or `live`.");
    return RELAY_EINVAL;
}

/* ---- there ---- */

static void put_live(struct bus_publish *p, const struct event *event) {
    struct buf envelope = BUF_INIT;
    envelope_encode_live(&envelope, event);
    p->envelope_len = envelope.len;
    p->envelope = buf_detach(&envelope);
}

/* The request may be gone before the bus is done with it, so its bytes are copied. */
static void put_durable(struct bus_publish *p, struct publish_query *q) {
    struct buf bytes = BUF_INIT;
    buf_append(&bytes, q->event.data, q->event.data_len);
    buf_append(&bytes, q->event.name, q->event.name_len);
    p->durable = true;
    p->bytes = buf_detach(&bytes);
    p->event = q->event;
    p->event.data = p->bytes;
    p->event.name = p->bytes + q->event.data_len;
    p->history = q->history;
    p->ttl_ms = q->ttl_ms;
    p->key_len = q->key.len;
    p->key = q->key.len > 0 ? buf_detach(&q->key) : NULL;
}

static void send_to_bus(struct conn *c, const struct topic_list *topics, struct publish_query *q) {
    struct bus_publish *p = mem_zalloc(sizeof(*p));
    struct buf names = BUF_INIT;
    if (q->live)
        put_live(p, &q->event);
    else
        put_durable(p, q);
    for (size_t i = 0; i < topics->len; i++) {
        buf_append(&names, topics->topics[i].data, topics->topics[i].len);
        buf_putc(&names, '\0');
    }
    p->base.request.kind = BUS_PUBLISH;
    p->base.request.worker = c->server->options.worker;
    p->topics = buf_detach(&names);
    p->topics_len = topics->len;
    p->waiter = c;
    c->publish = p;
    c->state = CONN_WAITING;
    wheel_clear(&c->deadline); /* the bus answers within its own */
    conn_poll(c);
    c->server->options.send(c->server->options.send_ctx, &p->base.request);
}

/* What Redis is sent, or keeps, for all topics together. */
static bool is_too_large(const struct event *event, size_t topics) {
    enum { ESCAPED_MAX = 6 }; /* a control character becomes \\u0001 */
    if (event->data_len * ESCAPED_MAX * topics < BUS_PUBLISH_MAX_BYTES / 2)
        return false;
    struct buf json = BUF_INIT;
    envelope_encode_json(&json, event);
    bool too_large = json.len * topics > BUS_PUBLISH_MAX_BYTES;
    buf_fini(&json);
    return too_large;
}

void publish_post(struct conn *c) {
    struct publish_query q = {.live = false};
    struct topic_list topics;
    struct span body = request_body(c->request);
    struct buf why = BUF_INIT;
    q.event.data = body.len > 0 ? body.data : "";
    q.event.data_len = body.len;
    const char *wrong = data_check(q.event.data, q.event.data_len);
    if (wrong != NULL)
        buf_printf(&why, "The body, which is the event's data, %s.", wrong);
    if (wrong == NULL && parse_query(request_query(c->request), &q, &why) == RELAY_OK &&
        topic_list_parse(request_query(c->request), c->server->options.max_topics, &topics, &why) ==
            RELAY_OK) {
        if (is_too_large(&q.event, topics.len))
            respond_problem(c, 413, NULL,
                            "The body is too large for so many topics at once. Publish it to fewer "
                            "of them in each request.");
        else
            send_to_bus(c, &topics, &q);
        topic_list_fini(&topics);
    } else {
        respond_problem(c, 400, NULL, why.data);
    }
    buf_fini(&q.name);
    buf_fini(&q.key);
    buf_fini(&why);
}

/* ---- and back ---- */

/* `{"a":"<id>","b":"<id>"}`; a live event has no id. */
static void put_ids(struct buf *out, const struct bus_publish *p) {
    const char *topic = p->topics, *id = p->ids;
    buf_putc(out, '{');
    for (size_t i = 0; i < p->topics_len; i++, topic += strlen(topic) + 1) {
        buf_puts(out, i > 0 ? "," : "");
        buf_put_json(out, topic, strlen(topic));
        buf_putc(out, ':');
        if (id == NULL) {
            buf_puts(out, "null");
            continue;
        }
        buf_put_json(out, id, strlen(id));
        id += strlen(id) + 1;
    }
    buf_putc(out, '}');
}

static void respond_published(struct conn *c, const struct bus_publish *p) {
    struct buf text = BUF_INIT;
    if (p->unannounced) {
        buf_puts(&text, "The event is stored, but this relay's user may not publish on the "
                        "channel (an ACL of Redis), so subscribers learn of it only with the next "
                        "event that is announced. Do not publish it again. Its ids: ");
        put_ids(&text, p);
        respond_problem(c, 502, NULL, text.data);
    } else {
        buf_puts(&text, "{\"ids\":");
        put_ids(&text, p);
        buf_puts(&text, "}\n");
        respond(c, 200, "application/json", "Cache-Control: no-store\r\n", text.data, text.len);
    }
    buf_fini(&text);
}

/* Redis or the script understood, and refused. */
static void respond_refused(struct conn *c, const struct bus_publish *p) {
    struct buf detail = BUF_INIT;
    int status = 502;
    if (p->durable && p->error == PUBLISH_CONFLICT)
        status = 409;
    else if (p->durable && p->error == PUBLISH_TTL)
        status = 400;
    else if (p->durable && (p->error == PUBLISH_FULL || p->error == PUBLISH_READONLY ||
                            p->error == PUBLISH_UNSAVED || p->error == PUBLISH_UNAVAILABLE))
        status = 503;
    if (!p->durable || p->error == PUBLISH_OTHER)
        buf_printf(&detail, "Redis refused the event: %s", p->why);
    else
        buf_printf(&detail, "The event was refused: %s.", publish_error_text(p->error));
    respond_problem(c, status, status == 503 ? "Retry-After: 5\r\n" : NULL, detail.data);
    buf_fini(&detail);
}

static void respond_failed(struct conn *c, const struct bus_publish *p) {
    if (p->status == RELAY_EREMOTE)
        respond_refused(c, p);
    else if (p->status == RELAY_EAGAIN)
        respond_problem(c, 503, "Retry-After: 1\r\n",
                        "Redis cannot be reached now; nothing was published. Try again.");
    else if (p->key != NULL)
        respond_problem(c, 504, NULL,
                        "Redis did not answer. The event may have been published; publish it again "
                        "with the same key, which does not double it.");
    else
        respond_problem(c, 504, NULL,
                        "Redis did not answer. The event may have been published; publishing it "
                        "again may double it. A durable event with a `key` can be published again "
                        "without harm.");
}

void server_published(struct server *server, struct bus_publish *p) {
    struct conn *c = p->waiter;
    (void)server;
    if (c != NULL) {
        c->publish = NULL;
        if (p->status == RELAY_OK)
            respond_published(c, p);
        else
            respond_failed(c, p);
        conn_process(c);
    }
    bus_publish_free(p);
}
