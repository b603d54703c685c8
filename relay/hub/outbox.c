/* One subscriber's queue of frames; see outbox.h. */
#include "relay/hub/outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"

enum { OUTBOX_KEEP = 16 }; /* an empty outbox gives back a ring that is larger */

void outbox_init(struct outbox *o, enum frame_format format, enum frame_framing framing) {
    memset(o, 0, sizeof(*o));
    o->ring = o->first;
    o->cap = OUTBOX_INLINE;
    o->format = (uint8_t)format;
    o->framing = (uint8_t)framing;
}

static struct bus_event *at(const struct outbox *o, uint32_t i) {
    return o->ring[(o->head + i) & (o->cap - 1)];
}

static struct frame_slice slice_of(const struct outbox *o, const struct bus_event *e) {
    return frame_slice(e->frame, o->format, o->framing);
}

static void free_ring(struct outbox *o) {
    if (o->ring != o->first)
        free(o->ring);
    o->ring = o->first;
    o->cap = OUTBOX_INLINE;
    o->head = 0;
}

void outbox_fini(struct outbox *o) {
    for (uint32_t i = 0; i < o->len; i++)
        bus_event_unref(at(o, i));
    o->len = 0;
    o->bytes = 0;
    o->sent = 0;
    free_ring(o);
}

static void grow(struct outbox *o) {
    struct bus_event **ring = mem_zalloc((size_t)o->cap * 2 * sizeof(struct bus_event *));
    for (uint32_t i = 0; i < o->len; i++)
        ring[i] = at(o, i);
    uint32_t cap = o->cap * 2;
    free_ring(o);
    o->ring = ring;
    o->cap = cap;
}

int outbox_push(struct outbox *o, struct bus_event *e, size_t limit_bytes) {
    size_t len = slice_of(o, e).len;
    if (o->len > 0 && o->bytes + len > limit_bytes)
        return RELAY_EOVERFLOW;
    if (o->len == o->cap)
        grow(o);
    o->ring[(o->head + o->len) & (o->cap - 1)] = bus_event_ref(e);
    o->len++;
    o->bytes += len;
    return RELAY_OK;
}

int outbox_gather(const struct outbox *o, struct iovec *iov, int max) {
    int n = 0;
    size_t skip = o->sent;
    for (uint32_t i = 0; i < o->len && n < max; i++) {
        struct frame_slice s = slice_of(o, at(o, i));
        iov[n].iov_base = (void *)(uintptr_t)(s.bytes + skip); /* writev does not write there */
        iov[n].iov_len = s.len - skip;
        skip = 0;
        n++;
    }
    return n;
}

void outbox_written(struct outbox *o, size_t written,
                    void (*done)(void *, const struct bus_event *), void *arg) {
    assert(written <= o->bytes);
    o->bytes -= written;
    while (o->len > 0) {
        struct bus_event *e = at(o, 0);
        size_t left = slice_of(o, e).len - o->sent;
        if (written < left) {
            o->sent += (uint32_t)written;
            return;
        }
        written -= left;
        o->sent = 0;
        o->head = (o->head + 1) & (o->cap - 1);
        o->len--;
        done(arg, e);
        bus_event_unref(e);
    }
    if (o->cap > OUTBOX_KEEP)
        free_ring(o);
}
