/* Events to bytes; see frame.h. */
#include "relay/sse/frame.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/buf.h"
#include "relay/base/mem.h"

enum {
    CHUNK_HEAD_MAX = 18, /* 16 hex digits and CRLF */
    CHUNK_TAIL = 2,
    ALL_FORMS = (1 << FRAME_FORMATS) - 1
};

/* Where one format lies within bytes[]. */
struct frame_part {
    uint32_t offset;   /* of the chunk's head */
    uint32_t head_len; /* 0 for a raw frame */
    uint32_t body_len;
    uint32_t tail_len;
};

struct frame {
    atomic_uint refs;
    uint32_t len;     /* of bytes[] */
    uint32_t formats; /* bit set */
    struct frame_part parts[FRAME_FORMATS];
    char bytes[];
};

/* ---- bodies ---- */

static void put_field(struct buf *b, const char *name, const char *value, size_t len) {
    buf_puts(b, name);
    buf_append(b, value, len);
    buf_putc(b, '\n');
}

/* The first @c from @from on, or @end. */
static const char *find(const char *from, const char *end, char c) {
    const char *at = from < end ? memchr(from, c, (size_t)(end - from)) : NULL;
    return at != NULL ? at : end;
}

/* One data line per line of @data, whatever ends it. Data that ends in a line end gets one more,
 * empty line, which is what makes the line end arrive. Each kind of line end is looked for only
 * once the last one of it was passed, or data of one kind alone would take its square in time. */
static void put_data(struct buf *b, const char *data, size_t len) {
    const char *end = data + len;
    const char *lf = find(data, end, '\n'), *cr = find(data, end, '\r');
    for (;;) {
        const char *stop = lf < cr ? lf : cr;
        put_field(b, "data: ", data, (size_t)(stop - data));
        if (stop == end)
            return;
        data = stop + 1;
        if (stop == cr && data == lf && lf != end)
            data++;
        if (lf < data)
            lf = find(data, end, '\n');
        if (cr < data)
            cr = find(data, end, '\r');
    }
}

static void put_json_member(struct buf *b, const char *name, const char *value, size_t len) {
    buf_puts(b, name);
    if (value == NULL)
        buf_puts(b, "null");
    else
        buf_put_json_line(b, value, len);
}

static void put_json_data(struct buf *b, const struct frame_source *s) {
    const struct event *e = &s->event;
    buf_puts(b, "data: {");
    put_json_member(b, "\"topic\":", s->topic, s->topic_len);
    put_json_member(b, ",\"event\":", e->name_len > 0 ? e->name : NULL, e->name_len);
    put_json_member(b, ",\"id\":", s->id, s->id_len);
    buf_printf(b, ",\"time\":%llu", (unsigned long long)s->time_ms);
    put_json_member(b, ",\"data\":", e->data, e->data_len);
    buf_puts(b, "}\n");
}

void frame_put_body(struct buf *b, const struct frame_source *s, enum frame_format format) {
    const struct event *e = &s->event;
    if (format == FRAME_FORMAT_TOPIC)
        put_field(b, "event: ", s->topic, s->topic_len);
    else if (format == FRAME_FORMAT_DATA && e->name_len > 0)
        put_field(b, "event: ", e->name, e->name_len);
    if (s->id != NULL)
        put_field(b, "id: ", s->id, s->id_len);
    if (e->retry_ms > 0)
        buf_printf(b, "retry: %u\n", e->retry_ms);
    if (format == FRAME_FORMAT_JSON)
        put_json_data(b, s);
    else
        put_data(b, e->data, e->data_len);
    buf_putc(b, '\n');
}

/* ---- frames ---- */

static size_t frame_room(const struct buf *bodies) {
    return sizeof(struct frame) + bodies->len + FRAME_FORMATS * (CHUNK_HEAD_MAX + CHUNK_TAIL);
}

/* Bodies, one behind the other in @bodies with their ends in @ends, become a frame in @f, which has
 * frame_room(). */
static struct frame *frame_assemble(struct frame *f, const struct buf *bodies, const size_t *ends,
                                    unsigned formats) {
    memset(f, 0, sizeof(*f));
    atomic_init(&f->refs, 1);
    f->formats = formats;
    size_t start = 0;
    for (unsigned format = 0; format < FRAME_FORMATS; format++) {
        if ((formats & (1u << format)) == 0)
            continue;
        struct frame_part *part = &f->parts[format];
        char *at = f->bytes + f->len;
        part->offset = f->len;
        part->body_len = (uint32_t)(ends[format] - start);
        part->head_len = (uint32_t)snprintf(at, CHUNK_HEAD_MAX, "%x\r\n", part->body_len);
        part->tail_len = CHUNK_TAIL;
        memcpy(at + part->head_len, bodies->data + start, part->body_len);
        memcpy(at + part->head_len + part->body_len, "\r\n", CHUNK_TAIL);
        f->len += part->head_len + part->body_len + CHUNK_TAIL;
        start = ends[format];
    }
    return f;
}

