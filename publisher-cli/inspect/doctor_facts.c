/* What `doctor` asks; see doctor_facts.h. */
#include "publisher-cli/inspect/doctor_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/info.h"
#include "relay/redis/reply.h"
#include "relay/redis/server.h"
#include "relay/wire/names.h"

enum {
    ROUNDS = 5,            /* of which the fastest tells the most */
    SCAN_ROUNDS_MAX = 100, /* so a Redis that others fill costs no more than 100,000 keys */
    BATCH_MAX = 65536      /* keys in one answer of SCAN */
};

#define SCAN_COUNT "1000"

/* ---- one fact ---- */

static void set_text(struct fact *fact, const char *text, size_t len) {
    if (fact->text == NULL && fact->refusal == NULL)
        fact->text = mem_strndup(text, len);
}

static void refuse(struct fact *fact, const char *why) {
    if (fact->text == NULL && fact->refusal == NULL)
        fact->refusal = mem_strndup(why, strlen(why));
    if (fact->refusal != NULL)
        ask_clean(fact->refusal);
}

static void fact_fini(struct fact *fact) {
    free(fact->text);
    free(fact->refusal);
}

/* Whether the answer is of @type; else it is noted why there is no fact. */
static bool is_good(struct fact *fact, const struct redisReply *reply, int type) {
    if (reply->type != type)
        refuse(fact, reply->type == REDIS_REPLY_ERROR ? reply->str : "no Redis answers like this");
    return reply->type == type;
}

static void on_text(void *arg, const struct redisReply *reply) {
    if (reply->type == REDIS_REPLY_STATUS)
        set_text(arg, reply->str, reply->len);
    else if (reply->type == REDIS_REPLY_NIL)
        set_text(arg, "", 0);
    else if (is_good(arg, reply, REDIS_REPLY_STRING))
        set_text(arg, reply->str, reply->len);
}

/* ---- settings ---- */

static const char *const setting_names[SETTINGS] = {
    [SETTING_APPENDFSYNC] = "appendfsync",
    [SETTING_LOAD_TRUNCATED] = "aof-load-truncated",
    [SETTING_SAVE] = "save",
    [SETTING_STOP_WRITES] = "stop-writes-on-bgsave-error",
    [SETTING_OUTPUT_BUFFER] = "client-output-buffer-limit",
    [SETTING_MAXCLIENTS] = "maxclients",
    [SETTING_TIMEOUT] = "timeout",
    [SETTING_KEEPALIVE] = "tcp-keepalive",
    [SETTING_BACKLOG] = "repl-backlog-size",
    [SETTING_MIN_REPLICAS] = "min-replicas-to-write",
    [SETTING_NODE_ENTRIES] = "stream-node-max-entries",
    [SETTING_NODE_BYTES] = "stream-node-max-bytes",
    [SETTING_SCRIPT_LIMIT] = "lua-time-limit", /* an alias from Redis 7 on */
};

const char *setting_name(enum setting setting) {
    return setting_names[setting];
}

/* A name and a value; nothing where the server does not know the setting. */
static void on_setting(void *arg, const struct redisReply *reply) {
    if (!is_good(arg, reply, REDIS_REPLY_ARRAY))
        return;
    if (reply->elements == 2 && reply->element[1]->type == REDIS_REPLY_STRING)
        set_text(arg, reply->element[1]->str, reply->element[1]->len);
    else
        refuse(arg, "the server does not know it");
}

/* ---- time ---- */

static void on_time(void *arg, const struct redisReply *reply) {
    struct facts *f = arg;
    if (!is_good(&f->time, reply, REDIS_REPLY_ARRAY))
        return;
    f->redis_ms = time_read(reply) / 1000;
    if (f->redis_ms == 0)
        refuse(&f->time, "no Redis answers like this");
}

/* The time in Redis was taken at some moment between sending and the answer. */
static int measure_time(struct facts *f, struct ask *a) {
    uint64_t best_us = UINT64_MAX;
    for (int i = 0; i < ROUNDS && f->time.refusal == NULL; i++) {
        uint64_t before_us = clock_mono_us(), before_ms = clock_wall_ms();
        ask_send(a, on_time, f, "TIME", (char *)NULL);
        if (ask_wait(a) != RELAY_OK)
            return a->status;
        uint64_t took_us = clock_mono_us() - before_us;
        if (took_us >= best_us)
            continue;
        best_us = f->ping_us = took_us;
        f->skew_ms = (int64_t)(f->redis_ms - (before_ms + took_us / 2000));
        f->skew_within_ms = took_us / 2000 + 1;
    }
    return RELAY_OK;
}

