/* Checks of whom we speak to: role, others that it knows, our rights, time, the domain; see
 * doctor_checks.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/inspect/doctor_checks.h"
#include "relay/redis/info.h"

enum {
    LAG_MAX_S = 10,
    SKEW_WARN_MS = 1000,
    SKEW_FAIL_MS = 60 * 1000,
    EPOCHS_MANY = 10,
    DAY_MS = 24 * 3600 * 1000
};

#define BACKLOG_LEAST (UINT64_C(16) << 20)

/* ---- replication ---- */

/* For --redis: an IPv6 address stands in brackets. */
static void put_url(char *url, size_t size, const char *host, const char *port) {
    bool is_ipv6 = strchr(host, ':') != NULL;
    snprintf(url, size, "--redis redis://%s%s%s:%s", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "",
             port);
}

void check_role(struct report *r, const struct facts *f) {
    char role[64], host[64], port[64], link[64], url[192];
    facts_info(f, "role", role);
    facts_info(f, "master_host", host);
    facts_info(f, "master_port", port);
    facts_info(f, "master_link_status", link);
    put_url(url, sizeof(url), host, port);
    if (strcmp(role, "master") == 0)
        report_say(r, LEVEL_OK, NULL, "master");
    else if (strcmp(role, "slave") == 0)
        report_say(r, LEVEL_FAIL, url,
                   "a replica of %s port %s (link %s), which refuses durable events; relays and "
                   "publishers belong on the master",
                   host, port, link);
    else
        report_say(r, LEVEL_SKIP, NULL, "INFO tells no role%s%s", role[0] != '\0' ? ": " : "",
                   role);
}

/* The lag of the replica that is furthest behind, and the number of those that are not online. */
static void read_replicas(const struct facts *f, uint64_t count, uint64_t *lag, uint64_t *offline) {
    *lag = *offline = 0;
    for (uint64_t i = 0; i < count && i < 64 && f->info.text != NULL; i++) {
        char name[32], line[512];
        size_t len = 0;
        snprintf(name, sizeof(name), "slave%" PRIu64, i);
        const char *found = redis_info_find(f->info.text, name, &len);
        snprintf(line, sizeof(line), "%.*s", (int)(len < 500 ? len : 500),
                 found != NULL ? found : "");
        const char *behind = strstr(line, ",lag=");
        uint64_t seconds = behind != NULL ? strtoull(behind + 5, NULL, 10) : 0;
        *lag = seconds > *lag ? seconds : *lag;
        *offline += strstr(line, "state=online") == NULL;
    }
}

static void check_backlog(struct report *r, const struct facts *f) {
    uint64_t bytes;
    char advice[ADVICE_BYTES];
    const char *text = f->settings[SETTING_BACKLOG].text;
    advise(advice, "repl-backlog-size", "64mb", "");
    if (text != NULL && decimal_read(text, strlen(text), &bytes) && bytes < BACKLOG_LEAST)
        report_say(r, LEVEL_WARN, advice,
                   "a replica that was away for more than %" PRIu64 " KiB of writes needs a whole "
                   "copy (repl-backlog-size)",
                   bytes / 1024);
}

void check_replicas(struct report *r, const struct facts *f) {
    uint64_t count, lag, offline, needed = 0, good = 0;
    char advice[ADVICE_BYTES], role[64];
    const char *least = f->settings[SETTING_MIN_REPLICAS].text;
    facts_info(f, "role", role);
    if (!report_number(r, f, "connected_slaves", &count))
        return;
    if (least != NULL)
        decimal_read(least, strlen(least), &needed);
    facts_number(f, "min_slaves_good_slaves", &good);
    read_replicas(f, count, &lag, &offline);
    advise(advice, "min-replicas-to-write", "1", "");
    if (needed > 0 && good < needed)
        report_say(r, LEVEL_FAIL, "bring the replicas back, or lower min-replicas-to-write",
                   "%" PRIu64 " of the %" PRIu64
                   " that min-replicas-to-write asks for: publishes are "
                   "refused (NOREPLICAS)",
                   good, needed);
    else if (count == 0)
        report_say(r, LEVEL_OK, NULL,
                   "none: what this Redis loses is lost, and --wait-replicas has "
                   "nothing to wait for");
    else if (offline > 0 || lag > LAG_MAX_S)
        report_say(r, LEVEL_WARN,
                   "look into their logs: a failover to one loses what it has not got",
                   "%" PRIu64 " of %" PRIu64 " are not online, the slowest is %" PRIu64 " s behind",
                   offline, count, lag);
    else if (needed == 0 && strcmp(role, "master") == 0)
        report_say(r, LEVEL_WARN, advice,
                   "%" PRIu64
                   " online; but a master that is cut off from them goes on taking events, "
                   "which a failover then loses (min-replicas-to-write 0)",
                   count);
    else
        report_say(r, LEVEL_OK, NULL, "%" PRIu64 " online", count);
    if (count > 0)
        check_backlog(r, f);
}