struct frame *frame_encode(const struct frame_source *source, unsigned formats) {
    assert((formats & ALL_FORMS) != 0 && (formats & ~(unsigned)ALL_FORMS) == 0);
    struct buf bodies = BUF_INIT;
    size_t ends[FRAME_FORMATS] = {0};
    buf_reserve(&bodies, source->event.data_len + source->event.data_len / 4 + 256);
    for (unsigned format = 0; format < FRAME_FORMATS; format++) {
        if ((formats & (1u << format)) != 0)
            frame_put_body(&bodies, source, format);
        ends[format] = bodies.len;
    }
    struct frame *f = mem_try(frame_room(&bodies));
    if (f != NULL)
        frame_assemble(f, &bodies, ends, formats);
    buf_fini(&bodies);
    return f;
}

struct frame *frame_of_bodies(const void *bodies, size_t len, enum frame_format format) {
    struct buf body = {.data = (char *)(uintptr_t)bodies, .len = len}; /* only read */
    size_t ends[FRAME_FORMATS] = {0};
    ends[format] = len;
    return frame_assemble(mem_realloc(NULL, frame_room(&body)), &body, ends, 1u << format);
}

/* A frame whose one part stands for every format. */
static struct frame *frame_for_all(const struct buf *body) {
    size_t ends[FRAME_FORMATS] = {body->len};
    struct frame *f =
        frame_assemble(mem_realloc(NULL, frame_room(body)), body, ends, 1u << FRAME_FORMAT_DATA);
    for (unsigned format = 1; format < FRAME_FORMATS; format++)
        f->parts[format] = f->parts[0];
    f->formats = ALL_FORMS;
    return f;
}

static struct frame *take_for_all(struct buf *body) {
    struct frame *f = frame_for_all(body);
    buf_fini(body);
    return f;
}

struct frame *frame_notice(const char *name, const char *id, const char *data, size_t data_len) {
    struct buf body = BUF_INIT;
    put_field(&body, "event: ", name, strlen(name));
    if (id != NULL)
        put_field(&body, "id: ", id, strlen(id));
    put_field(&body, "data: ", data, data_len);
    buf_putc(&body, '\n');
    return take_for_all(&body);
}

void frame_put_large(struct buf *out, const char *topic, size_t topic_len, const char *id,
                     size_t bytes) {
    buf_puts(out, "event: relay.large\n");
    if (id != NULL)
        put_field(out, "id: ", id, strlen(id));
    buf_puts(out, "data: {");
    put_json_member(out, "\"topic\":", topic, topic_len);
    buf_printf(out, ",\"bytes\":%zu}\n\n", bytes);
}

struct frame *frame_large(const char *topic, size_t topic_len, const char *id, size_t bytes) {
    struct buf body = BUF_INIT;
    frame_put_large(&body, topic, topic_len, id, bytes);
    return take_for_all(&body);
}

struct frame *frame_opening(uint64_t retry_ms) {
    struct buf body = BUF_INIT;
    buf_printf(&body, "retry: %llu\n:\n", (unsigned long long)retry_ms);
    return take_for_all(&body);
}

struct frame *frame_close(const char *reason, uint64_t retry_ms) {
    struct buf body = BUF_INIT;
    buf_printf(&body, "event: relay.close\nretry: %llu\ndata: {\"reason\":\"%s\"}\n\n",
               (unsigned long long)retry_ms, reason);
    return take_for_all(&body);
}

struct frame *frame_heartbeat(void) {
    struct buf body = BUF_INIT;
    buf_puts(&body, ":\n");
    return take_for_all(&body);
}

struct frame *frame_raw(const void *bytes, size_t len) {
    struct frame *f = mem_zalloc(sizeof(*f) + len);
    atomic_init(&f->refs, 1);
    f->len = (uint32_t)len;
    f->formats = ALL_FORMS;
    memcpy(f->bytes, bytes, len);
    for (unsigned format = 0; format < FRAME_FORMATS; format++)
        f->parts[format].body_len = (uint32_t)len;
    return f;
}

struct frame *frame_ref(struct frame *f) {
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void frame_unref(struct frame *f) {
    if (f != NULL && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1)
        free(f);
}

bool frame_has_format(const struct frame *f, enum frame_format format) {
    return (f->formats & (1u << format)) != 0;
}

struct frame_slice frame_slice(const struct frame *f, enum frame_format format,
                               enum frame_framing framing) {
    const struct frame_part *p = &f->parts[format];
    const char *chunk = f->bytes + p->offset;
    if (framing == FRAMING_CHUNK)
        return (struct frame_slice){chunk, (size_t)p->head_len + p->body_len + p->tail_len};
    return (struct frame_slice){chunk + p->head_len, p->body_len};
}

size_t frame_size(const struct frame *f) {
    return sizeof(*f) + f->len;
}
