/* What leaves on an HTTP/2 connection in one write: pieces that it copies (frame heads, control
 * frames) and pieces that it only points at (the shared bytes of events).
 *
 * Lives within one write, after which what did not leave is copied by somebody else; so what it
 * points at has to last that long and no longer. Pure; one thread; the room for copies is the
 * caller's. */
#ifndef RELAY_HTTP_H2_BATCH_H
#define RELAY_HTTP_H2_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

enum {
    H2_BATCH_IOV = 512,
    H2_BATCH_BYTES = 64 * 1024, /* no more is begun behind them */
    H2_BATCH_STREAMS = H2_BATCH_IOV / 2
};

struct h2_stream;

struct h2_batch {
    char *own; /* where copies go */
    size_t own_cap, own_len;
    size_t bytes; /* of all pieces */
    int len;
    unsigned streams_len;
    struct h2_stream *streams[H2_BATCH_STREAMS]; /* whose data is in it, each once */
    struct iovec iov[H2_BATCH_IOV];
};

void h2_batch_init(struct h2_batch *b, char *own, size_t own_cap);

/* Whether a frame of a stream's data fits: its head, and @slices pieces behind it. */
bool h2_batch_has_room(const struct h2_batch *b, int slices);

/* Whether @len bytes can be copied, and more is to be begun at all. */
bool h2_batch_takes(const struct h2_batch *b, size_t len);

/* There must be room. */
void h2_batch_copy(struct h2_batch *b, const void *bytes, size_t len);
void h2_batch_point(struct h2_batch *b, const void *bytes, size_t len);

#endif
