/* Answers of relays to a question that all of them get (relay/wire/count.h): a connection of its
 * own that listens for them.
 *
 * What Redis answers to the question is how many relays got it, and so how many answers have to
 * come; a relay that is stuck sends none, so they are not waited for for ever. Embedded; one loop,
 * one thread; must not move between open and close. */
#ifndef PUBLISHER_CLI_INSPECT_ANSWERS_H
#define PUBLISHER_CLI_INSPECT_ANSWERS_H

#include <stdbool.h>
#include <uv.h>

#include "publisher-cli/inspect/ask.h"
#include "relay/wire/count.h"

struct answers {
    struct ask *ask;
    struct redis_client listener;
    uv_timer_t deadline;
    char answer_to[COUNT_ANSWER_TO_MAX_BYTES + 1]; /* what the question has to say */
    struct buf channel;
    void (*take)(void *arg, const struct count_answer *answer);
    void *arg;
    bool is_listening;
    bool is_over; /* nothing more is waited for */
};

/* Begin to listen on a channel of its own; @take gets each answer. @a was opened. */
void answers_open(struct answers *s, struct ask *a, const char *prefix,
                  void (*take)(void *arg, const struct count_answer *answer), void *arg);

/* Run the loop until Redis has confirmed that; only then ask. Returns RELAY_OK, or the status of
 * the ask. */
int answers_listen(struct answers *s);

/* Run the loop until @is_complete, for 5 s or @timeout_ms at most. Returns likewise. */
int answers_wait(struct answers *s, bool (*is_complete)(void *arg), uint64_t timeout_ms);

/* Close the connection; ask_close() runs the loop to its end. */
void answers_close(struct answers *s);
void answers_fini(struct answers *s); /* behind that */

/* Say that Redis knows no relay that could be asked. */
void answers_complain_of_none(const struct ask *a, const char *prefix, FILE *err);

#endif
