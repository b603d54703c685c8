/* Messages on a channel (design: "A message on a channel"): raw bytes or the envelope
 * `sse1 <id> <prev> <json>`, where json is {"event":…,"data":…,"retry":…}.
 *
 * jansson is known here, and otherwise only where the configuration is read. Pure; any thread. */
#ifndef RELAY_WIRE_ENVELOPE_H
#define RELAY_WIRE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/wire/topic.h"

/* The longest message that is looked at: the envelope of the largest data, all of it bytes that
 * JSON writes as \u00xx, and room for the other fields. */
enum { MESSAGE_MAX_BYTES = 6 * DATA_MAX_BYTES + 4096 };

/* One event as a publisher gave it. The pointers are borrowed; lengths are in bytes. */
struct event {
    const char *name; /* NULL or empty: none; EventSource then sees "message" */
    size_t name_len;
    const char *data; /* any UTF-8; never NULL once decoded */
    size_t data_len;
    uint32_t retry_ms; /* 0: none */
};

/* Several clients read lines or blocks of at most so many bytes, and stop for ever at a longer one
 * (Go's bufio.Scanner): publishing one is warned of. */
enum { EVENT_LARGE_BYTES = 64 * 1024 };

/* Whether its block in a stream, with an id and the names of the fields, may be longer. */
static inline bool event_is_large(const struct event *e) {
    enum { FIELDS_BYTES = 128 };
    return e->name_len + e->data_len + FIELDS_BYTES > EVENT_LARGE_BYTES;
}

/* A decoded message. */
struct envelope {
    struct event event; /* points into the message (raw) or into @owned */
    bool durable;       /* id and prev are set */
    bool deleted;       /* the topic's log was deleted: it is no event (RELAY_EINVAL) */
    const char *id; /* the texts as they came, borrowed from the message; checked by id_parse() */
    size_t id_len;
    const char *prev; /* an id, or "0" for the first of a topic */
    size_t prev_len;
    void *owned; /* these two are private: freed by envelope_fini() */
    char *text;
};

/* Read a message. Raw: any UTF-8 that does not begin with "sse1 " is the data of a live event. An
 * envelope has exactly one space between its fields. Its json must be an object in which data is a
 * string, event (optional) a string that event_name_check() accepts, retry (optional) an integer
 * that retry_check() accepts; null counts as absent; unknown members are ignored, so that
 * publishers may be newer than relays; a member that is there twice is refused. id and prev are
 * both `-` or both ids (prev may be `0`), and prev is before id. Embedded NUL (\u0000) in data is
 * passed on as it is. A message over MESSAGE_MAX_BYTES, or data over DATA_MAX_BYTES, is refused.
 *
 * Returns RELAY_OK (the caller ends with envelope_fini(); @message must live until then), or
 *   RELAY_EINVAL  and *@why (static storage) says what is wrong, as a sentence for the log
 *   RELAY_ENOMEM
 * and then there is no event and nothing to free, but durable, id and prev are set where they could
 * be read: such an event was published, and stands in its topic's log; or `deleted` says that it
 * never was one (delete.lua). */
int envelope_decode(const char *message, size_t len, struct envelope *out, const char **why);

/* Read the json of an envelope alone, as the log holds it: sets @out->event. As envelope_decode().
 */
int envelope_decode_json(const char *json, size_t len, struct envelope *out, const char **why);

/* Nothing happens where it was done already. */
void envelope_fini(struct envelope *e);

/* Append the JSON of @event, which must have passed event_name_check(), retry_check() and
 * data_check(). */
void envelope_encode_json(struct buf *out, const struct event *event);

/* Append the envelope of a live event (id and prev `-`), as envelope_encode_json(). */
void envelope_encode_live(struct buf *out, const struct event *event);

#endif
