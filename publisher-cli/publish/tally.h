/* What was done so far, in numbers and in words. Pure; the time is passed in. */
#ifndef PUBLISHER_CLI_PUBLISH_TALLY_H
#define PUBLISHER_CLI_PUBLISH_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"

enum { TALLY_TOPICS_MAX = 4096 }; /* above it is told that there are more */

struct tally {
    uint64_t published;                    /* events that Redis has */
    uint64_t duplicates;                   /* of these, published before with the same key */
    uint64_t found;                        /* of these, stored when they were sent again */
    uint64_t skipped;                      /* lines that cannot be events, and were passed over */
    uint64_t failed;                       /* events that Redis refused, and a line that ended it */
    uint64_t lost;                         /* events that may be published or not */
    uint64_t doubled;                      /* live events that may be there twice */
    uint64_t overtaken;                    /* events that came behind later ones */
    uint64_t topics[2 * TALLY_TOPICS_MAX]; /* hashes of those with events in Redis; 0: free */
    size_t topics_count;
};

/* An event of @topic is in Redis; whether this is its first is looked up here. */
void tally_topic(struct tally *t, const char *topic, size_t len);

/* Append "published 199,998 events to 3 topics in 2.1 s (95,000/s); 1 skipped, 1 failed". */
void tally_put_summary(const struct tally *t, uint64_t elapsed_us, struct buf *out);

/* Append 1234567 as 1,234,567; the same to three figures; 7500000 us as "7.5 s". */
void tally_put_number(struct buf *out, uint64_t n);
void tally_put_rate(struct buf *out, double per_second);
void tally_put_time(struct buf *out, uint64_t us);

#endif