/* ---- Cluster and Sentinel ---- */

static void cluster_value(const struct facts *f, const char *name, char value[64]) {
    redis_info_value(f->cluster.text != NULL ? f->cluster.text : "", name, value);
}

/* "MOVED 13349 127.0.0.1:7001": the end of it. */
static bool is_moved(const struct facts *f, const char **where) {
    const char *words = f->home.refusal;
    if (words == NULL || strncmp(words, "MOVED ", 6) != 0)
        return false;
    *where = strrchr(words, ' ') + 1;
    return true;
}

void check_cluster(struct report *r, const struct facts *f) {
    static const char instead[] = "use a Redis without Cluster (cluster-enabled no)";
    char enabled[64], state[64], assigned[64], failing[64], nodes[64], url[256];
    const char *where;
    facts_info(f, "cluster_enabled", enabled);
    cluster_value(f, "cluster_state", state);
    cluster_value(f, "cluster_slots_assigned", assigned);
    cluster_value(f, "cluster_slots_fail", failing);
    cluster_value(f, "cluster_known_nodes", nodes);
    if (strcmp(enabled, "0") == 0)
        report_say(r, LEVEL_OK, NULL, "off: a single server");
    else if (strcmp(enabled, "1") != 0)
        report_say(r, LEVEL_SKIP, NULL, "INFO does not tell whether this is a node of a Cluster");
    else if (f->cluster.text != NULL && strcmp(state, "ok") != 0)
        report_say(
            r, LEVEL_FAIL, "redis-cli --cluster check, then --cluster fix",
            "a node of a Cluster that does not work: state %s, %s of 16384 slots assigned, %s "
            "failing, %s nodes known",
            state, assigned, failing, nodes);
    else if (is_moved(f, &where)) {
        snprintf(url, sizeof(url), "--redis redis://%.128s; better, %s", where, instead);
        report_say(r, LEVEL_FAIL, url,
                   "a node of a Cluster of %s nodes that does not have the slot of {0}, where "
                   "everything is kept; %s has it",
                   nodes, where);
    } else
        report_say(
            r, LEVEL_WARN, instead,
            "a node of a Cluster (state %s, %s of 16384 slots assigned, %s failing, %s nodes "
            "known); relays do not follow a Cluster yet, and treat this node as a single "
            "server",
            state, assigned, failing, nodes);
}

static void say_master(struct report *r, const struct sentinel_master *m) {
    const char *quorum = m->ckquorum.text != NULL ? m->ckquorum.text : m->ckquorum.refusal;
    bool is_down = strstr(m->flags, "down") != NULL || strstr(m->flags, "disconnected") != NULL;
    bool is_split = quorum != NULL && strncmp(quorum, "NOQUORUM", 8) == 0;
    report_say(r, is_down || is_split ? LEVEL_FAIL : LEVEL_OK,
               is_down    ? "look at the master: who connects to it gets no answer"
               : is_split ? "start enough Sentinels, or lower the quorum: nobody would fail over"
                          : NULL,
               "master %s is %s port %s (%s): %s replicas, %s other Sentinels, quorum %s%s%s",
               m->name, m->ip, m->port, m->flags, m->replicas, m->sentinels, m->quorum,
               quorum != NULL ? "; " : "", quorum != NULL ? quorum : "");
}

