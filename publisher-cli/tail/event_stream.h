/* The bytes of a text/event-stream, in whatever pieces they come, to events.
 *
 * As WHATWG HTML reads them ("Server-sent events", "Interpreting an event stream"): a byte order
 * mark at the beginning, lines that end in LF, CR or CRLF, comments, fields; bytes that are no
 * UTF-8 become U+FFFD. An event counts once its empty line came; a stream that breaks off inside
 * one has not sent it. The last event id outlives a stream, since it is what a client comes back
 * with.
 *
 * Pure: no sockets, no clock. init/fini: embedded, one thread. */
#ifndef PUBLISHER_CLI_TAIL_EVENT_STREAM_H
#define PUBLISHER_CLI_TAIL_EVENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"

/* Borrowed, for the call; a NUL stands behind each text. */
struct event_stream_event {
    const char *name; /* "": none was given, which EventSource calls "message" */
    size_t name_len;
    const char *data; /* its lines, with LF between them */
    size_t data_len;
};

struct event_stream_callbacks {
    void (*on_event)(void *arg, const struct event_stream_event *event);
    void (*on_retry)(void *arg, uint64_t ms); /* UINT64_MAX: as large a number or larger */
};

struct event_stream {
    const struct event_stream_callbacks *callbacks;
    void *arg;
    size_t limit_bytes;
    struct buf line; /* the beginning of the one whose end has not come */
    struct buf name;
    struct buf data; /* each of its lines with LF behind it */
    struct buf id;   /* of the event that is being read, and of those behind it */
    struct buf last_id;
    bool is_inside;   /* the first line was read */
    bool is_after_cr; /* an LF that comes now belongs to the line before */
    bool is_broken;   /* a limit was passed */
};

/* A line, and the data of an event, may be @limit_bytes long. @callbacks and @arg are borrowed. */
void event_stream_init(struct event_stream *s, size_t limit_bytes,
                       const struct event_stream_callbacks *callbacks, void *arg);
void event_stream_fini(struct event_stream *s);

/* Where the first stream begins, as event_stream_last_id() says it; has no NUL, CR or LF. */
void event_stream_begin_at(struct event_stream *s, const char *id);

/* Another stream begins: forget what was not complete, keep the last event id. */
void event_stream_restart(struct event_stream *s);

/* Read @len bytes, and call back for what they complete; a callback must not feed, restart or end
 * @s.
 *
 * Returns RELAY_OK, or RELAY_EOVERFLOW where a line or an event passed the limit: nothing is read
 * until event_stream_restart(). */
int event_stream_feed(struct event_stream *s, const char *bytes, size_t len);

/* What belongs into Last-Event-ID: that of the last event, or block without data, that was
 * complete; "" where there is none. Has no NUL, CR or LF. Valid until the next call. */
const char *event_stream_last_id(const struct event_stream *s);

#endif
