/* The pieces of one write; see h2_batch.h. */
#include "relay/http/h2_batch.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { FRAME_HEAD_BYTES = 9 };

void h2_batch_init(struct h2_batch *b, char *own, size_t own_cap) {
    memset(b, 0, offsetof(struct h2_batch, streams)); /* the arrays are not looked at beyond len */
    b->own = own;
    b->own_cap = own_cap;
}

bool h2_batch_takes(const struct h2_batch *b, size_t len) {
    return b->bytes < H2_BATCH_BYTES && b->own_cap - b->own_len >= len && b->len < H2_BATCH_IOV;
}

bool h2_batch_has_room(const struct h2_batch *b, int slices) {
    return h2_batch_takes(b, FRAME_HEAD_BYTES) && b->len + 1 + slices <= H2_BATCH_IOV &&
           b->streams_len < H2_BATCH_STREAMS;
}

void h2_batch_point(struct h2_batch *b, const void *bytes, size_t len) {
    assert(b->len < H2_BATCH_IOV);
    b->iov[b->len++] = (struct iovec){(void *)(uintptr_t)bytes, len}; /* it is not written to */
    b->bytes += len;
}

/* Copies that follow one another are one piece. */
void h2_batch_copy(struct h2_batch *b, const void *bytes, size_t len) {
    char *to = b->own + b->own_len;
    assert(b->own_cap - b->own_len >= len);
    memcpy(to, bytes, len);
    b->own_len += len;
    struct iovec *last = b->len > 0 ? &b->iov[b->len - 1] : NULL;
    if (last != NULL && (char *)last->iov_base + last->iov_len == to) {
        last->iov_len += len;
        b->bytes += len;
    } else {
        h2_batch_point(b, to, len);
    }
}