void check_sentinel(struct report *r, const struct facts *f) {
    char url[192] = "point --redis at the master";
    if (f->masters_len > 0)
        put_url(url, sizeof(url), f->masters[0].ip, f->masters[0].port);
    report_say(
        r, LEVEL_FAIL, url,
        "this is a Sentinel, which keeps no events; relays and sse-publish do not ask it for "
        "the master yet");
    for (size_t i = 0; i < f->masters_len; i++)
        say_master(r, &f->masters[i]);
    if (f->masters_len == 0)
        report_say(r, LEVEL_SKIP, NULL, "SENTINEL MASTERS: %s",
                   f->sentinel.refusal != NULL ? f->sentinel.refusal : "it watches none");
}

/* ---- rights ---- */

struct lacks {
    struct buf names; /* as ACL SETUSER takes them, each with a space before it */
    bool no_key, no_channel, is_unknown;
    const char *words; /* Redis's own, of the first */
};

static void find_lacks(const struct facts *f, unsigned purpose, struct lacks *out) {
    size_t len;
    const struct right *rows = rights(&len);
    *out = (struct lacks){.names = BUF_INIT};
    for (size_t i = 0; i < len; i++) {
        const struct right_result *result = &f->rights[i];
        if ((rows[i].purposes & purpose) == 0)
            continue;
        if (result->answer == RIGHT_NO_COMMAND)
            buf_printf(&out->names, " +%s", rows[i].name);
        out->no_key = out->no_key || result->answer == RIGHT_NO_KEY;
        out->no_channel = out->no_channel || result->answer == RIGHT_NO_CHANNEL;
        out->is_unknown = out->is_unknown || result->answer == RIGHT_UNKNOWN;
        if (out->words == NULL && result->words[0] != '\0' && result->answer != RIGHT_GRANTED)
            out->words = result->words;
    }
    if (out->no_key)
        buf_printf(&out->names, " ~%s:{*", f->prefix);
    if (out->no_channel)
        buf_printf(&out->names, " &%s:*", f->prefix);
}

static void check_rights(struct report *r, const struct facts *f, unsigned purpose,
                         enum level level, const char *what) {
    struct lacks lacks;
    struct buf advice = BUF_INIT;
    find_lacks(f, purpose, &lacks);
    buf_printf(&advice, "ACL SETUSER %s%s, and ACL SAVE or the same in redis.conf", f->user,
               lacks.names.len > 0 ? lacks.names.data : "");
    if (lacks.is_unknown)
        report_say(r, LEVEL_SKIP, NULL, "not all rights were told");
    else if (lacks.names.len > 0)
        report_say(r, level, advice.data, "this user may not %s; it lacks%s (%s)", what,
                   lacks.names.data, lacks.words);
    else
        report_say(r, LEVEL_OK, NULL, "this user may %s", what);
    buf_fini(&lacks.names);
    buf_fini(&advice);
}

void check_publish_rights(struct report *r, const struct facts *f) {
    check_rights(r, f, PURPOSE_PUBLISH, LEVEL_FAIL, "publish");
    struct lacks lacks;
    find_lacks(f, PURPOSE_REPLICAS, &lacks);
    if (lacks.names.len > 0)
        report_say(r, LEVEL_WARN, NULL, "--wait-replicas needs +wait as well (%s)", lacks.words);
    buf_fini(&lacks.names);
}

/* A user that publishes only is a good idea. */
void check_relay_rights(struct report *r, const struct facts *f) {
    check_rights(r, f, PURPOSE_RELAY, LEVEL_WARN, "serve a relay");
}

/* ---- time and the domain ---- */

void check_time(struct report *r, const struct facts *f) {
    int64_t skew = f->skew_ms;
    uint64_t size = skew < 0 ? 0 - (uint64_t)skew : (uint64_t)skew;
    const char *side = skew < 0 ? "behind" : "ahead of";
    if (f->time.refusal != NULL || f->redis_ms == 0) {
        report_say(r, LEVEL_SKIP, NULL, "TIME: %s",
                   f->time.refusal != NULL ? f->time.refusal : "no answer");
        return;
    }
    uint64_t sure = size > f->skew_within_ms ? size - f->skew_within_ms : 0;
    if (sure > SKEW_WARN_MS)
        report_say(r, sure > SKEW_FAIL_MS ? LEVEL_FAIL : LEVEL_WARN,
                   "let NTP set the clocks of both machines",
                   "the clock of Redis is %" PRIu64 ".%03" PRIu64
                   " s %s ours: the times of events, "
                   "and since=, are off by as much",
                   size / 1000, size % 1000, side);
    else
        report_say(r, LEVEL_OK, NULL, "the clock of Redis is ours, within %" PRIu64 " ms",
                   size + f->skew_within_ms);
}

