/* Query strings; see query.h. */
#include "relay/http/query.h"

#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/hex.h"
#include "relay/base/mem.h"
#include "relay/wire/topic.h"

/* Cut @rest at its first @separator and return what stands before it. */
static struct span cut(struct span *rest, char separator) {
    const char *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    struct span piece = {rest->data, end != NULL ? (size_t)(end - rest->data) : rest->len};
    size_t used = end != NULL ? piece.len + 1 : piece.len;
    *rest = (struct span){rest->data == NULL ? NULL : rest->data + used, rest->len - used};
    return piece;
}

bool query_next(struct span *rest, struct span *name, struct span *value) {
    while (rest->len > 0) {
        struct span piece = cut(rest, '&');
        if (piece.len == 0)
            continue;
        size_t whole = piece.len;
        *name = cut(&piece, '=');
        *value = name->len < whole ? piece : (struct span){NULL, 0};
        return true;
    }
    return false;
}

/* Take one byte off @raw, decoded; -1 where a '%' is not followed by two hex digits. */
static int decode_byte(struct span *raw) {
    size_t used = 1;
    int byte = (unsigned char)raw->data[0];
    if (byte == '+') {
        byte = ' ';
    } else if (byte == '%') {
        int high = raw->len > 2 ? hex_digit(raw->data[1]) : -1;
        int low = raw->len > 2 ? hex_digit(raw->data[2]) : -1;
        byte = high < 0 || low < 0 ? -1 : high * 16 + low;
        used = 3;
    }
    if (byte >= 0)
        *raw = (struct span){raw->data + used, raw->len - used};
    return byte;
}

int query_decode(struct span raw, struct buf *out) {
    size_t before = out->len;
    *buf_reserve(out, raw.len) = '\0';
    while (raw.len > 0) {
        int byte = decode_byte(&raw);
        if (byte < 0) {
            out->len = before;
            out->data[before] = '\0';
            return RELAY_EINVAL;
        }
        buf_putc(out, (char)byte);
    }
    return RELAY_OK;
}

bool query_name_is(struct span name, const char *expected) {
    while (name.len > 0) {
        int byte = decode_byte(&name);
        if (byte <= 0 || byte != (unsigned char)*expected++)
            return false;
    }
    return *expected == '\0';
}

/* Where a parse has got to. */
struct parse {
    struct topic_list *list;
    size_t max;      /* topics allowed */
    size_t position; /* of the topic that is looked at, from 1 */
    struct buf *why;
};

static bool list_holds(const struct topic_list *list, struct span topic) {
    for (size_t i = 0; i < list->len; i++) {
        if (list->topics[i].len == topic.len &&
            memcmp(list->topics[i].data, topic.data, topic.len) == 0)
            return true;
    }
    return false;
}

static int add_topic(struct parse *p, struct span topic) {
    struct topic_list *list = p->list;
    const char *wrong = topic_check(topic.data, topic.len);
    p->position++;
    if (wrong != NULL) {
        buf_printf(p->why, "Topic %zu %s.", p->position, wrong);
        return RELAY_EINVAL;
    }
    if (list_holds(list, topic))
        return RELAY_OK;
    if (list->len == p->max) {
        buf_printf(p->why, "Topic %zu is one too many: a request may name %zu.", p->position,
                   p->max);
        return RELAY_EOVERFLOW;
    }
    list->topics = mem_realloc(list->topics, (list->len + 1) * sizeof(*list->topics));
    list->positions = mem_realloc(list->positions, (list->len + 1) * sizeof(*list->positions));
    list->positions[list->len] = p->position;
    list->topics[list->len++] = topic;
    return RELAY_OK;
}

/* Without the spaces around it, which people write behind commas. */
static struct span trim(struct span s) {
    while (s.len > 0 && s.data[0] == ' ')
        s = (struct span){s.data + 1, s.len - 1};
    while (s.len > 0 && s.data[s.len - 1] == ' ')
        s.len--;
    return s;
}

/* Add the topics of one parameter, which bytes has room for. */
static int add_value(struct parse *p, struct span raw, bool split) {
    struct buf *bytes = &p->list->bytes;
    size_t start = bytes->len;
    if (query_decode(raw, bytes) != RELAY_OK) {
        buf_printf(p->why, "Topic %zu holds a '%%' that two hex digits do not follow.",
                   p->position + 1);
        return RELAY_EINVAL;
    }
    struct span rest = {bytes->data + start, bytes->len - start};
    if (!split)
        return add_topic(p, rest);
    for (;;) {
        size_t before = rest.len;
        struct span topic = cut(&rest, ',');
        int err = add_topic(p, trim(topic));
        if (err != RELAY_OK || topic.len == before)
            return err;
    }
}

int topic_list_parse(struct span query, size_t max, struct topic_list *out, struct buf *why) {
    struct topic_list list = {.bytes = BUF_INIT};
    struct parse p = {&list, max, 0, why};
    struct span rest = query, name, value;
    int err = RELAY_OK;
    /* Decoding never lengthens, so with this the bytes stay where they are. */
    *buf_reserve(&list.bytes, query.len) = '\0';
    while (err == RELAY_OK && query_next(&rest, &name, &value)) {
        bool split = query_name_is(name, "topics");
        if (split || query_name_is(name, "topic"))
            err = add_value(&p, value, split);
    }
    if (err == RELAY_OK && list.len == 0) {
        buf_puts(why, "No topic is named: add ?topic=NAME, or ?topics=A,B for several.");
        err = RELAY_EINVAL;
    }
    if (err == RELAY_OK)
        *out = list;
    else
        topic_list_fini(&list);
    return err;
}

void topic_list_fini(struct topic_list *list) {
    buf_fini(&list->bytes);
    free(list->topics);
    free(list->positions);
    *list = (struct topic_list){.bytes = BUF_INIT};
}
