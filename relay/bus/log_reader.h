/* A topic's log in Redis: reading stretches of it, and what its entries say (topic.h: keys). The
 * bus thread. */
#ifndef RELAY_BUS_LOG_READER_H
#define RELAY_BUS_LOG_READER_H

#include "relay/bus/domain.h"
#include "relay/redis/client.h"
#include "relay/redis/reply.h"

/* An entry, as XRANGE and XREVRANGE give it. */
struct log_entry {
    struct event_id id, prev;
    const char *json; /* borrowed from the reply */
    size_t json_len;
};

bool log_entry_parse(const struct domain_clock *c, const struct redisReply *reply,
                     struct log_entry *out);
/* The same, and of an epoch that the clock knows. What is not is an entry of nobody's: skip it. */
bool log_entry_known(const struct domain_clock *c, const struct redisReply *reply,
                     struct log_entry *out);
/* Its ms and seq, nothing else. */
bool log_entry_place(const struct redisReply *reply, struct event_id *out);
/* Of a clock before ours, and so is all that is older. */
bool log_entry_is_older(const struct domain_clock *c, const struct redisReply *reply);
/* The message, as it stood on the channel. */
void log_entry_message(const struct log_entry *e, struct buf *out);

/* Which entries: those behind @from up to @to; backwards from @to down. */
struct log_range {
    bool backwards;              /* the latest first; from is not used */
    const struct event_id *from; /* NULL: from the beginning */
    const struct event_id *to;   /* NULL: to the end */
};

/* Read up to @count entries. As redis_client_command(); RELAY_EAGAIN also for a second after Redis
 * refused. The answer is to be given to log_answered(). */
int log_read(const struct bus_topic *t, const struct log_range *range, size_t count,
             redis_reply_cb cb, void *arg);

/* How many to ask for, at most @most, so that the reply is not too large, or has about @bytes. */
size_t log_count(const struct bus_topic *t, size_t most);
size_t log_count_of(const struct bus_topic *t, size_t most, size_t bytes);

/* To be told of each answer to log_read(), and for how many entries it asked. */
void log_answered(struct bus_topic *t, int status, const struct redisReply *reply, size_t count);
void log_note_size(struct bus_topic *t, size_t bytes); /* of an event of the log */

#endif
