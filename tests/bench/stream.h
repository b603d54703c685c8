/* Reads one subscriber's answer as its bytes arrive, cut anywhere: HTTP/1.1 head, chunked coding or
 * none, and the lines of the event stream. It must cost little beside the recv(2) that brought the
 * bytes, so it looks for line ends with memchr and copies only lines that a read or a chunk cut.
 *
 * Knows the events of the benchmark: `data:` is a payload, decoded where it stands. Lines end in LF
 * or CRLF; a bare CR as the end of a line, which no server here uses, is not understood. */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/payload.h"

struct stream_event {
    char name[32];          /* "" for an event without one; longer names are cut */
    bool intact;            /* one data line, and it is a payload of the expected size */
    struct payload payload; /* meaningful when intact */
};

struct stream_handlers {
    void *context;
    size_t payload_bytes; /* the size that every payload must have */
    /* The head is complete. */
    void (*on_head)(void *context, int status);
    /* An event is complete; one without data is none, as in a browser. */
    void (*on_event)(void *context, const struct stream_event *event);
};

enum stream_phase {
    STREAM_HEAD,
    STREAM_CHUNK_SIZE,
    STREAM_CHUNK_EXTENSION,
    STREAM_CHUNK_BODY,
    STREAM_CHUNK_END,
    STREAM_BODY,  /* no chunks: everything until the end of the connection, or the stream */
    STREAM_ENDED, /* the last chunk was read */
    STREAM_BAD,   /* not HTTP, or not chunked as announced */
};

struct stream {
    enum stream_phase phase;
    int status;   /* of the answer; 0 before its first line */
    bool chunked; /* as the head announced */
    unsigned data_lines;
    uint64_t chunk_left; /* bytes of the chunk still to come; its size while that is read */
    char *carry;         /* the beginning of a line whose end has not arrived */
    size_t carry_used;
    size_t carry_size;
    struct stream_event event; /* the event under construction */
};

void stream_init(struct stream *s);
/* For a stream whose head another has read, such as one of HTTP/2: bytes are the body from here. */
void stream_init_body(struct stream *s, int status);
void stream_fini(struct stream *s);

/* Take @length more bytes. Handlers are called from within; they must not call stream_fini().
 * Returns whether more may follow: false at the end of the last chunk and when the bytes are bad.
 */
bool stream_feed(struct stream *s, const struct stream_handlers *h, const char *bytes,
                 size_t length);

#endif
