/* The way back of a publish to its worker. The bus thread. */
#ifndef RELAY_BUS_PUBLISH_ANSWER_H
#define RELAY_BUS_PUBLISH_ANSWER_H

#include "relay/bus/message.h"

/* The first failure counts. @why, which may be NULL, is copied. */
void publish_note_failure(struct bus_publish *p, int status, const char *why);

/* Send it back. */
void publish_answer(struct bus_publish *p);

/* Both: @status as in message.h. */
void publish_done(struct bus_publish *p, int status, const char *why);

#endif
