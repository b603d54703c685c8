/* What a new connection to Redis is asked before durable events go through it: which run of Redis
 * it is, and the hash of the publish script.
 *
 * Embedded; one loop, one thread. */
#ifndef PUBLISHER_CLI_PUBLISH_SESSION_H
#define PUBLISHER_CLI_PUBLISH_SESSION_H

#include <stdbool.h>

#include "relay/redis/client.h"
#include "relay/redis/server.h"
#include "relay/wire/publish_script.h"

struct session {
    struct redis_client *client;
    void (*on_ready)(void *arg);
    void (*on_refused)(void *arg, const char *why);
    void *arg;
    struct redis_server_info server; /* .run_id is ""  until it is told */
    char sha[PUBLISH_SHA_BYTES + 1]; /* "": unknown, the text is sent each time */
};

/* The callbacks come from the loop: the connection may be used; or Redis refused what is needed, or
 * is too old (s->server says so). */
void session_init(struct session *s, struct redis_client *client, void (*on_ready)(void *arg),
                  void (*on_refused)(void *arg, const char *why), void *arg);

/* Ask. One of the callbacks follows, unless the connection is lost. */
void session_prepare(struct session *s);

#endif
