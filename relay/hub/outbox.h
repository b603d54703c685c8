/* The frames that one subscriber has still to be sent, bounded in bytes.
 *
 * Holds references to shared frames, never copies. All frames leave in one format and framing,
 * chosen at the start. Embedded; one thread; knows no socket: whoever writes gathers and
 * then says how much was written. */
#ifndef RELAY_HUB_OUTBOX_H
#define RELAY_HUB_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "relay/bus/message.h"

enum { OUTBOX_INLINE = 2 };

struct outbox {
    struct bus_event **ring; /* first[], or on the heap once that is too small */
    uint32_t head;           /* index of the oldest */
    uint32_t len;            /* frames queued */
    uint32_t cap;            /* a power of two */
    uint32_t sent;           /* bytes of the oldest that have left already */
    size_t bytes;            /* still to be sent */
    uint8_t format;          /* enum frame_format */
    uint8_t framing;         /* enum frame_framing: the stream's choice, passed on */
    struct bus_event *first[OUTBOX_INLINE];
};

void outbox_init(struct outbox *o, enum frame_format format, enum frame_framing framing);

/* Drop what is queued and free the memory. */
void outbox_fini(struct outbox *o);

/* Queue @e behind everything else. The outbox takes a reference of its own.
 *
 * Returns RELAY_OK, or RELAY_EOVERFLOW: the bytes would exceed @limit_bytes; nothing was queued. An
 * empty outbox takes one frame of any size. */
int outbox_push(struct outbox *o, struct bus_event *e, size_t limit_bytes);

/* Point up to @max entries of @iov at the oldest unsent bytes. Returns how many were filled. */
int outbox_gather(const struct outbox *o, struct iovec *iov, int max);

/* Drop @written bytes (at most o->bytes) from the front. @done is called for each frame that is now
 * wholly sent, before its reference is dropped. */
void outbox_written(struct outbox *o, size_t written,
                    void (*done)(void *arg, const struct bus_event *e), void *arg);

static inline bool outbox_is_empty(const struct outbox *o) {
    return o->len == 0;
}

#endif
