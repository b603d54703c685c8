/* The reads that a topic has under way (topic.h: history.reads): each kind at most once, owned
 * here, finished by its answer or cancelled by name. The bus thread. */
#ifndef RELAY_BUS_TOPIC_READS_H
#define RELAY_BUS_TOPIC_READS_H

#include "relay/bus/log_reader.h"
#include "relay/bus/topic.h"

/* A command on behalf of a topic, which may be given up meanwhile. */
struct topic_read {
    struct bus_topic *topic; /* NULL: cancelled */
    enum topic_read_kind kind;
    struct event_id floor; /* EXTEND: of the ring when it was asked for */
    size_t count;          /* of a log's entries that were asked for */
};

/* None of the kind may be under way. It is to be given to the command as its argument, and finished
 * where that cannot be sent. */
struct topic_read *topic_read_start(struct bus_topic *t, enum topic_read_kind kind);

/* Read entries of the log: start, send, and finish where that fails. */
void topic_read_log(struct bus_topic *t, enum topic_read_kind kind, const struct log_range *range,
                    size_t count, redis_reply_cb cb);

/* Its answer will find nobody. Nothing happens where none is under way. */
void topic_read_cancel(struct bus_topic *t, enum topic_read_kind kind);
void topic_read_cancel_all(struct bus_topic *t);

/* The answer is there, and the read is freed.
 *
 * Returns the topic that it is for; NULL where it was cancelled or failed: then a read of the
 * tracker's is to be begun again by whoever looks next. */
struct bus_topic *topic_read_finish(struct topic_read *read, int status);

/* The same for entries of a log: @reply is an array where it returns a topic. */
struct bus_topic *topic_read_finish_log(struct topic_read *read, int status,
                                        const struct redisReply *reply);

#endif
