/* Recent events of a topic; see ring.h. */
#include "relay/bus/ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/wire/envelope.h"

enum { RING_FIRST_CAP = 8 };

void ring_init(struct ring *r, const struct event_id *at) {
    memset(r, 0, sizeof(*r));
    r->floor = r->top = *at;
}

struct ring_entry *ring_at(const struct ring *r, size_t i) {
    return &r->entries[(r->head + i) & (r->cap - 1)];
}

static size_t entry_bytes(const struct ring_entry *e) {
    return sizeof(*e) + e->message_len + (e->frame != NULL ? frame_size(e->frame) : 0);
}

static void entry_free(struct ring *r, struct ring_entry *e) {
    r->bytes -= entry_bytes(e);
    frame_unref(e->frame);
    free(e->message);
}

void ring_reset(struct ring *r, const struct event_id *at) {
    ring_fini(r);
    r->floor = r->top = *at;
}

void ring_fini(struct ring *r) {
    for (size_t i = 0; i < r->len; i++)
        entry_free(r, ring_at(r, i));
    free(r->entries);
    memset(r, 0, sizeof(*r));
}

static void make_room(struct ring *r) {
    if (r->len < r->cap)
        return;
    size_t cap = r->cap == 0 ? RING_FIRST_CAP : r->cap * 2;
    struct ring_entry *entries = mem_zalloc(cap * sizeof(*entries));
    for (size_t i = 0; i < r->len; i++)
        entries[i] = *ring_at(r, i);
    free(r->entries);
    r->entries = entries;
    r->head = 0;
    r->cap = cap;
}

static struct ring_entry *fill(struct ring *r, struct ring_entry *e, const struct event_id *id,
                               const struct event_id *prev, const char *message,
                               size_t message_len) {
    char *copy = mem_try(message_len + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, message, message_len);
    *e = (struct ring_entry){.id = *id, .prev = *prev, .message = copy, .message_len = message_len};
    r->len++;
    return e;
}

struct ring_entry *ring_append(struct ring *r, const struct event_id *id,
                               const struct event_id *prev, const char *message, size_t message_len,
                               struct frame *frame, unsigned formats) {
    make_room(r);
    struct ring_entry *e = fill(r, ring_at(r, r->len), id, prev, message, message_len);
    if (e == NULL) {
        frame_unref(frame);
        return NULL;
    }
    e->frame = frame;
    e->formats = formats;
    r->bytes += entry_bytes(e);
    r->top = *id;
    return e;
}

struct ring_entry *ring_prepend(struct ring *r, const struct event_id *id,
                                const struct event_id *prev, const char *message,
                                size_t message_len) {
    make_room(r);
    struct ring_entry *e =
        fill(r, &r->entries[(r->head + r->cap - 1) & (r->cap - 1)], id, prev, message, message_len);
    if (e == NULL)
        return NULL;
    r->head = (r->head + r->cap - 1) & (r->cap - 1);
    r->bytes += entry_bytes(e);
    r->floor = *prev;
    return e;
}

void ring_drop_oldest(struct ring *r) {
    if (r->len == 0)
        return;
    struct ring_entry *e = ring_at(r, 0);
    r->floor = e->id;
    entry_free(r, e);
    r->head = (r->head + 1) & (r->cap - 1);
    r->len--;
}

size_t ring_find(const struct ring *r, const struct event_id *pos) {
    size_t low = 0, high = r->len;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (id_compare(&ring_at(r, middle)->id, pos) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int ring_frame(struct ring *r, struct ring_entry *e, const char *topic, size_t topic_len,
               enum frame_format format, struct frame **out) {
    if (e->frame != NULL && frame_has_format(e->frame, format)) {
        *out = e->frame;
        return RELAY_OK;
    }
    struct envelope envelope;
    const char *why;
    int rc = envelope_decode(e->message, e->message_len, &envelope, &why);
    if (rc != RELAY_OK)
        return rc;
    struct frame_source source = {.topic = topic,
                                  .topic_len = topic_len,
                                  .event = envelope.event,
                                  .id = envelope.id,
                                  .id_len = envelope.id_len,
                                  .time_ms = e->id.ms};
    struct frame *frame = frame_encode(&source, e->formats | (1u << format));
    envelope_fini(&envelope);
    if (frame == NULL)
        return RELAY_ENOMEM;
    r->bytes -= entry_bytes(e);
    frame_unref(e->frame);
    e->frame = *out = frame;
    e->formats |= 1u << format;
    r->bytes += entry_bytes(e);
    return RELAY_OK;
}

void ring_drop_frames(struct ring *r) {
    for (size_t i = 0; i < r->len; i++) {
        struct ring_entry *e = ring_at(r, i);
        r->bytes -= entry_bytes(e);
        frame_unref(e->frame);
        e->frame = NULL;
        e->formats = 0;
        r->bytes += entry_bytes(e);
    }
}

uint64_t ring_began_ms(const struct ring *r, uint64_t now_ms) {
    if (r->floor.ms != 0)
        return 0;
    return r->len > 0 ? ring_at(r, 0)->id.ms : now_ms;
}

enum range ring_range(const struct ring *r, bool extended, bool reaches_back,
                      const struct event_id *pos) {
    if (id_compare(pos, &r->floor) >= 0)
        return RANGE_RING;
    if (reaches_back)
        return RANGE_TRIMMED;
    return extended ? RANGE_LOG : RANGE_EXTEND;
}
