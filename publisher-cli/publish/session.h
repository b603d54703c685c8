/* What a new connection to Redis is asked before durable events go through it: which run of Redis
 * it is, and the hash of the publish script.
 *
 * Embedded; one loop, one thread. */
#ifndef PUBLISHER_CLI_PUBLISH_SESSION_H
#define PUBLISHER_CLI_PUBLISH_SESSION_H

#include <stdbool.h>

#include "relay/redis/client.h"
#include "relay/redis/info.h"
#include "relay/wire/publish.h"

struct session {
    struct redis_client *client;
    void (*on_ready)(void *arg);
    void (*on_refused)(void *arg, const char *why);
    void *arg;
    char run_id[REDIS_INFO_VALUE_MAX];
    char sha[PUBLISH_SHA_BYTES + 1]; /* "": unknown, the text is sent each time */
};

/* The callbacks come from the loop: the connection may be used; or Redis refused what is needed. */
void session_init(struct session *s, struct redis_client *client, void (*on_ready)(void *arg),
                  void (*on_refused)(void *arg, const char *why), void *arg);

/* Ask. One of the callbacks follows, unless the connection is lost. */
void session_prepare(struct session *s);

#endif
