/* Reading the domain's clock: birth, epoch, position, and where epochs began. */
#include "relay/bus/clock_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/core_state.h"
#include "relay/wire/names.h"

enum { LOG_EVERY_MS = 60 * 1000, EPOCHS_MANY = 10, EPOCHS_WITHIN_S = 3600 };

static bool parse_number(const char *text, uint64_t *out) {
    char *end;
    *out = strtoull(text, &end, 10);
    return end != text && (*end == '\0' || *end == '-');
}

/* "<ms>-<seq>", decimal. */
static bool parse_place(const char *text, struct event_id *id) {
    const char *dash = strchr(text, '-');
    return dash != NULL && parse_number(text, &id->ms) && parse_number(dash + 1, &id->seq);
}

static void add_note(struct domain_clock *c, const char *field, const char *value) {
    struct event_id note = {.epoch = 0};
    if (!parse_number(field + strlen("from:"), &note.epoch) || !parse_place(value, &note))
        return;
    c->notes = mem_realloc(c->notes, (c->notes_len + 1) * sizeof(*c->notes));
    c->notes[c->notes_len++] = note;
}

static void take_field(struct domain_clock *c, const char *field, const char *value) {
    if (strcmp(field, "birth") == 0 && strlen(value) <= ID_BIRTH_MAX_BYTES)
        strcpy(c->position.birth, value);
    else if (strcmp(field, "epoch") == 0)
        parse_number(value, &c->position.epoch);
    else if (strcmp(field, "ms") == 0)
        parse_number(value, &c->position.ms);
    else if (strcmp(field, "seq") == 0)
        parse_number(value, &c->position.seq);
    else if (strcmp(field, "memory") == 0)
        parse_number(value, &c->memory_ms);
    else if (strcmp(field, "noted") == 0)
        parse_number(value, &c->noted);
    else if (strcmp(field, "evicted") == 0)
        parse_place(value, &c->evicted);
    else if (strncmp(field, "from:", 5) == 0)
        add_note(c, field, value);
}

static bool same_clock(const struct domain_clock *a, const struct domain_clock *b) {
    return a->exists == b->exists && strcmp(a->position.birth, b->position.birth) == 0 &&
           a->position.epoch == b->position.epoch;
}

void clock_reader_advance(struct bus_domain *d, const struct event_id *id) {
    domain_clock_advance(&d->clock, id);
    d->callbacks->position_moved(d, id);
}

/* A position that was read, until the subscription connection has come as far. */
struct ahead {
    struct bus_domain *domain;
    struct event_id position;
};

static void on_barrier(void *arg, int status, const struct redisReply *reply) {
    struct ahead *ahead = arg;
    struct bus_domain *d = ahead->domain;
    const struct domain_clock *c = &d->clock;
    (void)reply;
    if (status != RELAY_OK) {
        d->reads.sent--; /* its return reads anew */
    } else {
        d->reads.done++;
        if (c->known && c->position.epoch == ahead->position.epoch &&
            strcmp(c->position.birth, ahead->position.birth) == 0) {
            clock_reader_advance(d, &ahead->position);
            d->callbacks->position_settled(d);
        }
    }
    d->bus->replays_due = true;
    free(ahead);
}

static void advance_later(struct bus_domain *d, const struct event_id *position) {
    struct ahead *ahead = mem_zalloc(sizeof(*ahead));
    *ahead = (struct ahead){.domain = d, .position = *position};
    if (node_barrier(d->node, on_barrier, ahead) != RELAY_OK)
        on_barrier(ahead, RELAY_ECONN, NULL);
}

/* ---- keys that went before their time ---- */

/* `<run_id> <count>` */
static void take_evictions(struct bus_domain *d, const char *value) {
    struct evictions *e = &d->evictions;
    size_t len = strcspn(value, " ");
    if (len >= sizeof(e->noted_run_id) || value[len] == '\0')
        return;
    snprintf(e->noted_run_id, sizeof(e->noted_run_id), "%.*s", (int)len, value);
    parse_number(value + len + 1, &e->noted_count);
}

static bool is_unnoted(const struct evictions *e) {
    bool is_same = strcmp(e->run_id, e->noted_run_id) == 0;
    return e->run_id[0] != '\0' && e->count > (is_same ? e->noted_count : 0);
}

static void write_note(struct bus_domain *d, const struct domain_clock *c) {
    struct buf key = BUF_INIT;
    char place[48], count[REDIS_INFO_VALUE_MAX + 24];
    const struct evictions *e = &d->evictions;
    names_clock(&key, d->bus->options.prefix, d->tag);
    snprintf(place, sizeof(place), "%" PRIu64 "-%" PRIu64, c->evicted.ms, c->evicted.seq);
    snprintf(count, sizeof(count), "%s %" PRIu64, e->run_id, e->count);
    const char *argv[] = {"HSET", key.data, "evicted", place, "evictions", count};
    const size_t argv_len[] = {4, key.len, 7, strlen(place), 9, strlen(count)};
    redis_client_command(&d->node->reader, 6, argv, argv_len, NULL, NULL);
    buf_fini(&key);
}

