/* The table of checks, and those of the server itself; see doctor_checks.h. */
#include "publisher-cli/inspect/doctor_checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/redis/server.h"

enum { IDLE_LEAST_S = 20 }; /* all of our connections PING within 15 s */

#define MIB (UINT64_C(1) << 20)

/* ---- who answers ---- */

static void check_connection(struct report *r, const struct facts *f) {
    char took[48] = "";
    if (f->ping_us > 0)
        snprintf(took, sizeof(took), ", a round trip takes %" PRIu64 ".%03" PRIu64 " ms",
                 f->ping_us / 1000, f->ping_us % 1000);
    report_say(r, LEVEL_OK, NULL, "%s answers the user %s%s", f->address, f->user, took);
}

/* Channels are the same for all databases of a server, keys are not. */
static void check_database(struct report *r, const struct facts *f) {
    if (f->db == 0)
        report_say(r, LEVEL_OK, NULL, "0");
    else
        report_say(r, LEVEL_WARN,
                   "name the same one for all relays and publishers, best 0, and tell others apart "
                   "by --prefix",
                   "%u; messages cross over to relays on every other database, logs and clock do "
                   "not",
                   f->db);
}

static void check_version(struct report *r, const struct facts *f) {
    struct redis_server_info server;
    unsigned major = 0;
    redis_server_read(f->info.text != NULL ? f->info.text : "", &server);
    const char *name = server.name;
    if (server.version[0] == '\0')
        report_say(r, LEVEL_SKIP, NULL, "INFO, redis_version: %s", report_no_info(f));
    else if (server.is_too_old)
        report_say(r, LEVEL_FAIL,
                   "install Redis " REDIS_SERVER_OLDEST " or later, best 7 or later, or Valkey",
                   "%s %s is too old: it refuses some durable events, and stores a part of others",
                   name, server.version);
    else if (strcmp(name, "Redis") != 0)
        report_say(r, LEVEL_OK, NULL, "%s %s", name, server.version);
    else if (sscanf(server.version, "%4u.", &major) != 1)
        report_say(r, LEVEL_WARN, NULL, "it calls itself Redis %s, which is no version",
                   server.version);
    else if (major < 7)
        report_say(r, LEVEL_WARN, "install Redis 7 or later when you can",
                   "Redis %s will do; 7 is recommended", server.version);
    else
        report_say(r, LEVEL_OK, NULL, "Redis %s", server.version);
}

/* ---- the disk ---- */

/* A publish is several commands between MULTI and EXEC in the file. With `yes`, Redis (7.0) cuts
 * off the one that is torn and leaves a MULTI without its EXEC, which the next start reads on from.
 */
static void check_torn_aof(struct report *r, const struct facts *f) {
    const char *text = f->settings[SETTING_LOAD_TRUNCATED].text;
    char advice[ADVICE_BYTES];
    advise(
        advice, "aof-load-truncated", "no",
        "it then starts once redis-check-aof --fix has cut the file, or BGREWRITEAOF right after "
        "such a start");
    if (text != NULL && strcmp(text, "yes") == 0)
        report_say(r, LEVEL_OK, advice,
                   "should a crash tear the file's last write, Redis starts nevertheless, but the "
                   "start after that may repeat a part of that publish, or lose later ones "
                   "(aof-load-truncated yes)");
}

static void check_aof(struct report *r, const struct facts *f) {
    const char *fsync = f->settings[SETTING_APPENDFSYNC].text;
    char advice[ADVICE_BYTES];
    advise(advice, "appendfsync", "always", "where not even that may be lost");
    if (fsync == NULL)
        report_say(r, LEVEL_OK, NULL,
                   "append-only file; how often it is synced cannot be read, so what a crash loses "
                   "is not known");
    else if (strcmp(fsync, "always") == 0)
        report_say(r, LEVEL_OK, NULL,
                   "append-only file, synced before each answer: a crash loses nothing that was "
                   "acknowledged");
    else if (strcmp(fsync, "everysec") == 0)
        report_say(r, LEVEL_OK, advice,
                   "append-only file, synced each second: when the machine crashes, the events of "
                   "the last one or two seconds are gone");
    else
        report_say(r, LEVEL_WARN, advice,
                   "append-only file, synced when the system likes (appendfsync %s): when the "
                   "machine crashes, the events of half a minute can be gone",
                   fsync);
    check_torn_aof(r, f);
}

