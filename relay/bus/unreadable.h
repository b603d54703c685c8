/* Topics whose keys Redis refuses to read (topic.h: keys.unreadable). The bus thread. */
#ifndef RELAY_BUS_UNREADABLE_H
#define RELAY_BUS_UNREADABLE_H

#include "relay/bus/topic.h"
#include "relay/redis/reply.h"

/* To be told of each answer about a key of a topic. */
void unreadable_answered(struct bus_topic *t, enum topic_key key, int status,
                         const struct redisReply *reply);

/* The topic is freed behind this. */
void unreadable_free(struct bus_topic *t);

#endif
