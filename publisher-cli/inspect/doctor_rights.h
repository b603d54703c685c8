/* Which rights a user of Redis has, found by trying.
 *
 * ACL DRYRUN exists from Redis 7 on and is a right of its own that publishers lack. So each command
 * is sent as itself, with arguments that Redis refuses behind the check of rights: nothing is
 * written, whatever the answer is. What is sent in earnest is a PUBLISH of nothing to a topic of a
 * random name, and a SUBSCRIBE to it. */
#ifndef PUBLISHER_CLI_INSPECT_DOCTOR_RIGHTS_H
#define PUBLISHER_CLI_INSPECT_DOCTOR_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "publisher-cli/inspect/ask.h"

enum { RIGHTS_MAX = 24 };

/* What needs a right. */
enum purpose { PURPOSE_PUBLISH = 1, PURPOSE_REPLICAS = 2, PURPOSE_RELAY = 4 };

struct right {
    const char *name; /* as ACL SETUSER takes it behind the plus */
    unsigned purposes;
    const char *words[6]; /* of the command; "$log" and so on stand for names */
};

enum right_answer {
    RIGHT_UNKNOWN, /* no answer */
    RIGHT_GRANTED,
    RIGHT_NO_COMMAND, /* may not be called, or the server does not know it */
    RIGHT_NO_KEY,
    RIGHT_NO_CHANNEL
};

struct right_result {
    enum right_answer answer;
    char words[160]; /* of Redis, where it is not RIGHT_GRANTED */
};

/* The table; *@len <= RIGHTS_MAX. */
const struct right *rights(size_t *len);

/* Try them all: results[i] is of row i. Returns as ask_wait(). */
int rights_try(struct ask *a, const char *prefix, struct right_result results[RIGHTS_MAX]);

/* What the text of an error reply means for the right to the command. */
enum right_answer right_judge(const char *error);

#endif
