/* Publishing over HTTP; see post.h. */
#include "relay/http/post.h"

#include <string.h>
#include <strings.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/quantity.h"
#include "relay/http/access.h"
#include "relay/http/authority.h"
#include "relay/http/client_address.h"
#include "relay/http/limits.h"
#include "relay/http/query.h"
#include "relay/http/respond.h"
#include "relay/wire/envelope.h"
#include "relay/wire/publish_script.h"
#include "relay/wire/topic.h"

/* Whether its client does not publish too fast. Otherwise it was answered. */
static bool is_in_time(struct exchange *x, const struct grant *grant) {
    uint64_t after_s =
        limits_publish(x->service->options.shared->limits, &grant->subject, exchange_limit_key(x));
    if (after_s > 0)
        respond_later(x, 429, after_s,
                      grant->subject.len > 0
                          ? "This token's subject publishes more often than one may "
                            "(--publish-rate). Nothing was published; try again later."
                          : "Your address publishes more often than one may (--publish-rate). "
                            "Nothing was published; try again later.");
    return after_s == 0;
}

bool post_may(struct exchange *x) {
    const struct http_options *o = &x->service->options;
    if ((!o->allow_publish && o->auth == NULL) || o->send == NULL) {
        respond_problem(x, 403, NULL,
                        "Publishing over HTTP is off. Start the relay with a key for tokens "
                        "(--token-key or --token-secret-file), or with --allow-anonymous-publish "
                        "to let anybody who reaches it publish, or publish through Redis.");
        return false;
    }
    if (!origin_may_publish(&o->origins, x->request)) {
        metric_add(&x->service->metrics->denied[HTTP_DENIED_ORIGIN], 1);
        respond_problem(x, 403, NULL,
                        "Pages of this origin may not publish here. Name the origin with "
                        "--cors-origin to allow it.");
        return false;
    }
    struct grant grant = {0};
    bool may = (o->allow_publish || access_may_publish(x, &grant)) && is_in_time(x, &grant);
    grant_fini(&grant);
    return may;
}

/* Whether @value begins with @word, whatever the case. */
static bool begins(struct span value, const char *word) {
    size_t len = strlen(word);
    return value.len >= len && strncasecmp(value.data, word, len) == 0;
}

/* The value of the parameter `charset` of a Content-Type, without quotes; empty: none. */
static struct span charset_of(struct span type) {
    static const char name[] = "charset=";
    for (size_t i = 0; i + strlen(name) <= type.len; i++) {
        struct span rest = {type.data + i, type.len - i};
        if (i == 0 || !begins(rest, name) || strchr("; \t", type.data[i - 1]) == NULL)
            continue;
        rest = (struct span){rest.data + strlen(name), rest.len - strlen(name)};
        return rest.len > 0 && rest.data[0] == '"' ? (struct span){rest.data + 1, rest.len - 1}
                                                   : rest;
    }
    return (struct span){NULL, 0};
}

/* The body is the event's data, byte by byte. What is plainly meant to be unpacked first would
 * reach subscribers as rubbish, or be refused with a sentence about UTF-8 that helps nobody. */
bool post_can_read(struct exchange *x) {
    struct span type = request_header(x->request, "Content-Type");
    struct span coding = request_header(x->request, "Content-Encoding");
    struct span charset = charset_of(type);
    const char *why = NULL;
    struct fields more = {0};
    if (begins(type, "multipart/")) {
        why = "A form in several parts is not taken apart. Send the event's data itself as the "
              "body (with curl, -d or --data-binary, not -F).";
    } else if (coding.len > 0 && !span_equals_nocase(coding, span_of("identity"))) {
        why = "A compressed body is not unpacked. Send the event's data itself, without "
              "Content-Encoding.";
        fields_add(&more, "Accept-Encoding", "identity");
    } else if (begins(charset, "utf-16") || begins(charset, "utf-32") || begins(charset, "ucs-")) {
        why = "The body has to be UTF-8, since a stream of events is. Send it as "
              "`charset=utf-8`.";
    }
    if (why != NULL)
        respond_problem(x, 415, &more, why);
    return why == NULL;
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
    unsigned seen = 0;
    while (query_next(&rest, &name, &value))
        for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
            if (!query_name_is(name, parameters[i].name))
                continue;
            if ((seen & 1u << i) != 0) {
                buf_printf(why, "The parameter `%s` is there twice. Give it once.",
                           parameters[i].name);
                return RELAY_EINVAL;
            }
            seen |= 1u << i;
            if (parameters[i].read(q, value, why) != RELAY_OK)
                return RELAY_EINVAL;
        }
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

