/* A publisher of durable events for tests: the script of relay/wire/publish_script.h over a
 * blocking connection. One thread each; whatever goes wrong fails the test. */
#ifndef TESTS_LOOP_DURABLE_H
#define TESTS_LOOP_DURABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/redis/info.h"
#include "relay/wire/id.h"
#include "relay/wire/publish_script.h"

struct durable {
    struct redisContext *cli;
    char run_id[REDIS_INFO_VALUE_MAX];
    char sha[PUBLISH_SHA_BYTES + 1];
    uint64_t history; /* 0: the default */
    unsigned births;  /* how many words for a birth were made */
};

/* @socket: the path of a redis-server's. Begins no clock. */
void durable_open(struct durable *d, const char *socket);
void durable_close(struct durable *d); /* does nothing where it is closed */

/* Publish @data to one topic; NULL: only look after the clock. Returns the event's id, or the
 * clock's position. */
struct event_id durable_publish(struct durable *d, const char *topic, const char *data);

/* Whether events are announced on their channels, or stored alone, as for a user without the right
 * to publish there. */
void durable_announce(struct durable *d, bool announces);

#endif