static bool is_wrong_type(const struct fact *fact) {
    return fact->refusal != NULL && strncmp(fact->refusal, "WRONGTYPE", 9) == 0;
}

void check_clock(struct report *r, const struct facts *f) {
    const struct domain *d = &f->domain;
    char run[64], remedy[192];
    uint64_t began_ms = d->born.ms + (d->now.epoch - 1) * 1000;
    facts_info(f, "run_id", run);
    snprintf(remedy, sizeof(remedy),
             "DEL %s:{" DOMAIN_TAG "}:clock: a new one is born, and each client gets a relay.reset",
             f->prefix);
    if (is_wrong_type(&f->clock))
        report_say(r, LEVEL_FAIL, "remove the key, or use another --prefix",
                   "%s:{" DOMAIN_TAG "}:clock is no hash, so nothing durable can be published",
                   f->prefix);
    else if (f->clock.refusal != NULL)
        report_say(r, LEVEL_SKIP, NULL, "HGETALL %s:{" DOMAIN_TAG "}:clock: %s", f->prefix,
                   f->clock.refusal);
    else if (!d->is_born)
        report_say(r, LEVEL_OK, NULL, "not born yet; the first relay or durable event does it");
    else if (d->wrong != NULL)
        report_say(r, LEVEL_FAIL, remedy, "the domain's clock %s", d->wrong);
    else if (f->redis_ms > 0 && d->now.ms > f->redis_ms + SKEW_WARN_MS)
        report_say(r, LEVEL_WARN, "wait, or let NTP set the clock of Redis's machine",
                   "the last id is %" PRIu64 " s ahead of the time in Redis, whose clock was set "
                   "back: new ids stand still until time has caught up, in order but not in time",
                   (d->now.ms - f->redis_ms) / 1000);
    else if (run[0] != '\0' && strcmp(run, d->run) != 0)
        report_say(r, LEVEL_OK, NULL,
                   "birth %s, epoch %" PRIu64 ", of a process of Redis before this one; the next "
                   "relay or durable event begins a later one",
                   d->now.birth, d->now.epoch);
    else if (d->epochs_lately >= EPOCHS_MANY && began_ms + DAY_MS > f->redis_ms)
        report_say(r, LEVEL_WARN,
                   "look into Redis's log for restarts; publishers in other languages pass the "
                   "run_id of the server that they are connected to, or an empty one",
                   "%" PRIu64 " epochs began within an hour: Redis starts again and again, or "
                   "publishers that may not ask it (+info) pass an old run_id",
                   d->epochs_lately);
    else
        report_say(r, LEVEL_OK, NULL, "birth %s, epoch %" PRIu64, d->now.birth, d->now.epoch);
}

void check_keys(struct report *r, const struct facts *f) {
    const char *cut = f->is_keys_cut ? " among the first 100,000 or so of this Redis" : "";
    if (f->keys_wrong > 0)
        report_say(r, LEVEL_FAIL, "remove them, or use another --prefix",
                   "%" PRIu64 " with names of ours hold something else%s, such as %s (a %s)",
                   f->keys_wrong, cut, f->wrong_key, f->wrong_type);
    else if (f->keys.refusal != NULL)
        report_say(r, LEVEL_SKIP, NULL, "SCAN: %s", f->keys.refusal);
    else if (f->keys_foreign > 0)
        report_say(r, LEVEL_WARN, "use a --prefix that nobody else uses",
                   "%" PRIu64 " under %s:{*} are not ours%s", f->keys_foreign, f->prefix, cut);
    else
        report_say(r, LEVEL_OK, NULL, "%" PRIu64 " under %s:{*}, all of the right type%s",
                   f->keys_ours, f->prefix, cut);
}
