/* One line of NDJSON to an event: the line is an object that says what is to be published.
 *
 *   topic    a string; or topics, an array of them: one event for each
 *   data     a string, or any other JSON, which is published as text without white space; needed
 *   event    the event's name, a string
 *   key      of idempotency, a string
 *   retry    milliseconds, or a string such as "5s"; and so is ttl
 *   history  a number
 *   live     true or false
 *   time     milliseconds since 1970, for a replay; and id: what `tail --json` prints is understood
 *
 * null is as good as absent but for data, where it is JSON like any other. A member that has no
 * meaning is refused, since "evnt" would be an event without a name; so is one that stands there
 * twice. Lines are checked whole by the rules of relay/wire.
 *
 * init/fini: embedded; pure; one thread. */
#ifndef PUBLISHER_CLI_INPUT_EVENT_LINE_H
#define PUBLISHER_CLI_INPUT_EVENT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "publisher-cli/input/given.h"
#include "relay/base/buf.h"

enum {
    EVENT_LINE_MAX_BYTES = MESSAGE_MAX_BYTES + 1024 * 1024, /* the largest data and all the rest */
    EVENT_LINE_TOPICS_MAX = PUBLISH_ITEMS_MAX
};

/* What a line says. The texts point into the line or into `memory`, and are good until the next one
 * is read. */
struct event_line {
    struct given_event given;
    struct publish_topic topics[EVENT_LINE_TOPICS_MAX]; /* which given.topics points to */
    struct buf memory;                                  /* what had escapes or white space */
    struct buf why; /* of a line that was refused: what is wrong, as a sentence */
    unsigned seen;  /* private: members that were there */
};

void event_line_init(struct event_line *l);
void event_line_fini(struct event_line *l);

/* Read @text. Events of the relay's own (relay.…), which a recording holds, pass: the caller looks
 * at the name.
 *
 * Returns RELAY_OK, or RELAY_EINVAL and l->why. */
int event_line_read(struct event_line *l, const char *text, size_t len);

/* Whether the event is one of the relay's own. */
bool event_line_is_relays(const struct event_line *l);

#endif