static void send_to_bus(struct exchange *x, const struct topic_list *topics,
                        struct publish_query *q) {
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
    p->large = event_is_large(&q->event);
    p->base.request.kind = BUS_PUBLISH;
    p->base.request.worker = x->service->options.worker;
    p->topics = buf_detach(&names);
    p->topics_len = topics->len;
    exchange_wait(x, p);
    x->service->options.send(x->service->options.send_ctx, &p->base.request);
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

void post_publish(struct exchange *x) {
    struct publish_query q = {.live = false};
    struct topic_list topics;
    struct span body = x->request->body;
    struct buf why = BUF_INIT;
    q.event.data = body.len > 0 ? body.data : "";
    q.event.data_len = body.len;
    const char *wrong = data_check(q.event.data, q.event.data_len);
    if (wrong != NULL)
        buf_printf(&why, "The body, which is the event's data, %s.", wrong);
    if (wrong == NULL && parse_query(x->request->query, &q, &why) == RELAY_OK &&
        access_topics(x, &topics, &why) == RELAY_OK) {
        if (is_too_large(&q.event, topics.len))
            respond_problem(x, 413, NULL,
                            "The body is too large for so many topics at once. Publish it to fewer "
                            "of them in each request.");
        else
            send_to_bus(x, &topics, &q);
        topic_list_fini(&topics);
    } else {
        respond_problem(x, 400, NULL, why.data);
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

static void respond_published(struct exchange *x, const struct bus_publish *p) {
    struct buf text = BUF_INIT;
    if (p->unannounced) {
        buf_puts(&text, "The event is stored, but this relay's user may not publish on the "
                        "channel (an ACL of Redis), so subscribers learn of it only with the next "
                        "event that is announced. Do not publish it again. Its ids: ");
        put_ids(&text, p);
        respond_problem(x, 502, NULL, text.data);
    } else {
        buf_puts(&text, "{\"ids\":");
        put_ids(&text, p);
        if (p->large)
            buf_puts(&text,
                     ",\"warning\":\"The event is longer than 64 KiB. Some clients read lines "
                     "of that length at most, several of Go's libraries among them, and stop "
                     "at a longer one for good; a stream with max-event=64KiB gets a notice "
                     "in its place.\"");
        buf_puts(&text, "}\n");
        struct fields more = {0};
        fields_add(&more, "Cache-Control", "no-store");
        respond(x, 200, "application/json", &more, text.data, text.len);
    }
    buf_fini(&text);
}

/* Redis or the script understood, and refused. */
static void respond_refused(struct exchange *x, const struct bus_publish *p) {
    struct buf detail = BUF_INIT;
    int status = 502;
    if (p->durable && p->error == PUBLISH_CONFLICT)
        status = 409;
    else if (p->durable && (p->error == PUBLISH_TTL || p->error == PUBLISH_EVENT))
        status = 400;
    else if (p->error == PUBLISH_READONLY ||
             (p->durable && (p->error == PUBLISH_FULL || p->error == PUBLISH_UNSAVED ||
                             p->error == PUBLISH_UNAVAILABLE)))
        status = 503;
    if (p->error == PUBLISH_OTHER || (!p->durable && p->error != PUBLISH_READONLY))
        buf_printf(&detail, "Redis refused the event: %s", p->why);
    else
        buf_printf(&detail, "The event was refused: %s.", publish_error_text(p->error));
    if (status == 503)
        respond_retry(x, 5, detail.data);
    else
        respond_problem(x, status, NULL, detail.data);
    buf_fini(&detail);
}

static void respond_failed(struct exchange *x, const struct bus_publish *p) {
    if (p->status == RELAY_EREMOTE)
        respond_refused(x, p);
    else if (p->status == RELAY_EAGAIN)
        respond_retry(x, 1, "Redis cannot be reached now; nothing was published. Try again.");
    else if (p->key != NULL)
        respond_problem(x, 504, NULL,
                        "Redis did not answer. The event may have been published; publish it again "
                        "with the same key, which makes no duplicate.");
    else
        respond_problem(
            x, 504, NULL,
            "Redis did not answer. The event may have been published; publishing it "
            "again may duplicate it. A durable event with a `key` can be published again "
            "without harm.");
}

void post_answer(struct exchange *x, const struct bus_publish *p) {
    x->publish = NULL;
    if (p->status == RELAY_OK)
        respond_published(x, p);
    else
        respond_failed(x, p);
}