/* ---- the domain ---- */

static void on_clock(void *arg, const struct redisReply *reply) {
    struct facts *f = arg;
    if (is_good(&f->clock, reply, REDIS_REPLY_ARRAY))
        domain_read(&f->domain, reply);
}

static int ask_domain(struct facts *f, struct ask *a) {
    struct buf key = BUF_INIT;
    names_clock(&key, f->prefix, DOMAIN_TAG);
    ask_send(a, on_clock, f, "HGETALL", key.data, (char *)NULL);
    ask_send(a, on_text, &f->home, "GET", key.data, (char *)NULL);
    ask_wait(a);
    buf_fini(&key);
    return a->status;
}

/* ---- keys ---- */

struct scan {
    struct facts *facts;
    struct ask *ask;
    char cursor[24];
    char **keys;
    size_t len, typed;
};

/* What a key of ours must be; "" where no key of ours is called like that. */
static const char *expected_type(const struct facts *f, const char *key) {
    static const struct {
        const char *kind, *type;
    } kinds[] = {{"log:", "stream"}, {"last:", "string"}, {"once:", "string"}, {"clock", "hash"}};
    const char *kind = key + strlen(f->prefix) + 2;
    kind += strcspn(kind, "}");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strncmp(kind, "}:", 2) == 0 &&
            strncmp(kind + 2, kinds[i].kind, strlen(kinds[i].kind)) == 0)
            return kinds[i].type;
    return "";
}

/* Answers come in the order of the keys. */
static void on_type(void *arg, const struct redisReply *reply) {
    struct scan *scan = arg;
    struct facts *f = scan->facts;
    const char *key = scan->keys[scan->typed++], *expected = expected_type(f, key);
    if (!is_good(&f->keys, reply, REDIS_REPLY_STATUS) || strcmp(reply->str, "none") == 0)
        return;
    if (*expected == '\0') {
        f->keys_foreign++;
    } else if (strcmp(reply->str, expected) == 0) {
        f->keys_ours++;
    } else if (f->keys_wrong++ == 0) {
        f->wrong_key = mem_strndup(key, strlen(key));
        f->wrong_type = mem_strndup(reply->str, reply->len);
    }
}

static void on_scan(void *arg, const struct redisReply *reply) {
    struct scan *scan = arg;
    struct fact *fact = &scan->facts->keys;
    if (!is_good(fact, reply, REDIS_REPLY_ARRAY))
        return;
    if (reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[0]->len >= sizeof(scan->cursor) ||
        reply->element[1]->type != REDIS_REPLY_ARRAY || reply->element[1]->elements > BATCH_MAX) {
        refuse(fact, "no Redis answers SCAN like this");
        return;
    }
    const struct redisReply *keys = reply->element[1];
    memcpy(scan->cursor, reply->element[0]->str, reply->element[0]->len + 1);
    scan->keys = mem_zalloc((keys->elements + 1) * sizeof(*scan->keys));
    size_t least = strlen(scan->facts->prefix) + 2;
    for (size_t i = 0; i < keys->elements; i++)
        if (keys->element[i]->type == REDIS_REPLY_STRING && strlen(keys->element[i]->str) > least &&
            strlen(keys->element[i]->str) == keys->element[i]->len)
            scan->keys[scan->len++] = mem_strndup(keys->element[i]->str, keys->element[i]->len);
}

/* One answer of SCAN, and the types of its keys. */
static void scan_batch(struct scan *scan, const char *match) {
    ask_send(scan->ask, on_scan, scan, "SCAN", scan->cursor, "MATCH", match, "COUNT", SCAN_COUNT,
             (char *)NULL);
    ask_wait(scan->ask);
    for (size_t i = 0; i < scan->len; i++)
        ask_send(scan->ask, on_type, scan, "TYPE", scan->keys[i], (char *)NULL);
    ask_wait(scan->ask);
    for (size_t i = 0; i < scan->len; i++)
        free(scan->keys[i]);
    free(scan->keys);
    scan->keys = NULL;
    scan->len = scan->typed = 0;
}

static int look_at_keys(struct facts *f, struct ask *a) {
    struct scan scan = {.facts = f, .ask = a, .cursor = "0"};
    struct buf match = BUF_INIT;
    int rounds = 0;
    buf_printf(&match, "%s:{*}:*", f->prefix);
    do
        scan_batch(&scan, match.data);
    while (a->status == RELAY_OK && f->keys.refusal == NULL && strcmp(scan.cursor, "0") != 0 &&
           ++rounds < SCAN_ROUNDS_MAX);
    f->is_keys_cut = rounds == SCAN_ROUNDS_MAX;
    buf_fini(&match);
    return a->status;
}

