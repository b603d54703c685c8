/* What kind of server answers; see server.h. */
#include "relay/redis/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has(const char *info, const char *field) {
    size_t len;
    return redis_info_find(info, field, &len) != NULL;
}

static void read_name(const char *info, struct redis_server_info *out) {
    static const struct {
        const char *field, *name; /* a field that nobody else has: its version */
    } forks[] = {{"valkey_version", "Valkey"}, {"dragonfly_version", "Dragonfly"}};
    out->name = "Redis";
    redis_info_value(info, "redis_version", out->version);
    for (size_t i = 0; i < sizeof(forks) / sizeof(forks[0]); i++)
        if (has(info, forks[i].field)) {
            out->name = forks[i].name;
            redis_info_value(info, forks[i].field, out->version);
        }
}

static bool is_too_old(const char *info) {
    char version[REDIS_INFO_VALUE_MAX];
    unsigned major, minor;
    redis_info_value(info, "redis_version", version);
    return sscanf(version, "%4u.%4u", &major, &minor) == 2 &&
           (major < 6 || (major == 6 && minor < 2));
}

static enum redis_role read_role(const char *info) {
    char role[REDIS_INFO_VALUE_MAX];
    redis_info_value(info, "role", role);
    if (strcmp(role, "master") == 0)
        return REDIS_ROLE_MASTER;
    return strcmp(role, "slave") == 0 || strcmp(role, "replica") == 0 ? REDIS_ROLE_REPLICA
                                                                      : REDIS_ROLE_UNKNOWN;
}

static uint64_t read_number(const char *info, const char *name) {
    char value[REDIS_INFO_VALUE_MAX];
    redis_info_value(info, name, value);
    return strtoull(value, NULL, 10);
}

void redis_server_read(const char *info, struct redis_server_info *out) {
    *out = (struct redis_server_info){.is_too_old = is_too_old(info), .role = read_role(info)};
    read_name(info, out);
    redis_info_value(info, has(info, "server_mode") ? "server_mode" : "redis_mode", out->mode);
    redis_info_value(info, "master_host", out->master_host);
    redis_info_value(info, "master_port", out->master_port);
    redis_info_value(info, "run_id", out->run_id);
    redis_info_value(info, "maxmemory_policy", out->policy);
    out->maxmemory_bytes = read_number(info, "maxmemory");
    out->evicted_keys = read_number(info, "evicted_keys");
}

bool redis_server_may_evict(const struct redis_server_info *s) {
    return s->maxmemory_bytes > 0 && s->policy[0] != '\0' && strcmp(s->policy, "noeviction") != 0;
}

uint64_t redis_server_log_excess(uint64_t node_max_entries, uint64_t node_max_bytes) {
    enum { ENTRY_MIN_BYTES = 20 }; /* of the smallest event, as a node holds it */
    uint64_t by_bytes = node_max_bytes > 0 ? node_max_bytes / ENTRY_MIN_BYTES + 1 : UINT64_MAX;
    return node_max_entries > 0 && node_max_entries < by_bytes ? node_max_entries : by_bytes;
}
