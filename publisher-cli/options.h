/* What sse-publish was asked to do, from its arguments.
 *
 * Everything that can be refused without Redis and without reading input is refused here: unknown
 * options, names that the rules of relay/wire/topic.h do not allow, a URL that is none. Pure: the
 * environment is passed in. */
#ifndef PUBLISHER_CLI_OPTIONS_H
#define PUBLISHER_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/redis/url.h"

enum command {
    COMMAND_EVENT,   /* one event: DATA, or all of standard input */
    COMMAND_LINES,   /* one event for each line of standard input */
    COMMAND_CLOCK,   /* the time, again and again */
    COMMAND_LETTERS, /* random letters, again and again */
    COMMAND_HELP,
    COMMAND_VERSION
};

struct options {
    enum command command;
    const char *topic; /* the texts are borrowed from argv */
    const char *data;  /* NULL: standard input */
    const char *event; /* NULL: none */
    const char *prefix;
    uint32_t retry_ms;      /* 0: none */
    uint64_t every_ms;      /* of clock and letters */
    bool is_quiet;          /* say nothing on standard output */
    bool is_live;           /* pub/sub only; what follows is 0 or NULL then */
    uint64_t history;       /* events that the topic's log keeps; 0: the default */
    uint64_t ttl_ms;        /* for how long; 0: the default */
    const char *key;        /* of idempotency; NULL: none */
    unsigned wait_replicas; /* that must have an event; 0: none */
    struct redis_url redis;
};

/* Read the arguments; @argv[0] is skipped. @redis_url is the environment's REDIS_URL or NULL.
 *
 * Returns RELAY_OK (end with options_fini()), or RELAY_EINVAL and a sentence in @why, which holds
 * no secret. */
int options_read(struct options *out, int argc, char **argv, const char *redis_url,
                 struct buf *why);
void options_fini(struct options *o);

/* What --help prints. Static storage. */
const char *options_help(void);

#endif
