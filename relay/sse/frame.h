/* A frame: the immutable bytes of one encoded event, shared by all its subscribers.
 *
 * An event is encoded once per form that somebody wants. Each form is kept in chunked coding, head
 * and tail included, so that HTTP/1.1 subscribers share even those; a subscriber without chunks
 * takes the slice between them. Counted by an atomic: ref and unref on any thread, one reference
 * per worker (a worker counts its subscribers itself, bus/message.h). Specification: WHATWG HTML,
 * "Server-sent events". */
#ifndef RELAY_SSE_FRAME_H
#define RELAY_SSE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/wire/envelope.h"

/* What an event looks like to EventSource (`as=` in the query). */
enum frame_form {
    FRAME_FORM_DATA,  /* name and data as published */
    FRAME_FORM_TOPIC, /* the topic is the event's name */
    FRAME_FORM_JSON,  /* data is {"topic","event","id","time","data"} */
    FRAME_FORMS
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
    uint64_t time_ms; /* shown by FRAME_FORM_JSON: since 1970, of receipt for a live event */
};

/* Encode @source in each form of the bit set @forms (1 << FRAME_FORM_…), at least one. Data is
 * split at CR, LF and CRLF. Returns the frame with one reference, or NULL where memory is short
 * (the size is the publisher's choice). */
struct frame *frame_encode(const struct frame_source *source, unsigned forms);

/* Append what frame_encode() would make of @source in @form, without chunks. Aborts where memory is
 * short. */
void frame_put_body(struct buf *out, const struct frame_source *source, enum frame_form form);

/* Many events at once: @bodies are slices without chunks, one behind the other, in @form. Never
 * NULL. */
struct frame *frame_of_bodies(const void *bodies, size_t len, enum frame_form form);

/* A notice of the relay's own (relay.live, relay.reset, relay.ping), in the form DATA, which stands
 * for every form.
 * @data has no line ends; @id may be NULL. Never NULL. */
struct frame *frame_notice(const char *name, const char *id, const char *data, size_t data_len);

/* `retry: <ms>` and nothing else: tells EventSource how long to wait after the end. Never NULL. */
struct frame *frame_retry(uint64_t retry_ms);

/* The comment that keeps proxies and clients awake. Never NULL. */
struct frame *frame_heartbeat(void);

/* Bytes that go out as they are, chunked or not: the head of a response, the last chunk. Never
 * NULL. */
struct frame *frame_raw(const void *bytes, size_t len);

struct frame *frame_ref(struct frame *f);

/* Drop a reference; the last one frees. @f may be NULL. */
void frame_unref(struct frame *f);

/* The forms this frame holds, as a bit set. */
bool frame_has_form(const struct frame *f, enum frame_form form);

/* The bytes to send in @form, which it must have, with or without the chunk around them. Valid
 * while a reference is held. */
struct frame_slice frame_slice(const struct frame *f, enum frame_form form, bool chunked);

/* Bytes of memory that the frame takes, for the bounds of queues. */
size_t frame_size(const struct frame *f);

#endif