static void check_persistence(struct report *r, const struct facts *f) {
    char advice[ADVICE_BYTES];
    uint64_t aof, changes = 0;
    const char *save = f->settings[SETTING_SAVE].text;
    advise(advice, "appendonly", "yes", "");
    if (!report_number(r, f, "aof_enabled", &aof))
        return;
    facts_number(f, "rdb_changes_since_last_save", &changes);
    if (aof != 0)
        check_aof(r, f);
    else if (save == NULL)
        report_say(r, LEVEL_WARN, advice,
                   "no append-only file: a crash loses all events since the last snapshot, if "
                   "there are snapshots");
    else if (*save != '\0')
        report_say(
            r, LEVEL_WARN, advice,
            "snapshots only (save %s): a crash loses all events since the last one, which is "
            "%" PRIu64 " changes ago",
            save, changes);
    else
        report_say(r, LEVEL_WARN, advice,
                   "none: when Redis ends, all logs are gone, and every client is told so by a "
                   "relay.reset");
}

static bool is_failed(const struct facts *f, const char *name) {
    char value[64];
    facts_info(f, name, value);
    return strcmp(value, "err") == 0;
}

static void check_disk(struct report *r, const struct facts *f) {
    static const char advice[] =
        "look into Redis's log for the reason: no space, no right to write, no memory to fork";
    const char *stop = f->settings[SETTING_STOP_WRITES].text,
               *save = f->settings[SETTING_SAVE].text;
    char status[64];
    bool is_stopping = (stop == NULL || strcmp(stop, "no") != 0) && (save == NULL || *save != '\0');
    facts_info(f, "rdb_last_bgsave_status", status);
    if (status[0] == '\0')
        report_say(r, LEVEL_SKIP, NULL, "INFO, rdb_last_bgsave_status: %s", report_no_info(f));
    else if (is_failed(f, "aof_last_write_status"))
        report_say(
            r, LEVEL_FAIL, advice,
            "the last write of the append-only file failed; publishes are refused (MISCONF)");
    else if (is_failed(f, "rdb_last_bgsave_status") && is_stopping)
        report_say(r, LEVEL_FAIL, advice,
                   "the last snapshot failed; publishes are refused (MISCONF) until one succeeds");
    else if (is_failed(f, "rdb_last_bgsave_status"))
        report_say(r, LEVEL_WARN, advice, "the last snapshot failed");
    else if (is_failed(f, "aof_last_bgrewrite_status"))
        report_say(r, LEVEL_WARN, advice, "the last rewrite of the append-only file failed");
    else if (is_stopping)
        report_say(r, LEVEL_OK, NULL,
                   "no failed write; should a snapshot fail, publishes are refused (MISCONF) until "
                   "one succeeds (stop-writes-on-bgsave-error)");
    else
        report_say(r, LEVEL_OK, NULL, "no failed write");
}

/* ---- memory ---- */

static void check_memory(struct report *r, const struct facts *f) {
    uint64_t used, limit, total = 0, apart = 0;
    if (!report_number(r, f, "used_memory", &used) || !report_number(r, f, "maxmemory", &limit))
        return;
    facts_number(f, "total_system_memory", &total);
    facts_number(f, "mem_not_counted_for_evict", &apart);
    used -= apart < used ? apart : used;
    if (limit == 0 && total > 0 && used > total / 4 * 3)
        report_say(r, LEVEL_WARN,
                   "CONFIG SET maxmemory to what the machine can spare, and in redis.conf: a full "
                   "Redis refuses publishes, a killed one loses more",
                   "%" PRIu64 " MiB of the machine's %" PRIu64
                   " MiB are used, and there is no limit",
                   used / MIB, total / MIB);
    else if (limit == 0)
        report_say(r, LEVEL_OK, NULL, "%" PRIu64 " MiB used, no limit (maxmemory 0)", used / MIB);
    else if (used >= limit)
        report_say(
            r, LEVEL_FAIL,
            "CONFIG SET maxmemory to more, and in redis.conf; or keep less (--history, --ttl)",
            "full: %" PRIu64 " of %" PRIu64 " bytes (maxmemory) are used, so publishes are "
            "refused (OOM)",
            used, limit);
    else if (used / 9 >= limit / 10)
        report_say(
            r, LEVEL_WARN,
            "CONFIG SET maxmemory to more, and in redis.conf; or keep less (--history, --ttl)",
            "%" PRIu64 " of %" PRIu64 " bytes (maxmemory) are used; publishes are refused "
            "when it is full",
            used, limit);
    else
        report_say(r, LEVEL_OK, NULL, "%" PRIu64 " of %" PRIu64 " MiB used (maxmemory)", used / MIB,
                   limit / MIB);
}

