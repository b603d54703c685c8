/* POST /sse: from a request to a publish on the bus, and its answer. */
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/http/conn.h"
#include "relay/http/query.h"
#include "relay/wire/envelope.h"
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

/* What a POST asks for besides its topics. @name keeps the bytes of event.name. */
struct publish_query {
    struct event event;
    struct buf name;
};

static int parse_retry(struct span value, struct event *event) {
    struct buf text = BUF_INIT;
    uint64_t ms = 0;
    bool good = query_decode(value, &text) == RELAY_OK && text.len > 0 && text.len <= 9;
    for (size_t i = 0; good && i < text.len; i++) {
        good = text.data[i] >= '0' && text.data[i] <= '9';
        ms = ms * 10 + (uint64_t)(text.data[i] - '0');
    }
    buf_fini(&text);
    if (!good || retry_check(ms) != NULL)
        return RELAY_EINVAL;
    event->retry_ms = (uint32_t)ms;
    return RELAY_OK;
}

static int parse_event_name(struct span value, struct publish_query *q, struct buf *why) {
    buf_reset(&q->name);
    const char *wrong = "is not percent-encoded correctly";
    if (query_decode(value, &q->name) == RELAY_OK)
        wrong = event_name_check(q->name.len > 0 ? q->name.data : "", q->name.len);
    if (wrong != NULL) {
        buf_printf(why, "The event's name %s.", wrong);
        return RELAY_EINVAL;
    }
    q->event.name = q->name.data;
    q->event.name_len = q->name.len;
    return RELAY_OK;
}

static bool needs_durable(struct span name) {
    return query_name_is(name, "key") || query_name_is(name, "history") ||
           query_name_is(name, "ttl");
}

static int parse_query(struct span rest, struct publish_query *q, struct buf *why) {
    struct span name, value;
    while (query_next(&rest, &name, &value)) {
        if (query_name_is(name, "event") && parse_event_name(value, q, why) != RELAY_OK)
            return RELAY_EINVAL;
        if (query_name_is(name, "retry") && parse_retry(value, &q->event) != RELAY_OK) {
            buf_printf(why, "The parameter `retry` is a number of milliseconds from %d to %d.",
                       RETRY_MIN_MS, RETRY_MAX_MS);
            return RELAY_EINVAL;
        }
        if (needs_durable(name)) {
            buf_puts(why, "The parameters `key`, `history` and `ttl` belong to durable events, and "
                          "this version "
                          "publishes live events only. Leave them out.");
            return RELAY_EINVAL;
        }
    }
    return RELAY_OK;
}

/* ---- there ---- */

static void send_to_bus(struct conn *c, const struct topic_list *topics,
                        const struct event *event) {
    struct buf envelope = BUF_INIT, names = BUF_INIT;
    envelope_encode_live(&envelope, event);
    if (envelope.len * topics->len > BUS_PUBLISH_MAX_BYTES) {
        buf_fini(&envelope);
        respond_problem(c, 413, NULL,
                        "The body is too large for so many topics at once. Publish it to fewer of "
                        "them in each request.");
        return;
    }
    struct bus_publish *p = mem_zalloc(sizeof(*p));
    for (size_t i = 0; i < topics->len; i++) {
        buf_append(&names, topics->topics[i].data, topics->topics[i].len);
        buf_putc(&names, '\0');
    }
    p->base.request.kind = BUS_PUBLISH;
    p->base.request.worker = c->server->options.worker;
    p->envelope_len = envelope.len;
    p->envelope = buf_detach(&envelope);
    p->topics = buf_detach(&names);
    p->topics_len = topics->len;
    p->waiter = c;
    c->publish = p;
    c->state = CONN_WAITING;
    wheel_clear(&c->deadline); /* the bus answers within its own */
    conn_poll(c);
    c->server->options.send(c->server->options.send_ctx, &p->base.request);
}

void publish_post(struct conn *c) {
    struct publish_query q = {.name = BUF_INIT};
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
        send_to_bus(c, &topics, &q.event);
        topic_list_fini(&topics);
    } else {
        respond_problem(c, 400, NULL, why.data);
    }
    buf_fini(&q.name);
    buf_fini(&why);
}

/* ---- and back ---- */

static void respond_published(struct conn *c, const struct bus_publish *p) {
    struct buf json = BUF_INIT;
    const char *topic = p->topics;
    buf_puts(&json, "{\"ids\":{");
    for (size_t i = 0; i < p->topics_len; i++, topic += strlen(topic) + 1) {
        buf_puts(&json, i > 0 ? "," : "");
        buf_put_json(&json, topic, strlen(topic));
        buf_puts(&json, ":null"); /* a live event has no id */
    }
    buf_puts(&json, "}}\n");
    respond(c, 200, "application/json", "Cache-Control: no-store\r\n", json.data, json.len);
    buf_fini(&json);
}

static void respond_failed(struct conn *c, const struct bus_publish *p) {
    struct buf detail = BUF_INIT;
    switch (p->status) {
    case RELAY_EAGAIN:
        respond_problem(c, 503, "Retry-After: 1\r\n",
                        "Redis cannot be reached now; nothing was published. Try again.");
        break;
    case RELAY_EREMOTE:
        buf_printf(&detail, "Redis refused the event: %s", p->why);
        respond_problem(c, 502, NULL, detail.data);
        break;
    default:
        respond_problem(c, 504, NULL,
                        "Redis did not answer. The event may have been published; publishing it "
                        "again may double it.");
    }
    buf_fini(&detail);
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
