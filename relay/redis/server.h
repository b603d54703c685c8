/* What kind of server answers, read from INFO: Redis or one of its forks, how old, what it is for.
 *
 * Valkey calls itself Redis 7.2.4 for the sake of old clients, has its own version beside that, and
 * says `server_mode` where Redis says `redis_mode`. A user may lack the right to INFO, and what
 * answers may leave fields out: what is not told is "" or 0. Pure; any thread. */
#ifndef RELAY_REDIS_SERVER_H
#define RELAY_REDIS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/redis/info.h"

/* The oldest that the publish script runs on: Redis 6.0 knows no MINID and takes an id in two
 * arguments of XADD for an invalid one. */
#define REDIS_SERVER_OLDEST "6.2"

enum redis_role { REDIS_ROLE_UNKNOWN, REDIS_ROLE_MASTER, REDIS_ROLE_REPLICA };

struct redis_server_info {
    const char *name;                   /* "Redis", "Valkey", "Dragonfly"; static */
    char version[REDIS_INFO_VALUE_MAX]; /* its own */
    bool is_too_old;                    /* older than REDIS_SERVER_OLDEST, as Redis counts */
    char mode[REDIS_INFO_VALUE_MAX];    /* "standalone", "cluster" or "sentinel" */
    enum redis_role role;
    char master_host[REDIS_INFO_VALUE_MAX], master_port[REDIS_INFO_VALUE_MAX]; /* of a replica */
    char run_id[REDIS_INFO_VALUE_MAX];
    char policy[REDIS_INFO_VALUE_MAX]; /* maxmemory_policy */
    uint64_t maxmemory_bytes;
    uint64_t evicted_keys; /* since the server started */
};

/* Read the text of INFO, whole or some sections of it. */
void redis_server_read(const char *info, struct redis_server_info *out);

/* Whether keys may be evicted although nobody asked for that: of a log and its last id, both go
 * together, and nothing tells a reader. Policies that evict only keys with a time to live are no
 * better, since all that the relay keeps has one, but the clock. Without a limit (maxmemory 0)
 * nothing is evicted. */
bool redis_server_may_evict(const struct redis_server_info *s);

/* By how many entries a log may be longer than it was told to: it is trimmed by whole nodes of its
 * tree, whose size two settings limit (stream-node-max-entries, stream-node-max-bytes; 0: no limit
 * by this one). UINT64_MAX: neither does, and hardly anything is ever trimmed by count. */
uint64_t redis_server_log_excess(uint64_t node_max_entries, uint64_t node_max_bytes);

/* More than that deserves a warning. */
#define REDIS_SERVER_LOG_EXCESS_MAX 1000

#endif
