/* Deleting a topic: the script that deletes its log and tells its readers, in one step.
 *
 * It is publish.lua with delete.lua behind it, since the ids come from the same clock by the same
 * rules; too rare to be worth a hash, it is sent whole each time. Text only. Pure; any thread. */
#ifndef RELAY_WIRE_DELETE_SCRIPT_H
#define RELAY_WIRE_DELETE_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"

/* What the script answers. */
struct delete_answer {
    bool found;       /* there was a log; all else is set only then */
    bool announced;   /* the user may publish on the topic's channel */
    uint64_t entries; /* that the log held */
    const char *id;   /* where the topic goes on; within the text, not ended by a NUL */
    size_t id_len;
};

/* Append the script. KEYS and ARGV are said in delete.lua. */
void delete_script_put(struct buf *out);

/* Append the channel on which its two events, which are none, are published, and nobody listens. */
void delete_script_put_void(struct buf *out, const char *prefix);

/* Returns RELAY_OK, or RELAY_EINVAL where @text is no answer of the script; @out points into it. */
int delete_answer_parse(const char *text, size_t len, struct delete_answer *out);

#endif
