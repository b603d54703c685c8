/* What server is at the other end, and whether it is fit; see server_info.h. */
#include "relay/bus/server_info.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/bus/core_state.h"
#include "relay/redis/server.h"

enum {
    LOOK_EVERY_MS = 5000,
    LOOK_SOON_MS = 1000, /* where keys may be evicted, or the server is not fit */
    LOG_EVERY_MS = 60 * 1000,
    MASTERS_MAX = 5 /* of a Sentinel that are named */
};

/* ---- fit or not ---- */

bool bus_unfit_is_final(enum bus_unfit unfit) {
    return unfit == BUS_UNFIT_OLD || unfit == BUS_UNFIT_EVICTS || unfit == BUS_UNFIT_SENTINEL;
}

const char *bus_unfit_text(enum bus_unfit unfit) {
    switch (unfit) {
    case BUS_FIT:
        break;
    case BUS_UNFIT_REPLICA:
        return "Redis is a replica, which takes no events; the name is looked up again every two "
               "seconds. Point --redis at the master";
    case BUS_UNFIT_OLD:
        return "Redis is too old for durable events; install Redis " REDIS_SERVER_OLDEST
               " or later, or Valkey";
    case BUS_UNFIT_EVICTS:
        return "Redis evicts keys when its memory is full, and durable events with them; CONFIG "
               "SET maxmemory-policy noeviction (and in redis.conf), or start the relay with "
               "--allow-eviction where topics are live ones only";
    case BUS_UNFIT_SENTINEL:
        return "this is a Sentinel, which passes no events on; point --redis at the master that it "
               "watches (redis-cli SENTINEL MASTERS names it)";
    case BUS_UNFIT_CLOCK_COMMAND:
        return "Redis does not let the relay's user read the clock; give it the right: ACL SETUSER "
               "<user> +hgetall";
    case BUS_UNFIT_CLOCK_KEY:
        return "Redis does not let the relay's user read the clock; give it the keys of its "
               "prefix: ACL SETUSER <user> ~<prefix>:*";
    case BUS_UNFIT_CLOCK_TYPE:
        return "the key of the clock holds something else than a hash; remove that key, or use "
               "another --prefix";
    case BUS_UNFIT_CLOCK_FIELD:
        return "a field of the clock is missing, or holds what no publish script wrote; restore "
               "the key of the clock from a backup, or remove it: then another clock is born, and "
               "clients are told";
    case BUS_UNFIT_CLOCK_MOVED:
        return "the clock is on another node of this Cluster; relays need a Redis without Cluster";
    case BUS_UNFIT_CLOCK_NO_SLOT:
        return "this Redis is a node of a Cluster in which no node serves the clock's slot; mend "
               "the Cluster (redis-cli --cluster check), or use a Redis without Cluster";
    case BUS_UNFIT_CHANNEL:
        return "Redis does not let the relay's user subscribe to the channels of its prefix; give "
               "it the rights: ACL SETUSER <user> +subscribe &<prefix>:*";
    case BUS_UNFIT_CLOCK_OTHER:
        return "the clock cannot be read; the log says why";
    }
    return "";
}

static void set_unfit(struct bus_node *n, enum bus_unfit unfit) {
    metric_set(&n->bus->metrics->server_unfit, unfit);
}

static enum bus_unfit unfit_of(const struct bus_node *n) {
    return (enum bus_unfit)metric_get(&n->bus->metrics->server_unfit);
}

bool server_info_refuses(const struct bus_node *n, const char **why) {
    enum bus_unfit unfit = unfit_of(n);
    *why = bus_unfit_text(unfit);
    return bus_unfit_is_final(unfit);
}

static enum bus_unfit judge(const struct bus_node *n, const struct redis_server_info *s) {
    if (n->server.is_replica)
        return BUS_UNFIT_REPLICA;
    if (strcmp(s->mode, "sentinel") == 0)
        return BUS_UNFIT_SENTINEL;
    if (s->is_too_old)
        return BUS_UNFIT_OLD;
    if (redis_server_may_evict(s) && !n->bus->options.allow_eviction && !n->server.was_fit)
        return BUS_UNFIT_EVICTS;
    return BUS_FIT;
}

static void put_address(const struct bus_node *n, struct buf *out) {
    redis_url_describe(n->connection.url, out);
}

/* A Sentinel's masters: arrays of names and values in turn, of which `name`, `ip` and `port` come
 * first in every version. */