/* ---- Sentinel ---- */

static char *field_of(const struct redisReply *fields, const char *name) {
    for (size_t i = 0; fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements; i += 2) {
        const struct redisReply *key = fields->element[i], *value = fields->element[i + 1];
        if (key->type == REDIS_REPLY_STRING && value->type == REDIS_REPLY_STRING &&
            strcmp(key->str, name) == 0)
            return mem_strndup(value->str, value->len);
    }
    return mem_strndup("", 0);
}

static void on_masters(void *arg, const struct redisReply *reply) {
    struct facts *f = arg;
    if (!is_good(&f->sentinel, reply, REDIS_REPLY_ARRAY))
        return;
    for (size_t i = 0; i < reply->elements && f->masters_len < MASTERS_MAX; i++) {
        const struct redisReply *m = reply->element[i];
        f->masters[f->masters_len++] = (struct sentinel_master){
            .name = field_of(m, "name"),
            .ip = field_of(m, "ip"),
            .port = field_of(m, "port"),
            .flags = field_of(m, "flags"),
            .replicas = field_of(m, "num-slaves"),
            .sentinels = field_of(m, "num-other-sentinels"),
            .quorum = field_of(m, "quorum"),
        };
    }
}

static int ask_sentinel(struct facts *f, struct ask *a) {
    ask_send(a, on_masters, f, "SENTINEL", "MASTERS", (char *)NULL);
    ask_wait(a);
    for (size_t i = 0; i < f->masters_len; i++)
        ask_send(a, on_text, &f->masters[i].ckquorum, "SENTINEL", "CKQUORUM", f->masters[i].name,
                 (char *)NULL);
    return ask_wait(a);
}

/* ---- the whole ---- */

bool facts_is_sentinel(const struct facts *f) {
    struct redis_server_info server;
    redis_server_read(f->info.text != NULL ? f->info.text : "", &server);
    return strcmp(server.mode, "sentinel") == 0;
}

static int ask_redis(struct facts *f, struct ask *a) {
    for (int i = 0; i < SETTINGS; i++)
        ask_send(a, on_setting, &f->settings[i], "CONFIG", "GET", setting_names[i], (char *)NULL);
    ask_send(a, on_text, &f->cluster, "CLUSTER", "INFO", (char *)NULL);
    ask_wait(a);
    ask_domain(f, a);
    look_at_keys(f, a);
    return rights_try(a, f->prefix, f->rights); /* the last: it subscribes */
}

int facts_collect(struct facts *out, struct ask *a, const struct options *o) {
    *out = (struct facts){.prefix = o->prefix, .address = a->address.data, .db = o->redis.db};
    ask_send(a, on_text, &out->info, "INFO", (char *)NULL);
    ask_send(a, on_text, &out->whoami, "ACL", "WHOAMI", (char *)NULL);
    ask_wait(a);
    out->user = out->whoami.text != NULL ? out->whoami.text
                : o->redis.user != NULL  ? o->redis.user
                                         : "default";
    if (facts_is_sentinel(out))
        return ask_sentinel(out, a);
    measure_time(out, a);
    return ask_redis(out, a);
}

void facts_fini(struct facts *f) {
    struct fact *const all[] = {&f->whoami, &f->info,  &f->cluster, &f->home,
                                &f->time,   &f->clock, &f->keys,    &f->sentinel};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        fact_fini(all[i]);
    for (size_t i = 0; i < SETTINGS; i++)
        fact_fini(&f->settings[i]);
    for (size_t i = 0; i < f->masters_len; i++) {
        struct sentinel_master *m = &f->masters[i];
        char *const texts[] = {m->name,     m->ip,        m->port,  m->flags,
                               m->replicas, m->sentinels, m->quorum};
        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
            free(texts[j]);
        fact_fini(&m->ckquorum);
    }
    free(f->wrong_key);
    free(f->wrong_type);
}

void facts_info(const struct facts *f, const char *name, char value[64]) {
    redis_info_value(f->info.text != NULL ? f->info.text : "", name, value);
}

bool facts_number(const struct facts *f, const char *name, uint64_t *out) {
    char value[64];
    facts_info(f, name, value);
    return decimal_read(value, strlen(value), out);
}
