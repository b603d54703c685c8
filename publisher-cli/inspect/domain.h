/* What Redis holds of a domain, read: its clock, and the entries of its logs
 * (relay/wire/README.md).
 *
 * Replies may come from anything that calls itself Redis, so their shape is checked. Pure; any
 * thread. */
#ifndef PUBLISHER_CLI_INSPECT_DOMAIN_H
#define PUBLISHER_CLI_INSPECT_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/wire/id.h"

struct redisReply;

enum { DOMAIN_RUN_MAX_BYTES = 64 };
#define DOMAIN_TAG "0" /* of the one domain that there is outside Cluster */

/* A place in a log, as Redis writes it: `<ms>-<seq>` in decimal. */
struct place {
    uint64_t ms, seq;
};

struct domain {
    bool is_born;           /* there is a clock */
    const char *wrong;      /* what is wrong with it, as the end of a sentence; or NULL */
    struct event_id now;    /* birth, epoch and the last id that was given */
    struct place born;      /* `from:1`: what stands up to there in a log is of an older birth */
    uint64_t epochs_lately; /* that began within the hour before the present one did, and it */
    char run[DOMAIN_RUN_MAX_BYTES + 1]; /* the run_id of the Redis that the epoch belongs to */
};

/* Read the answer to HGETALL of the clock; an empty one, or what is no array, is no clock. */
void domain_read(struct domain *out, const struct redisReply *reply);

/* An event in a log. Borrowed from the reply. */
struct log_entry {
    struct event_id id;
    const char *json, *prev;
    size_t json_len, prev_len;
};

enum log_entry_kind {
    LOG_ENTRY_EVENT,
    LOG_ENTRY_OLDER,  /* of an older birth: no client can have its id, and no relay delivers it */
    LOG_ENTRY_BROKEN, /* it has a place, and what else an event needs is missing or malformed */
    LOG_ENTRY_NONE    /* not an entry of a stream at all */
};

/* Read one entry of XRANGE. id.ms and id.seq are set unless it is LOG_ENTRY_NONE. */
enum log_entry_kind log_entry_read(const struct domain *d, const struct redisReply *reply,
                                   struct log_entry *out);

bool place_read(const char *text, size_t len, struct place *out);
int place_compare(const struct place *a, const struct place *b);

/* Digits alone, up to 19 of them. */
bool decimal_read(const char *text, size_t len, uint64_t *out);

/* The answer to TIME, in microseconds since 1970; 0 where it is none. */
uint64_t time_read(const struct redisReply *reply);

#endif
