/* Asking the relays how many subscribers a topic has, over Redis: a question on one channel that
 * every node listens to, an answer of each node on the channel that the question names.
 *
 *   PUBLISH <prefix>:relay.count  answer-<word> <topic>
 *   PUBLISH <prefix>:relay.answer-<word>  <node> <subscribers> <topic>
 *
 * The word begins with `answer-`, and no node and no other channel of relays is called so: an
 * answer can never be taken for a question. Pure; any thread. */
#ifndef RELAY_WIRE_COUNT_H
#define RELAY_WIRE_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"

#define COUNT_CHANNEL "count" /* for names_probe_channel() */

enum { COUNT_ANSWER_TO_MAX_BYTES = 40 };

struct count_question {
    char answer_to[COUNT_ANSWER_TO_MAX_BYTES + 1]; /* for names_probe_channel() */
    const char *topic;                             /* within the text */
    size_t topic_len;
};

struct count_answer {
    uint64_t subscribers;
    const char *topic; /* within the text */
    size_t topic_len;
};

/* Whether answers may go to @text: `answer-` and what is a to z, 0 to 9 and `-`, 40 bytes at most.
 */
bool count_answer_to_is_good(const char *text, size_t len);

/* False where the text is none. */
bool count_question_read(const char *text, size_t len, struct count_question *out);
bool count_answer_read(const char *text, size_t len, struct count_answer *out);

/* Append a question whose answers go to @answer_to, and an answer. */
void count_question_put(struct buf *out, const char *answer_to, const char *topic,
                        size_t topic_len);
void count_answer_put(struct buf *out, const char *node, uint64_t subscribers, const char *topic,
                      size_t topic_len);

#endif