static void check_eviction(struct report *r, const struct facts *f) {
    char policy[64], advice[ADVICE_BYTES];
    uint64_t limit = 0;
    facts_info(f, "maxmemory_policy", policy);
    advise(advice, "maxmemory-policy", "noeviction",
           "a full Redis then refuses publishes, and says so");
    bool is_limited = !facts_number(f, "maxmemory", &limit) || limit > 0;
    if (policy[0] == '\0')
        report_say(r, LEVEL_SKIP, NULL, "INFO, maxmemory_policy: %s", report_no_info(f));
    else if (strcmp(policy, "noeviction") == 0)
        report_say(r, LEVEL_OK, NULL, "none (maxmemory-policy noeviction)");
    else if (is_limited)
        report_say(r, LEVEL_FAIL, advice,
                   "maxmemory-policy %s: when memory is full, logs of topics and the clock vanish, "
                   "and durable events with them",
                   policy);
    else
        report_say(r, LEVEL_WARN, advice,
                   "maxmemory-policy %s: nothing is evicted as long as maxmemory is 0, but logs of "
                   "topics and the clock will vanish once there is a limit",
                   policy);
}

static void check_logs(struct report *r, const struct facts *f) {
    const char *entries_text = report_setting(r, f, SETTING_NODE_ENTRIES);
    const char *bytes_text = entries_text != NULL ? report_setting(r, f, SETTING_NODE_BYTES) : NULL;
    uint64_t entries, bytes;
    char advice[ADVICE_BYTES];
    if (bytes_text == NULL || !decimal_read(entries_text, strlen(entries_text), &entries) ||
        !decimal_read(bytes_text, strlen(bytes_text), &bytes))
        return;
    uint64_t most = redis_server_log_excess(entries, bytes);
    advise(advice, setting_name(SETTING_NODE_ENTRIES), "100", "");
    if (most == UINT64_MAX)
        report_say(r, LEVEL_WARN, advice,
                   "logs are hardly ever trimmed by count: they keep all that their time to live "
                   "covers (stream-node-max-entries and stream-node-max-bytes are 0)");
    else if (most > REDIS_SERVER_LOG_EXCESS_MAX)
        report_say(r, LEVEL_WARN, advice,
                   "a log keeps up to %" PRIu64 " events more than it was told to, as it is "
                   "trimmed by whole nodes (stream-node-max-entries %s, stream-node-max-bytes %s)",
                   most, entries_text, bytes_text);
    else
        report_say(r, LEVEL_OK, NULL,
                   "trimmed to at most %" PRIu64 " events more than they were told to keep "
                   "(stream-node-max-entries %s)",
                   most, entries_text);
}

/* ---- clients ---- */

/* The three numbers behind "pubsub " in `normal 0 0 0 slave 268435456 67108864 60 pubsub …`. */
static bool read_buffer_limit(const char *text, uint64_t *hard, uint64_t *soft, uint64_t *seconds) {
    const char *at = strstr(text, "pubsub ");
    return at != NULL &&
           sscanf(at, "pubsub %19" SCNu64 " %19" SCNu64 " %19" SCNu64, hard, soft, seconds) == 3;
}

static void check_output_buffer(struct report *r, const struct facts *f) {
    const char *text = report_setting(r, f, SETTING_OUTPUT_BUFFER);
    uint64_t hard, soft, seconds;
    char advice[ADVICE_BYTES];
    if (text == NULL)
        return;
    snprintf(advice, sizeof(advice),
             "CONFIG SET client-output-buffer-limit \"pubsub 256mb 64mb 60\", and in redis.conf: "
             "client-output-buffer-limit pubsub 256mb 64mb 60");
    if (!read_buffer_limit(text, &hard, &soft, &seconds))
        report_say(r, LEVEL_SKIP, NULL,
                   "client-output-buffer-limit is `%s`, which says nothing of "
                   "pubsub",
                   text);
    else if ((hard > 0 && hard < 128 * MIB) || (soft > 0 && soft < 32 * MIB))
        report_say(r, LEVEL_WARN, advice,
                   "a relay that is %" PRIu64 " MiB behind, or %" PRIu64 " MiB for %" PRIu64
                   " s, is cut; it fills durable events from the logs, but loses live ones "
                   "(client-output-buffer-limit pubsub)",
                   hard / MIB, soft / MIB, seconds);
    else if (hard == 0 && soft == 0)
        report_say(r, LEVEL_OK, NULL,
                   "subscribers are never cut (client-output-buffer-limit pubsub "
                   "0 0 0); one that hangs costs memory until it is gone");
    else
        report_say(r, LEVEL_OK, NULL,
                   "relays may be %" PRIu64 " MiB behind, or %" PRIu64 " MiB for %" PRIu64 " s",
                   hard / MIB, soft / MIB, seconds);
}

