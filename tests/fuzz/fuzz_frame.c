/* Events to bytes: whatever is encoded reads back, through the chunked coding and the rules of
 * EventSource, as the event that was put in, in every format.
 *
 * Input: one byte of flags, one each for the lengths of event name and topic, then name, topic and
 * data. The readers here are small and strict, and share nothing with the code under test. */
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/base/utf8.h"
#include "relay/sse/frame.h"
#include "relay/wire/topic.h"
#include "tests/fuzz/fuzz.h"

enum { RETRY_MS = 1500, TIME_MS = 1700000000 };
static const char id_text[] = "2s.1.lq-a";

struct text {
    const char *bytes;
    size_t len;
};

static void must(bool condition) {
    if (!condition)
        abort();
}

static bool same(struct text a, const char *bytes, size_t len) {
    return a.len == len && (len == 0 || memcmp(a.bytes, bytes, len) == 0);
}

/* ---- the chunked coding ---- */

/* One chunk and nothing else: hex digits, CRLF, so many bytes, CRLF. */
static struct text unchunk(struct frame_slice s) {
    size_t at = 0, len = 0;
    for (; at < s.len && strchr("0123456789abcdef", s.bytes[at]) != NULL && s.bytes[at] != 0; at++)
        len = len * 16 + (size_t)(strchr("0123456789abcdef", s.bytes[at]) - "0123456789abcdef");
    must(at > 0 && s.bytes[0] != '0');
    must(s.len == at + 2 + len + 2);
    must(memcmp(s.bytes + at, "\r\n", 2) == 0);
    must(memcmp(s.bytes + s.len - 2, "\r\n", 2) == 0);
    return (struct text){s.bytes + at + 2, len};
}

/* ---- the stream's format ---- */

/* What EventSource would know after one block. */
struct block {
    struct text event, id, retry;
    struct buf data;
    bool has_id, has_retry;
};

static bool take_field(struct text line, const char *name, struct text *value) {
    size_t n = strlen(name);
    if (line.len < n || memcmp(line.bytes, name, n) != 0)
        return false;
    *value = (struct text){line.bytes + n, line.len - n};
    return true;
}

static void read_line(struct block *b, struct text line) {
    struct text value;
    if (take_field(line, "event: ", &value)) {
        must(b->event.bytes == NULL);
        b->event = value;
    } else if (take_field(line, "id: ", &value)) {
        must(!b->has_id);
        b->has_id = true;
        b->id = value;
    } else if (take_field(line, "retry: ", &value)) {
        must(!b->has_retry);
        b->has_retry = true;
        b->retry = value;
    } else {
        must(take_field(line, "data: ", &value));
        buf_append(&b->data, value.bytes, value.len);
        buf_putc(&b->data, '\n');
    }
}

/* Exactly one block: lines that end in LF, of known fields, then an empty one, then nothing. */
static void read_block(struct text body, struct block *b) {
    *b = (struct block){.data = BUF_INIT};
    const char *at = body.bytes, *end = body.bytes + body.len;
    must(memchr(at, '\r', body.len) == NULL);
    while (at < end && *at != '\n') {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        must(stop != NULL);
        read_line(b, (struct text){at, (size_t)(stop - at)});
        at = stop + 1;
    }
    must(at + 1 == end);
    must(b->data.len > 0); /* or EventSource would fire no event */
    b->data.len--;         /* the last LF */
}

/* ---- what went in ---- */

/* CR and CRLF become LF, as EventSource gives them to the page. */
static void with_lf(struct text data, struct buf *out) {
    for (size_t i = 0; i < data.len; i++) {
        if (data.bytes[i] == '\r' && i + 1 < data.len && data.bytes[i + 1] == '\n')
            continue;
        buf_putc(out, data.bytes[i] == '\r' ? '\n' : data.bytes[i]);
    }
}

static void check_member(json_t *object, const char *name, struct text expected) {
    json_t *value = json_object_get(object, name);
    must(json_is_string(value));
    must(same(expected, json_string_value(value), json_string_length(value)));
}

static void check_json(const struct block *b, const struct frame_source *s) {
    json_t *object =
        json_loadb(b->data.data, b->data.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    must(object != NULL && json_object_size(object) == 5);
    check_member(object, "topic", (struct text){s->topic, s->topic_len});
    check_member(object, "data", (struct text){s->event.data, s->event.data_len});
    if (s->event.name_len > 0)
        check_member(object, "event", (struct text){s->event.name, s->event.name_len});
    else
        must(json_is_null(json_object_get(object, "event")));
    if (s->id != NULL)
        check_member(object, "id", (struct text){s->id, s->id_len});
    else
        must(json_is_null(json_object_get(object, "id")));
    must(json_integer_value(json_object_get(object, "time")) == TIME_MS);
    json_decref(object);
}

static void check_format(const struct frame *f, enum frame_format format,
                         const struct frame_source *s) {
    struct block b;
    struct frame_slice plain = frame_slice(f, format, FRAMING_NONE);
    struct text body = unchunk(frame_slice(f, format, FRAMING_CHUNK));
    must(same(body, plain.bytes, plain.len));
    read_block(body, &b);
    must(b.has_id == (s->id != NULL) && (!b.has_id || same(b.id, s->id, s->id_len)));
    must(b.has_retry == (s->event.retry_ms != 0) && (!b.has_retry || same(b.retry, "1500", 4)));
    if (format == FRAME_FORMAT_TOPIC)
        must(same(b.event, s->topic, s->topic_len));
    else if (format == FRAME_FORMAT_DATA && s->event.name_len > 0)
        must(same(b.event, s->event.name, s->event.name_len));
    else
        must(b.event.bytes == NULL);
    if (format == FRAME_FORMAT_JSON) {
        check_json(&b, s);
    } else {
        struct buf expected = BUF_INIT;
        with_lf((struct text){s->event.data, s->event.data_len}, &expected);
        must(same((struct text){b.data.data, b.data.len}, expected.data, expected.len));
        buf_fini(&expected);
    }
    buf_fini(&b.data);
}

static struct text take(struct text *rest, size_t len) {
    struct text taken = {rest->bytes, len < rest->len ? len : rest->len};
    *rest = (struct text){rest->bytes + taken.len, rest->len - taken.len};
    return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3)
        return 0;
    unsigned flags = data[0], formats = flags & ((1u << FRAME_FORMATS) - 1);
    struct text rest = {(const char *)data + 3, size - 3};
    struct text name = take(&rest, data[1]), topic = take(&rest, data[2]);
    if (formats == 0 || topic_check(topic.bytes, topic.len) != NULL ||
        event_name_check(name.bytes, name.len) != NULL || !utf8_valid(rest.bytes, rest.len))
        return 0;
    struct frame_source source = {.topic = topic.bytes,
                                  .topic_len = topic.len,
                                  .event = {.name = name.bytes,
                                            .name_len = name.len,
                                            .data = rest.bytes,
                                            .data_len = rest.len,
                                            .retry_ms = flags & 8 ? RETRY_MS : 0},
                                  .id = flags & 16 ? id_text : NULL,
                                  .id_len = sizeof(id_text) - 1,
                                  .time_ms = TIME_MS};
    struct frame *f = frame_encode(&source, formats);
    must(f != NULL);
    for (unsigned format = 0; format < FRAME_FORMATS; format++) {
        must(frame_has_format(f, format) == ((formats >> format & 1) != 0));
        if (frame_has_format(f, format))
            check_format(f, format, &source);
    }
    frame_unref(f);
    return 0;
}