static const char *value_of(const redisReply *hash, const char *field) {
    for (size_t i = 0; i + 1 < hash->elements; i += 2)
        if (hash->element[i]->type == REDIS_REPLY_STRING &&
            hash->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(hash->element[i]->str, field) == 0)
            return hash->element[i + 1]->str;
    return NULL;
}

/* Whether the server is the one that the clock was written on last. Another has taken over where it
 * is not: what is gone is gone with the old one, and the next epoch tells. */
static bool is_same_server(const struct bus_domain *d, const redisReply *reply) {
    const char *run_id = d->node->server.info.run_id; /* asked for before, on this connection */
    const char *wrote = value_of(reply, "run");
    return run_id[0] == '\0' || wrote == NULL || strcmp(wrote, run_id) == 0;
}

/* @c was read just now, so its position covers all that was stored before the keys went. Where it
 * is another one than before, the keys were of that. */
static void note_evictions(struct bus_domain *d, struct domain_clock *c, const redisReply *reply) {
    struct evictions *e = &d->evictions;
    e->due = e->due && same_clock(&d->clock, c) && is_same_server(d, reply);
    if (!c->exists || !(e->due || is_unnoted(e)))
        return;
    e->due = false;
    c->evicted = (struct event_id){.ms = c->position.ms, .seq = c->position.seq};
    write_note(d, c);
    snprintf(e->noted_run_id, sizeof(e->noted_run_id), "%s", e->run_id);
    e->noted_count = e->count;
    metric_add(&d->bus->metrics->evictions_noted, 1);
    uint64_t suppressed;
    if (log_limit_pass(&d->evictions_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn("keys in Redis are gone before their time: evicted, or removed by hand. Clients "
                 "that return to topics of which nothing is left are told by a reset; set "
                 "maxmemory-policy noeviction",
                 "evicted_keys=%llu suppressed=%llu", (unsigned long long)e->count,
                 (unsigned long long)suppressed);
}

void clock_reader_evicted(struct bus_domain *d, const char *run_id, uint64_t count) {
    struct evictions *e = &d->evictions;
    snprintf(e->run_id, sizeof(e->run_id), "%s", run_id);
    e->count = count;
    if (d->clock.known && d->clock.exists && is_unnoted(e))
        clock_reader_want(d);
}

void clock_reader_vanished(struct bus_domain *d) {
    d->evictions.due = true;
    clock_reader_want(d);
}

/* ---- reading ---- */

static void parse(struct bus_domain *d, const redisReply *reply, struct domain_clock *out) {
    *out = (struct domain_clock){.known = true, .memory_ms = d->bus->options.memory_ms};
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        if (reply->element[i]->type == REDIS_REPLY_STRING &&
            reply->element[i + 1]->type == REDIS_REPLY_STRING)
            take_field(out, reply->element[i]->str, reply->element[i + 1]->str);
    const char *evictions = value_of(reply, "evictions");
    if (evictions != NULL)
        take_evictions(d, evictions);
    out->exists = out->position.birth[0] != '\0';
    note_evictions(d, out, reply);
    out->ahead_ms = same_clock(&d->clock, out) ? d->clock.ahead_ms : 0;
    domain_clock_learn_ahead(out, out->position.ms, clock_wall_ms());
}

/* Each epoch is a restart of Redis, or a publisher that passes a run_id of its own and may not ask
 * (+info); many of them cost every node a new read of everything. */
static void watch_epochs(struct bus_domain *d, const struct domain_clock *c) {
    size_t lately = 0;
    uint64_t suppressed;
    for (size_t i = 0; i < c->notes_len; i++)
        lately += c->notes[i].epoch > 1 && c->notes[i].epoch <= c->position.epoch &&
                  c->position.epoch - c->notes[i].epoch < EPOCHS_WITHIN_S;
    if (lately >= EPOCHS_MANY &&
        log_limit_pass(&d->epochs_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn("many epochs within an hour: Redis starts again and again, or publishers that may "
                 "not ask it who it is (+info) pass an old run_id; see its log, and sse-publish "
                 "doctor",
                 "epochs=%zu", lately);
}

/* While topics are synced, the position may not pass what is still on its way on the subscription
 * connection (see read_barrier() in topic_sync.c). */
static void take_clock(struct bus_domain *d, const redisReply *reply) {
    struct domain_clock fresh;
    parse(d, reply, &fresh);
    bool known = d->clock.known, changed = known && !same_clock(&d->clock, &fresh);
    if (changed)
        watch_epochs(d, &fresh);
    if (!known || changed)
        d->callbacks->clock_changes(d);
    if (known && !changed) {
        advance_later(d, &fresh.position);
        fresh.position = d->clock.position;
    } else {
        d->reads.done++;
    }
    domain_clock_fini(&d->clock);
    d->clock = fresh;
    d->callbacks->clock_known(d, changed);
}

/* ---- a clock that cannot be read ---- */

static enum bus_unfit unfit_of(const char *why) {
    if (strncmp(why, "NOPERM", 6) == 0)
        return strstr(why, "access") != NULL ? BUS_UNFIT_CLOCK_KEY : BUS_UNFIT_CLOCK_COMMAND;
    if (strncmp(why, "WRONGTYPE", 9) == 0)
        return BUS_UNFIT_CLOCK_TYPE;
    if (strncmp(why, "MOVED ", 6) == 0)
        return BUS_UNFIT_CLOCK_MOVED;
    if (strncmp(why, "CLUSTERDOWN ", 12) == 0)
        return BUS_UNFIT_CLOCK_NO_SLOT;
    return BUS_UNFIT_CLOCK_OTHER;
}

/* Nothing durable can be told to anybody, so the node is not ready; live events go on. It is read
 * again each second (topic_sync_watch()). */
static void refused(struct bus_domain *d, enum bus_unfit unfit, const char *why) {
    metric *why_not = &d->bus->metrics->clock_unfit;
    bool is_new = metric_get(why_not) != unfit;
    uint64_t suppressed;
    d->reads.refused = true; /* what is known of it stays: topics that are synced by it are */
    metric_set(why_not, unfit);
    if (!log_limit_pass(&d->clock_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed) && !is_new)
        return;
    struct buf key = BUF_INIT;
    names_clock(&key, d->bus->options.prefix, d->tag);
    log_error(unfit == BUS_UNFIT_CLOCK_FIELD
                  ? "the clock holds what no publish script wrote, so no stream becomes live; the "
                    "node is not ready"
                  : "Redis refuses to read the clock, so no stream becomes live; the node is not "
                    "ready",
              "key=%s why=%s advice=%s", key.data, why, bus_unfit_text(unfit));
    buf_fini(&key);
}

static bool consists_of(const char *text, const char *letters) {
    size_t len = strlen(text);
    return len > 0 && len <= ID_BIRTH_MAX_BYTES && strspn(text, letters) == len;
}

/* The field for which no id can be made of this clock: no publish works, and a node that went by it
 * would wait for ever, or take all cursors for those of another birth. NULL: none. A hash without a
 * birth is no clock yet. */
static const char *wrong_field(const redisReply *hash) {
    static const char *const numbers[] = {"epoch", "ms", "seq", "memory"};
    const char *birth = value_of(hash, "birth");
    if (birth == NULL)
        return NULL;
    if (!consists_of(birth, "0123456789abcdefghijklmnopqrstuvwxyz"))
        return "birth";
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const char *value = value_of(hash, numbers[i]);
        if (value == NULL || !consists_of(value, "0123456789"))
            return numbers[i];
    }
    return NULL;
}

static bool is_refused(struct bus_domain *d, int status, const redisReply *reply) {
    const char *field = NULL;
    if (status == RELAY_EREMOTE) {
        refused(d, unfit_of(reply->str), reply->str);
    } else if (status == RELAY_OK && reply->type == REDIS_REPLY_ARRAY) {
        field = wrong_field(reply);
        if (field != NULL) {
            char why[32];
            snprintf(why, sizeof(why), "the field %s", field);
            refused(d, BUS_UNFIT_CLOCK_FIELD, why);
        }
    }
    return status == RELAY_EREMOTE || field != NULL;
}

static void on_clock(void *arg, int status, const struct redisReply *reply) {
    struct bus_domain *d = arg;
    bool is_none = !d->bus->stopping && is_refused(d, status, reply);
    if (is_none || status != RELAY_OK || reply->type != REDIS_REPLY_ARRAY || d->bus->stopping) {
        d->reads.sent--;
        return; /* the connection's return asks again */
    }
    d->reads.refused = false;
    metric_set(&d->bus->metrics->clock_unfit, BUS_FIT);
    take_clock(d, reply);
    d->bus->replays_due = true;
}

void clock_reader_read(struct bus_domain *d) {
    struct buf key = BUF_INIT;
    names_clock(&key, d->bus->options.prefix, d->tag);
    const char *argv[] = {"HGETALL", key.data};
    const size_t argv_len[] = {7, key.len};
    if (redis_client_command(&d->node->reader, 2, argv, argv_len, on_clock, d) == RELAY_OK) {
        d->reads.sent++;
        d->callbacks->clock_asked(d);
    }
    buf_fini(&key);
}

void clock_reader_want(struct bus_domain *d) {
    if (!d->reads.asked)
        clock_reader_read(d);
    d->reads.asked = true;
}

void clock_reader_turn(struct bus_domain *d) {
    d->reads.asked = false;
}

void clock_reader_forget(struct bus_domain *d) {
    d->clock.known = false;
}

void clock_reader_compare(struct bus_domain *d, const struct event_id *position) {
    const struct domain_clock *c = &d->clock;
    if (!c->known || !c->exists || strcmp(c->position.birth, position->birth) != 0 ||
        c->position.epoch != position->epoch)
        clock_reader_read(d);
}
