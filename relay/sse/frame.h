/* A frame: the immutable bytes of one encoded event, shared by all its subscribers.
 *
 * An event is encoded once per format that somebody wants. Each format is kept in chunked coding,
 * head and tail included, so that HTTP/1.1 subscribers share even those; a stream without chunks
 * takes the slice between them (enum frame_framing). Counted by an atomic: ref and unref on any
 * thread, one reference per worker (a worker counts its subscribers itself, bus/message.h).
 * Specification: WHATWG HTML, "Server-sent events". */
#ifndef RELAY_SSE_FRAME_H
#define RELAY_SSE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/wire/envelope.h"

/* What an event looks like to EventSource (`as=` in the query). */
enum frame_format {
    FRAME_FORMAT_DATA,  /* name and data as published */
    FRAME_FORMAT_TOPIC, /* the topic is the event's name */
    FRAME_FORMAT_JSON,  /* data is {"topic","event","id","time","data"} */
    FRAME_FORMATS
};

/* What stands around each frame on the wire. A stream chooses it once; whoever queues frames for
 * the stream passes it on and need not know what it means. */
enum frame_framing {
    FRAMING_NONE, /* the bytes of the event alone */
    FRAMING_CHUNK /* an HTTP/1.1 chunk for each frame */
};

struct frame; /* opaque; heap */

struct frame_slice {
    const char *bytes;
    size_t len;
};

/* What is encoded. All borrowed. */
struct frame_source {
    const char *topic;
    size_t topic_len;
    struct event event;
    const char *id; /* NULL: a live event */
    size_t id_len;
    uint64_t time_ms; /* shown by FRAME_FORMAT_JSON: since 1970, of receipt for a live event */
};

/* Encode @source in each format of the bit set @formats (1 << FRAME_FORMAT_…), at least one. Data
 * is split at CR, LF and CRLF. Returns the frame with one reference, or NULL where memory is short
 * (the size is the publisher's choice). */
struct frame *frame_encode(const struct frame_source *source, unsigned formats);

/* Append what frame_encode() would make of @source in @format, without chunks. Aborts where memory
 * is short. */
void frame_put_body(struct buf *out, const struct frame_source *source, enum frame_format format);

/* Many events at once: @bodies are slices without chunks, one behind the other, in @format. Never
 * NULL. */
struct frame *frame_of_bodies(const void *bodies, size_t len, enum frame_format format);

/* A notice of the relay's own (relay.live, relay.reset, relay.ping), in the format DATA, which
 * stands for every format.
 * @data has no line ends; @id may be NULL. Never NULL. */
struct frame *frame_notice(const char *name, const char *id, const char *data, size_t data_len);

/* The notice relay.large stands in an event's place where its subscriber did not want a block of so
 * many @bytes (max-event=): data is {"topic":…,"bytes":…}, and @id (NULL: a live event) moves the
 * cursor. Append its bytes, or make it a frame for every format (never NULL). */
void frame_put_large(struct buf *out, const char *topic, size_t topic_len, const char *id,
                     size_t bytes);
struct frame *frame_large(const char *topic, size_t topic_len, const char *id, size_t bytes);

/* The first bytes of a stream: how long to wait after its end, and a comment. No empty line stands
 * behind them, nor behind a heartbeat: they become the beginning of the next block, since many
 * libraries deliver an empty message for a block without data. Never NULL. */
struct frame *frame_opening(uint64_t retry_ms);

/* The last bytes of a stream: the notice relay.close with its @reason, a word, and how long to wait
 * before coming back. A block with data, so that a parser which looks at `retry` when the block is
 * complete sees it too. Never NULL. */
struct frame *frame_close(const char *reason, uint64_t retry_ms);

/* The comment that keeps proxies and clients awake. Never NULL. */
struct frame *frame_heartbeat(void);

/* Bytes that go out as they are in any framing: the head of a response. Never NULL. */
struct frame *frame_raw(const void *bytes, size_t len);

struct frame *frame_ref(struct frame *f);

/* Drop a reference; the last one frees. @f may be NULL. */
void frame_unref(struct frame *f);

/* The formats this frame holds, as a bit set. */
bool frame_has_format(const struct frame *f, enum frame_format format);

/* The bytes to send in @format, which it must have, and @framing. Valid while a reference is held.
 */
struct frame_slice frame_slice(const struct frame *f, enum frame_format format,
                               enum frame_framing framing);

/* Bytes of memory that the frame takes, for the bounds of queues. */
size_t frame_size(const struct frame *f);

#endif