static void on_masters(void *arg, int status, const struct redisReply *reply) {
    (void)arg;
    if (status != RELAY_OK || reply->type != REDIS_REPLY_ARRAY)
        return;
    for (size_t i = 0; i < reply->elements && i < MASTERS_MAX; i++) {
        const struct redisReply *master = reply->element[i];
        if (master->type != REDIS_REPLY_ARRAY || master->elements < 6)
            continue;
        for (size_t k = 0; k < 6; k++)
            if (master->element[k]->type != REDIS_REPLY_STRING)
                return;
        log_error("the Sentinel watches this master; point --redis at it",
                  "name=%s master_host=%s master_port=%s", master->element[1]->str,
                  master->element[3]->str, master->element[5]->str);
    }
}

static void ask_masters(struct bus_node *n) {
    const char *argv[] = {"SENTINEL", "MASTERS"};
    const size_t argv_len[] = {8, 7};
    redis_client_command(&n->reader, 2, argv, argv_len, on_masters, n);
}

static void tell_unfit(struct bus_node *n, enum bus_unfit unfit) {
    struct buf address = BUF_INIT;
    uint64_t suppressed;
    bool is_new = unfit_of(n) != unfit;
    if (!log_limit_pass(&n->server.log, clock_mono_ms(), LOG_EVERY_MS, &suppressed) && !is_new)
        return;
    put_address(n, &address);
    log_error("this Redis is not fit; the node is not ready", "address=%s version=%s why=%s",
              address.data, n->server.info.version, bus_unfit_text(unfit));
    buf_fini(&address);
    if (unfit == BUS_UNFIT_SENTINEL)
        ask_masters(n);
}

static void warn(const struct bus_node *n) {
    const struct redis_server_info *s = &n->server.info;
    if (strcmp(s->mode, "cluster") == 0)
        log_warn("this Redis is a node of a Cluster; the relay treats it as a single server", NULL);
    if (redis_server_may_evict(s))
        log_warn("this Redis may evict keys, and durable events with them; set maxmemory-policy "
                 "noeviction unless all topics are live ones",
                 "maxmemory_policy=%s", s->policy);
}

/* ---- its settings ---- */

static bool read_setting(const struct redisReply *name, const struct redisReply *value,
                         const char *wanted, uint64_t *number) {
    if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING ||
        strcmp(name->str, wanted) != 0)
        return false;
    *number = strtoull(value->str, NULL, 10);
    return true;
}

/* Names and values in turn. A server that does not let us see them, or does not know them, says
 * nothing about its logs. */
static void on_settings(void *arg, int status, const struct redisReply *reply) {
    (void)arg;
    uint64_t entries = 0, bytes = 0;
    bool has_entries = false, has_bytes = false;
    if (status != RELAY_OK || reply->type != REDIS_REPLY_ARRAY)
        return;
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const struct redisReply *name = reply->element[i], *value = reply->element[i + 1];
        has_entries |= read_setting(name, value, "stream-node-max-entries", &entries);
        has_bytes |= read_setting(name, value, "stream-node-max-bytes", &bytes);
    }
    if (has_entries && has_bytes &&
        redis_server_log_excess(entries, bytes) > REDIS_SERVER_LOG_EXCESS_MAX)
        log_warn("logs keep far more events than they are told to, since Redis trims them by whole "
                 "nodes, and these are large; CONFIG SET stream-node-max-entries 100 (and in "
                 "redis.conf)",
                 "stream_node_max_entries=%" PRIu64 " stream_node_max_bytes=%" PRIu64, entries,
                 bytes);
}

/* Once for each server. CONFIG of Redis 6 takes one pattern. */
static void ask_settings(struct bus_node *n) {
    const char *argv[] = {"CONFIG", "GET", "stream-node-max-*"};
    const size_t argv_len[] = {6, 3, 17};
    redis_client_command(&n->reader, 3, argv, argv_len, on_settings, NULL);
}

