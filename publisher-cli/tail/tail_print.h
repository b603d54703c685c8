/* Events as `tail` prints them.
 *
 * For programs (--json), a line each: the object that the relay sent, {"topic","event","id","time",
 * "data"}, and {"event":"relay.reset","id","data"} where some are missing. Else the data, and
 * in front of each of its lines, with a tab behind it, the topic where there are several. On a
 * terminal the event's name stands there too, and what could move the cursor or change
 * colours is shown and not done.
 *
 * init/fini: embedded. What is printed is kept until tail_print_flush(). */
#ifndef PUBLISHER_CLI_TAIL_TAIL_PRINT_H
#define PUBLISHER_CLI_TAIL_TAIL_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "publisher-cli/options/options.h"
#include "publisher-cli/tail/event_stream.h"
#include "relay/base/buf.h"

struct tail_print {
    FILE *out, *err;
    bool is_json;
    bool has_topics; /* there are several */
    bool is_terminal;
    bool has_colours;
    struct buf text; /* not written yet */
};

void tail_print_init(struct tail_print *p, const struct options *o, FILE *out, FILE *err);
void tail_print_fini(struct tail_print *p);

/* An event in the form as=json.
 * Returns RELAY_OK, or RELAY_EPROTO where it is not in that form: nothing is printed. */
int tail_print_event(struct tail_print *p, const struct event_stream_event *event);

/* relay.reset: a warning on err; as an object too with --json, after which @id is the cursor.
 * Returns as tail_print_event(). */
int tail_print_reset(struct tail_print *p, const struct event_stream_event *event, const char *id);

/* Write what was printed, waiting for whoever reads it. Returns RELAY_OK, or RELAY_EIO and errno
 * says why; EINTR where a signal came whose handler does not let a write go on. What was not
 * written is dropped. */
int tail_print_flush(struct tail_print *p);

#endif
