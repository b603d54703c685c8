/* The connection that reads: what kind of server this is, told to the operator each time it is new.
 *
 * Apart from the other two, since a large answer on it must delay neither a message nor a publish.
 * Logs and the clock are read over it too (history.c, replay.c, clock.c). */
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/bus/internal.h"
#include "relay/redis/info.h"

static void judge(const char *version, const char *mode, const char *role, const char *policy,
                  const char *limit) {
    if (version[0] != '\0' && atoi(version) < 6)
        log_warn("this Redis is older than any that the relay is tested with; use 6.2 or later",
                 "version=%s", version);
    if (strcmp(mode, "cluster") == 0)
        log_warn("this Redis is a node of a Cluster; the relay treats it as a single server", NULL);
    if (strcmp(role, "slave") == 0)
        log_warn("this Redis is a replica: events published on its master arrive, events published "
                 "through this "
                 "relay reach nobody else; point --redis at the master",
                 NULL);
    if (limit[0] != '\0' && strcmp(limit, "0") != 0 && strcmp(policy, "noeviction") != 0)
        log_warn("this Redis may evict keys; set maxmemory-policy noeviction, or durable events "
                 "can vanish",
                 "maxmemory_policy=%s", policy);
}

static void on_info(void *arg, int status, const struct redisReply *reply) {
    char version[REDIS_INFO_VALUE_MAX], mode[REDIS_INFO_VALUE_MAX], role[REDIS_INFO_VALUE_MAX],
        policy[REDIS_INFO_VALUE_MAX], limit[REDIS_INFO_VALUE_MAX];
    (void)arg;
    if (status != RELAY_OK || reply->type != REDIS_REPLY_STRING)
        return; /* the rights may not cover INFO; nothing depends on it */
    redis_info_value(reply->str, "redis_version", version);
    redis_info_value(reply->str, "redis_mode", mode);
    redis_info_value(reply->str, "role", role);
    redis_info_value(reply->str, "maxmemory_policy", policy);
    redis_info_value(reply->str, "maxmemory", limit);
    log_info("Redis server", "version=%s mode=%s role=%s", version, mode, role);
    judge(version, mode, role, policy, limit);
}

void reader_up(struct bus *bus) {
    const char *argv[] = {"INFO"};
    const size_t argv_len[] = {4};
    redis_client_command(&bus->reader, 1, argv, argv_len, on_info, bus);
}
