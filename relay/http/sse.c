/* A request for a stream; see sse.h. */
#include "relay/http/sse.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/quantity.h"
#include "relay/http/access.h"
#include "relay/http/client_address.h"
#include "relay/http/limits.h"
#include "relay/http/query.h"
#include "relay/http/respond.h"
#include "relay/http/start.h"

enum {
    FULL_RETRY_MS = 30000 /* clients of a full node come back after this and up to twice as much */
};

/* ---- the query ---- */

struct stream_query {
    struct topic_list topics;
    struct cursor_request start;
    enum frame_format format;
    uint32_t max_event_bytes;
    bool ping;
    struct grant grant; /* of the token that allows it; all zero: it needed none */
};

static const char *const format_names[FRAME_FORMATS] = {"data", "topic", "json"};

static bool parse_format(struct span value, enum frame_format *format) {
    struct buf text = BUF_INIT;
    bool found = false;
    if (query_decode(value, &text) == RELAY_OK && text.len > 0 && strlen(text.data) == text.len)
        for (unsigned i = 0; i < FRAME_FORMATS && !found; i++)
            if (strcmp(text.data, format_names[i]) == 0) {
                *format = i;
                found = true;
            }
    buf_fini(&text);
    return found;
}

/* From 1 KiB on: a notice has to be shorter than what it replaces. */
static bool parse_size(struct span value, uint32_t *out) {
    struct buf text = BUF_INIT;
    uint64_t bytes = 0;
    bool good = query_decode(value, &text) == RELAY_OK && text.len > 0 &&
                strlen(text.data) == text.len &&
                quantity_parse(text.data, quantity_bytes, &bytes) == NULL && bytes >= 1024;
    buf_fini(&text);
    if (good)
        *out = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    return good;
}

static bool span_is(struct span s, const char *word) {
    return s.len == strlen(word) && memcmp(s.data, word, s.len) == 0;
}

/* With as=topic a topic becomes an event's name, and EventSource has two of its own. */
static int check_topics_as_names(struct stream_query *q, struct buf *why) {
    for (size_t i = 0; i < q->topics.len; i++) {
        struct span topic = q->topics.topics[i];
        if (!span_is(topic, "error") && !span_is(topic, "open"))
            continue;
        buf_printf(why,
                   "Topic %zu is a name that EventSource uses itself; ask for as=json instead of "
                   "as=topic.",
                   q->topics.positions[i]);
        topic_list_fini(&q->topics);
        return RELAY_EINVAL;
    }
    return RELAY_OK;
}

/* On failure @why has a sentence, and nothing is to be freed. */
static int parse_query(struct exchange *x, struct stream_query *q, struct buf *why) {
    struct span query = x->request->query, rest = query, name, value;
    *q = (struct stream_query){.format = FRAME_FORMAT_DATA};
    while (query_next(&rest, &name, &value)) {
        if (query_name_is(name, "as") && !parse_format(value, &q->format)) {
            buf_puts(why, "The parameter `as` is `data`, `topic` or `json`.");
            return RELAY_EINVAL;
        }
        if (query_name_is(name, "max-event") && !parse_size(value, &q->max_event_bytes)) {
            buf_puts(why, "The parameter `max-event` is a size from 1KiB on, such as `64KiB`.");
            return RELAY_EINVAL;
        }
        if (query_name_is(name, "ping"))
            q->ping = !(value.len == 1 && value.data[0] == '0');
    }
    if (cursor_parse(x->request, &q->start, why) != RELAY_OK)
        return RELAY_EINVAL;
    if (access_topics(x, &q->topics, why) != RELAY_OK)
        return RELAY_EINVAL;
    return q->format == FRAME_FORMAT_TOPIC ? check_topics_as_names(q, why) : RELAY_OK;
}

/* ---- the answer ---- */

static void begin_answer(const struct exchange *x, struct answer *answer) {
    *answer = (struct answer){.status = 200, .streamed = true};
    respond_fields(x, &answer->fields);
    fields_add(&answer->fields, "Content-Type", "text/event-stream; charset=utf-8");
    fields_add(&answer->fields, "Cache-Control", "no-cache, no-store, no-transform");
    fields_add(&answer->fields, "X-Accel-Buffering", "no");
    fields_add(&answer->fields, "X-Content-Type-Options", "nosniff");
}

static bool is_event_source(const struct exchange *x) {
    struct span accept = request_header(x->request, "accept");
    return accept.len >= 17 && memmem(accept.data, accept.len, "text/event-stream", 17) != NULL;
}

/* No stream now. An answer that is not 200 would end an EventSource for good, so it gets a stream
 * that ends, with the time to come back; everybody else gets @status. */
static void turn_away(struct exchange *x, int status, const char *reason, uint64_t retry_ms,
                      const char *detail) {
    if (!is_event_source(x)) {
        respond_later(x, status, retry_ms / 1000 + 1, detail);
        return;
    }
    struct frame *end = frame_close(reason, retry_ms);
    struct frame_slice bytes = frame_slice(end, FRAME_FORMAT_DATA, FRAMING_NONE);
    struct answer answer;
    begin_answer(x, &answer);
    answer.body = (struct span){bytes.bytes, bytes.len};
    exchange_answer(x, &answer);
    frame_unref(end);
}

