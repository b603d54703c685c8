/* Events that go to Redis together; see batch.h. */
#include "publisher-cli/publish/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "relay/wire/names.h"

struct batch *batch_new(void) {
    return mem_zalloc(sizeof(struct batch));
}

void batch_free(struct batch *b) {
    buf_fini(&b->texts);
    buf_fini(&b->names);
    buf_fini(&b->key);
    buf_fini(&b->refusal);
    buf_fini(&b->answer);
    free(b->outcome);
    free(b);
}

static size_t payload_of(const struct batch_event *e) {
    return e->topics_count * (e->event.name_len + e->event.data_len);
}

bool batch_takes(const struct batch *b, const struct batch_event *e) {
    if (b->items_count == 0)
        return true;
    return e->key == NULL && b->key.len == 0 && b->is_live == e->is_live &&
           b->history == e->history && b->ttl_ms == e->ttl_ms &&
           b->items_count + e->topics_count <= BATCH_ITEMS_MAX &&
           b->payload + payload_of(e) <= BATCH_BYTES_MAX;
}

bool batch_is_full(const struct batch *b) {
    return b->key.len > 0 || b->items_count == BATCH_ITEMS_MAX || b->payload >= BATCH_BYTES_MAX;
}

size_t batch_bytes(const struct batch *b) {
    return b->texts.len + b->names.len;
}

static struct batch_span put(struct buf *out, const char *text, size_t len) {
    struct batch_span span = {out->len, len};
    buf_append(out, text, len);
    return span;
}

/* What every PUBLISH to the topic begins with. */
static struct batch_span put_head(struct buf *out, const char *prefix,
                                  const struct publish_topic *topic) {
    struct batch_span span = {out->len, 0};
    struct buf channel = BUF_INIT;
    names_channel(&channel, prefix, topic->name, topic->len);
    buf_printf(out, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n", channel.len);
    buf_append(out, channel.data, channel.len);
    buf_puts(out, "\r\n");
    buf_fini(&channel);
    span.len = out->len - span.at;
    return span;
}

/* Most events have the topic of the one before them. */
static size_t find_or_add_topic(struct batch *b, const struct publish_topic *topic,
                                const char *prefix) {
    for (size_t i = b->topics_count; i-- > 0;) {
        const struct batch_span *name = &b->topics[i].name;
        if (name->len == topic->len &&
            memcmp(b->names.data + name->at, topic->name, topic->len) == 0)
            return i;
    }
    struct batch_topic *added = &b->topics[b->topics_count];
    added->name = put(&b->names, topic->name, topic->len);
    if (b->is_live)
        added->head = put_head(&b->names, prefix, topic);
    return b->topics_count++;
}

static size_t put_decimal(char *out, size_t value) {
    char digits[24];
    size_t len = 0;
    do {
        digits[len++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < len; i++)
        out[i] = digits[len - 1 - i];
    return len;
}

/* The length of what was encoded stands before it, so it is written into the gap that was left. */
static struct batch_span put_command(struct batch *b, size_t topic, const struct event *event) {
    enum { GAP = 24 }; /* "$", a length, CRLF */
    const struct batch_span *head = &b->topics[topic].head;
    struct buf *out = &b->texts;
    struct batch_span span = {out->len, 0};
    char length[GAP] = "$";
    buf_append(out, b->names.data + head->at, head->len);
    size_t gap = out->len;
    buf_reserve(out, GAP);
    out->len += GAP;
    envelope_encode_live(out, event);
    size_t payload_len = out->len - gap - GAP;
    size_t length_len = 1 + put_decimal(length + 1, payload_len);
    length[length_len++] = '\r';
    length[length_len++] = '\n';
    memcpy(out->data + gap, length, length_len);
    memmove(out->data + gap + length_len, out->data + gap + GAP, payload_len);
    out->len -= GAP - length_len;
    buf_append(out, "\r\n", 2);
    span.len = out->len - span.at;
    return span;
}

void batch_add(struct batch *b, const struct batch_event *e, const char *prefix) {
    assert(batch_takes(b, e) && e->topics_count <= BATCH_ITEMS_MAX);
    if (b->items_count == 0) {
        b->is_live = e->is_live;
        b->history = e->history;
        b->ttl_ms = e->ttl_ms;
        b->first = e->place;
        if (e->key != NULL)
            buf_append(&b->key, e->key, e->key_len);
    }
    b->last = e->place;
    b->events++;
    b->payload += payload_of(e);
    struct batch_item item = {.retry_ms = e->event.retry_ms, .number = e->place.number};
    if (!b->is_live) {
        item.name = put(&b->texts, e->event.name, e->event.name_len);
        item.data = put(&b->texts, e->event.data, e->event.data_len);
    }
    for (size_t i = 0; i < e->topics_count; i++) {
        item.topic = find_or_add_topic(b, &e->topics[i], prefix);
        if (b->is_live)
            item.data = put_command(b, item.topic, &e->event);
        b->items[b->items_count++] = item;
    }
}

struct publish_topic batch_topic_of(const struct batch *b, size_t item) {
    const struct batch_span *name = &b->topics[b->items[item].topic].name;
    return (struct publish_topic){b->names.data + name->at, name->len};
}

static struct event event_of(const struct batch *b, size_t item) {
    const struct batch_item *i = &b->items[item];
    return (struct event){.name = b->texts.data + i->name.at,
                          .name_len = i->name.len,
                          .data = b->texts.data + i->data.at,
                          .data_len = i->data.len,
                          .retry_ms = i->retry_ms};
}

/* A single event takes the plain form, as every other publisher sends it, so that its key means
 * the same from everywhere. */
void batch_make_command(const struct batch *b, struct publish_request *request,
                        struct publish_command *command) {
    struct publish_topic topics[BATCH_ITEMS_MAX];
    struct publish_item items[BATCH_ITEMS_MAX];
    for (size_t i = 0; i < b->topics_count; i++)
        topics[i] =
            (struct publish_topic){b->names.data + b->topics[i].name.at, b->topics[i].name.len};
    request->topics = topics;
    request->topics_count = b->topics_count;
    request->history = b->history;
    request->ttl_ms = b->ttl_ms;
    if (b->events == 1) {
        request->event = event_of(b, 0);
    } else {
        for (size_t i = 0; i < b->items_count; i++)
            items[i] = (struct publish_item){.topic = b->items[i].topic, .event = event_of(b, i)};
        request->items = items;
        request->items_count = b->items_count;
    }
    publish_command_init(command, request);
}

void batch_shrink(struct batch *b) {
    struct buf texts = BUF_INIT;
    size_t count = b->kept;
    for (size_t i = b->answered; i < b->items_count; i++)
        b->items[count++] = b->items[i];
    for (size_t i = 0; i < count; i++)
        b->items[i].data = put(&texts, b->texts.data + b->items[i].data.at, b->items[i].data.len);
    buf_fini(&b->texts);
    b->texts = texts;
    b->items_count = count;
    b->kept = b->answered = 0;
}
