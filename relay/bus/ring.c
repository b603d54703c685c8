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
    *e = (struct ring_entry){.id = *id,
                             .prev = *prev,
                             .message = mem_strndup(message, message_len),
                             .message_len = message_len};
    r->len++;
    return e;
}

struct ring_entry *ring_append(struct ring *r, const struct event_id *id,
                               const struct event_id *prev, const char *message, size_t message_len,
                               struct frame *frame, unsigned forms) {
    make_room(r);
    struct ring_entry *e = fill(r, ring_at(r, r->len), id, prev, message, message_len);
    e->frame = frame;
    e->forms = forms;
    r->bytes += entry_bytes(e);
    r->top = *id;
    return e;
}

void ring_prepend(struct ring *r, const struct event_id *id, const struct event_id *prev,
                  const char *message, size_t message_len) {
    make_room(r);
    r->head = (r->head + r->cap - 1) & (r->cap - 1);
    struct ring_entry *e = fill(r, ring_at(r, 0), id, prev, message, message_len);
    r->bytes += entry_bytes(e);
    r->floor = *prev;
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

struct frame *ring_frame(struct ring *r, struct ring_entry *e, const char *topic, size_t topic_len,
                         enum frame_form form) {
    if (e->frame != NULL && frame_has_form(e->frame, form))
        return e->frame;
    struct envelope envelope;
    const char *why;
    if (envelope_decode(e->message, e->message_len, &envelope, &why) != RELAY_OK)
        return NULL;
    struct frame_source source = {.topic = topic,
                                  .topic_len = topic_len,
                                  .event = envelope.event,
                                  .id = envelope.id,
                                  .id_len = envelope.id_len,
                                  .time_ms = e->id.ms};
    struct frame *frame = frame_encode(&source, e->forms | (1u << form));
    envelope_fini(&envelope);
    if (frame == NULL)
        return NULL;
    r->bytes -= entry_bytes(e);
    frame_unref(e->frame);
    e->frame = frame;
    e->forms |= 1u << form;
    r->bytes += entry_bytes(e);
    return frame;
}

void ring_drop_frames(struct ring *r) {
    for (size_t i = 0; i < r->len; i++) {
        struct ring_entry *e = ring_at(r, i);
        r->bytes -= entry_bytes(e);
        frame_unref(e->frame);
        e->frame = NULL;
        e->forms = 0;
        r->bytes += entry_bytes(e);
    }
}