/* So that those who are refused do not come back at one moment. */
static uint64_t later_ms(struct exchange *x) {
    return FULL_RETRY_MS + rng_below(&x->service->rng, 2 * FULL_RETRY_MS);
}

/* The node has room, but not for more of this client. */
static void turn_client_away(struct exchange *x, const char *detail) {
    metric_add(&x->service->metrics->refused_limit, 1);
    turn_away(x, 429, "limit", later_ms(x), detail);
}

static const char address_is_full[] =
    "Your address has as many connections to this node as one may (--max-connections-per-address). "
    "Close some, or try again later.";

static bool rejected(struct exchange *x) {
    struct http_metrics *metrics = x->service->metrics;
    if (atomic_load_explicit(&x->service->options.shared->draining, memory_order_relaxed)) {
        metric_add(&metrics->refused_draining, 1);
        turn_away(x, 503, hub_end_name(HUB_END_DRAIN), hub_retry_soon_ms(x->service->hub),
                  "This node is going down. Try again; another one will answer.");
        return true;
    }
    if (x->surplus == HTTP_SURPLUS_ADDRESS) {
        turn_client_away(x, address_is_full);
        return true;
    }
    if (x->surplus != HTTP_SURPLUS_NONE) {
        metric_add(&metrics->refused_full, 1);
        turn_away(
            x, 503, "full", later_ms(x),
            "This node serves as many connections as it may (--max-connections). Try again later.");
        return true;
    }
    return false;
}

/* By whom it can be kicked. */
static struct hub_identity identify(const struct hub *hub, const struct grant *grant) {
    return hub_identify(hub, grant->subject.data, grant->subject.len, grant->id.data,
                        grant->id.len);
}

static void open_stream(struct exchange *x, const struct answer *head,
                        const struct stream_query *q) {
    struct hub *hub = x->service->hub;
    struct hub_topic_name *names = mem_zalloc(q->topics.len * sizeof(*names));
    for (size_t i = 0; i < q->topics.len; i++)
        names[i] = (struct hub_topic_name){q->topics.topics[i].data, q->topics.topics[i].len};
    struct hub_subscription_spec spec = {.topics = names,
                                         .topics_len = q->topics.len,
                                         .format = q->format,
                                         .max_event_bytes = q->max_event_bytes,
                                         .ping = q->ping,
                                         .start = q->start,
                                         .expires_ms = access_expires_ms(&q->grant),
                                         .identity = identify(hub, &q->grant),
                                         .opening = frame_opening(hub_retry_ms(hub))};
    exchange_stream(x, head, &spec);
    free(names);
}

/* Whether the token's subject may have a further stream. Otherwise it was answered. */
static bool has_room(struct exchange *x, const struct grant *grant) {
    struct limits *limits = x->service->options.shared->limits;
    uint64_t forwarded = limits_count_addresses(limits) ? exchange_forwarded_key(x) : 0;
    switch (
        limits_begin_stream(limits, &grant->subject, forwarded, exchange_connection(x), &x->held)) {
    case HTTP_LIMIT_ADDRESS_CONNECTIONS:
        turn_client_away(x, address_is_full);
        return false;
    case HTTP_LIMIT_SUBJECT_STREAMS:
        turn_client_away(x, "This token's subject has as many streams at this node as one may "
                            "(--max-streams-per-subject). Close some, or try again later.");
        return false;
    case HTTP_LIMIT_SUBJECT_CONNECTIONS:
        turn_client_away(
            x, "This token's subject has streams on as many connections to this node as "
               "one may (--max-connections-per-subject). Close some, or try again later.");
        return false;
    default:
        return true;
    }
}

static void accept_stream(struct exchange *x, const struct stream_query *q) {
    struct answer head;
    begin_answer(x, &head);
    if (x->request->method == HTTP_METHOD_HEAD)
        exchange_answer(x, &head);
    else if (has_room(x, &q->grant))
        open_stream(x, &head, q);
}

static bool may_read(struct exchange *x, struct stream_query *q) {
    enum access access = access_to_read(x, &q->topics, &q->grant);
    if (access == ACCESS_LATER) {
        uint64_t retry_ms;
        const char *detail = access_later(x, &retry_ms);
        turn_away(x, 503, "keys", retry_ms, detail);
    }
    return access == ACCESS_GRANTED;
}

void sse_get(struct exchange *x) {
    struct stream_query q;
    struct buf why = BUF_INIT;
    if (parse_query(x, &q, &why) != RELAY_OK) {
        respond_problem(x, 400, NULL, why.data);
    } else {
        if (!rejected(x) && may_read(x, &q))
            accept_stream(x, &q);
        grant_fini(&q.grant);
        topic_list_fini(&q.topics);
    }
    buf_fini(&why);
}