/* All that INFO says, on the reading connection. */
static void take_info(struct bus_node *n, const char *text) {
    struct node_server *server = &n->server;
    char known_as[REDIS_INFO_VALUE_MAX];
    memcpy(known_as, server->info.run_id, sizeof(known_as));
    redis_server_read(text, &server->info);
    enum bus_unfit unfit = judge(n, &server->info);
    if (unfit != BUS_FIT)
        tell_unfit(n, unfit);
    else if (strcmp(known_as, server->info.run_id) != 0 || unfit_of(n) != BUS_FIT)
        warn(n);
    if (strcmp(known_as, server->info.run_id) != 0 || !server->was_fit)
        log_info("Redis server", "name=%s version=%s mode=%s role=%s", server->info.name,
                 server->info.version, server->info.mode,
                 server->info.role == REDIS_ROLE_REPLICA ? "replica" : "master");
    if (strcmp(known_as, server->info.run_id) != 0)
        ask_settings(n);
    set_unfit(n, unfit);
    server->was_fit = server->was_fit || unfit == BUS_FIT;
    n->callbacks->evicted(n, server->info.run_id, server->info.evicted_keys);
}

static bool is_text(int status, const struct redisReply *reply) {
    return status == RELAY_OK && reply->type == REDIS_REPLY_STRING;
}

static void on_info(void *arg, int status, const struct redisReply *reply) {
    if (is_text(status, reply)) /* else the rights may not cover INFO; it is taken for fit */
        take_info(arg, reply->str);
}

static void on_stats(void *arg, int status, const struct redisReply *reply) {
    struct bus_node *n = arg;
    struct redis_server_info s;
    if (!is_text(status, reply))
        return;
    redis_server_read(reply->str, &s);
    n->callbacks->evicted(n, n->server.info.run_id, s.evicted_keys);
}

static void ask(struct redis_client *c, const char *section, redis_reply_cb cb, void *arg) {
    const char *argv[] = {"INFO", section};
    const size_t argv_len[] = {4, section != NULL ? strlen(section) : 0};
    redis_client_command(c, section != NULL ? 2 : 1, argv, argv_len, cb, arg);
}

void server_info_reader_up(struct bus_node *n) {
    n->server.look_due_ms = clock_mono_ms() + LOOK_EVERY_MS;
    ask(&n->reader, NULL, on_info, n);
}

/* ---- the role ---- */

/* The connection that publishes looks for the master, over and over; the others hear what reaches
 * a replica until it has found one. */
static void found_replica(struct bus_node *n, const char *host, const char *port) {
    if (!n->server.is_replica) {
        struct buf address = BUF_INIT;
        put_address(n, &address);
        metric_add(&n->bus->metrics->demotions, 1);
        log_error("Redis is a replica, which takes no events; the node is not ready, and looks for "
                  "the master under the same name. Point --redis at the master",
                  "address=%s master_host=%s master_port=%s was_master=%d", address.data, host,
                  port, n->server.was_master);
        buf_fini(&address);
    }
    n->server.is_replica = true;
    set_unfit(n, BUS_UNFIT_REPLICA);
    redis_client_back_off(&n->publisher);
}

static void found_master(struct bus_node *n) {
    bool was_replica = n->server.is_replica;
    n->server.is_replica = false;
    n->server.was_master = true;
    if (!was_replica)
        return;
    log_warn("Redis is a master again; all connections are made anew", NULL);
    set_unfit(n, BUS_FIT);
    redis_client_reconnect(&n->subscriber); /* and the reader follows, and looks closer */
    redis_client_reconnect(&n->reader);
}

static void on_role(void *arg, int status, const struct redisReply *reply) {
    struct bus_node *n = arg;
    struct redis_server_info s;
    if (!is_text(status, reply) || n->bus->stopping)
        return;
    redis_server_read(reply->str, &s);
    if (s.role == REDIS_ROLE_REPLICA)
        found_replica(n, s.master_host, s.master_port);
    else if (s.role == REDIS_ROLE_MASTER)
        found_master(n);
}

void server_info_ask_role(struct bus_node *n) {
    ask(&n->publisher, "replication", on_role, n);
}

void server_info_readonly(struct bus_node *n) {
    if (!n->bus->stopping)
        found_replica(n, "", "");
}

/* ---- time ---- */

void server_info_tick(struct bus_node *n, uint64_t now_ms) {
    struct node_server *server = &n->server;
    if (now_ms < server->look_due_ms || n->reader.state != REDIS_CLIENT_READY)
        return;
    bool is_fit = unfit_of(n) == BUS_FIT, may_evict = redis_server_may_evict(&server->info);
    server->look_due_ms = now_ms + (is_fit && !may_evict ? LOOK_EVERY_MS : LOOK_SOON_MS);
    if (is_fit)
        ask(&n->reader, "stats", on_stats, n);
    else
        ask(&n->reader, NULL, on_info, n);
}