static void check_clients(struct report *r, const struct facts *f) {
    const char *setting = f->settings[SETTING_MAXCLIENTS].text;
    uint64_t limit = 0, clients;
    bool has_limit = facts_number(f, "maxclients", &limit) ||
                     (setting != NULL && decimal_read(setting, strlen(setting), &limit));
    if (!report_number(r, f, "connected_clients", &clients))
        return;
    if (!has_limit)
        report_say(r, LEVEL_SKIP, NULL, "%" PRIu64 " connected; how many may be cannot be read",
                   clients);
    else if (clients >= limit / 10 * 9)
        report_say(r, LEVEL_WARN, "CONFIG SET maxclients to more, and in redis.conf",
                   "%" PRIu64 " of %" PRIu64
                   " connections are taken (maxclients); each relay needs "
                   "three",
                   clients, limit);
    else
        report_say(r, LEVEL_OK, NULL, "%" PRIu64 " of %" PRIu64 " connections (maxclients)",
                   clients, limit);
}

static void check_timeout(struct report *r, const struct facts *f) {
    const char *text = report_setting(r, f, SETTING_TIMEOUT);
    char advice[ADVICE_BYTES];
    if (text == NULL)
        return;
    advise(advice, "timeout", "0", "");
    uint64_t seconds;
    if (strcmp(text, "0") == 0)
        report_say(r, LEVEL_OK, NULL, "idle connections stay (timeout 0)");
    else if (decimal_read(text, strlen(text), &seconds) && seconds >= IDLE_LEAST_S)
        report_say(r, LEVEL_OK, NULL,
                   "connections that are idle for %s s are cut; relays and sse-publish PING before "
                   "that (timeout)",
                   text);
    else
        report_say(r, LEVEL_WARN, advice,
                   "connections that are idle for %s s are cut, those over which relays read logs "
                   "and publishers publish among them (timeout)",
                   text);
}

static void check_keepalive(struct report *r, const struct facts *f) {
    const char *text = report_setting(r, f, SETTING_KEEPALIVE);
    char advice[ADVICE_BYTES];
    if (text == NULL)
        return;
    advise(advice, "tcp-keepalive", "300", "");
    if (strcmp(text, "0") == 0)
        report_say(r, LEVEL_WARN, advice,
                   "a relay whose machine is gone keeps its connection, and what is queued for it, "
                   "for a long time (tcp-keepalive 0)");
    else
        report_say(r, LEVEL_OK, NULL, "dead peers are noticed (tcp-keepalive %s)", text);
}

/* 0 and negative numbers are no limit. */
static void check_scripts(struct report *r, const struct facts *f) {
    const char *text = report_setting(r, f, SETTING_SCRIPT_LIMIT);
    char advice[ADVICE_BYTES];
    uint64_t ms;
    if (text == NULL)
        return;
    advise(advice, setting_name(SETTING_SCRIPT_LIMIT), "5000", "");
    if (decimal_read(text, strlen(text), &ms) && ms > 0 && ms < 1000)
        report_say(r, LEVEL_WARN, advice,
                   "while a script runs for more than %" PRIu64 " ms, others are refused (BUSY); a "
                   "bulk publish can take that long on a slow machine",
                   ms);
    else
        report_say(r, LEVEL_OK, NULL,
                   "publishing is a script of microseconds; others are refused (BUSY) after %s ms",
                   text);
}

/* ---- the table ---- */

static const struct check redis_checks[] = {
    {"connection", check_connection},
    {"database", check_database},
    {"version", check_version},
    {"role", check_role},
    {"cluster", check_cluster},
    {"persistence", check_persistence},
    {"disk", check_disk},
    {"memory", check_memory},
    {"eviction", check_eviction},
    {"logs", check_logs},
    {"replicas", check_replicas},
    {"output-buffer", check_output_buffer},
    {"clients", check_clients},
    {"timeout", check_timeout},
    {"keepalive", check_keepalive},
    {"scripts", check_scripts},
    {"publish-rights", check_publish_rights},
    {"relay-rights", check_relay_rights},
    {"time", check_time},
    {"clock", check_clock},
    {"keys", check_keys},
};

static const struct check sentinel_checks[] = {
    {"connection", check_connection},
    {"version", check_version},
    {"sentinel", check_sentinel},
};

void checks_run(const struct facts *f, finding_cb on_finding, void *arg) {
    struct report report = {.on_finding = on_finding, .arg = arg};
    bool is_sentinel = facts_is_sentinel(f);
    const struct check *checks = is_sentinel ? sentinel_checks : redis_checks;
    size_t len = is_sentinel ? sizeof(sentinel_checks) : sizeof(redis_checks);
    for (size_t i = 0; i < len / sizeof(checks[0]); i++) {
        report.check = checks[i].name;
        checks[i].run(&report, f);
    }
}
