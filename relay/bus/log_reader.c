/* Entries of a topic's log: stream entries `ms-seq` with the fields e (the JSON), p (prev) and g
 * (epoch). */
#include "relay/bus/log_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/bus/core_state.h"
#include "relay/bus/unreadable.h"
#include "relay/redis/parser.h"
#include "relay/wire/names.h"

/* XRANGE takes a number of entries, and a reply is bounded in bytes: how many entries fit is
 * learned of each log from what it gave last, and from the largest that is known. */
enum {
    ENTRIES_FIRST = 100,
    FEW_ENTRIES = 6,
    LATELY_ENTRIES = 1000,
    LATEST_FIRST = 64 * 1024,       /* bytes of an event, where none is known */
    REPLY_BYTES = 1024 * 1024,      /* of their JSON, about */
    WORST_BYTES = 16 * 1024 * 1024, /* where each were as large as the largest */
    ENTRY_BYTES = 64,               /* of the rest of one, about */
    REFUSED_MS = 1000               /* Redis refused to read a log: when it is asked again */
};

static bool parse_decimal(const char *text, size_t len, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return len > 0 && len <= 19;
}

static bool parse_place(const redisReply *r, struct event_id *id) {
    const char *dash = r->type == REDIS_REPLY_STRING ? memchr(r->str, '-', r->len) : NULL;
    return dash != NULL && parse_decimal(r->str, (size_t)(dash - r->str), &id->ms) &&
           parse_decimal(dash + 1, r->len - (size_t)(dash + 1 - r->str), &id->seq);
}

static bool parse_prev(const struct domain_clock *d, const redisReply *value,
                       struct event_id *prev) {
    *prev = domain_clock_zero(d);
    if (value->len == 1 && value->str[0] == '0')
        return true;
    if (id_parse(value->str, value->len, prev) != 0)
        return false;
    if (strcmp(prev->birth, d->position.birth) !=
        0) /* of a clock before this one: the first of ours */
        *prev = domain_clock_zero(d);
    return true;
}

bool log_entry_parse(const struct domain_clock *d, const redisReply *reply, struct log_entry *out) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    bool has_json = false, has_prev = false, has_epoch = false;
    const redisReply *fields = reply->element[1];
    out->id = domain_clock_zero(d);
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const redisReply *name = fields->element[i], *value = fields->element[i + 1];
        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING || name->len != 1)
            continue;
        if (name->str[0] == 'e') {
            out->json = value->str;
            out->json_len = value->len;
            has_json = true;
        } else if (name->str[0] == 'p') {
            has_prev = parse_prev(d, value, &out->prev);
        } else if (name->str[0] == 'g') {
            has_epoch = parse_decimal(value->str, value->len, &out->id.epoch);
        }
    }
    return has_json && has_prev && has_epoch && parse_place(reply->element[0], &out->id) &&
           domain_clock_bore(d, &out->id);
}

bool log_entry_place(const redisReply *reply, struct event_id *out) {
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           parse_place(reply->element[0], out);
}

bool log_entry_known(const struct domain_clock *d, const redisReply *reply, struct log_entry *out) {
    return log_entry_parse(d, reply, out) && out->id.epoch <= d->position.epoch;
}

bool log_entry_is_older(const struct domain_clock *d, const redisReply *reply) {
    struct event_id place = domain_clock_zero(d);
    return log_entry_place(reply, &place) && !domain_clock_bore(d, &place);
}

void log_entry_message(const struct log_entry *e, struct buf *out) {
    buf_reset(out);
    buf_puts(out, "sse1 ");
    id_format(out, &e->id);
    buf_putc(out, ' ');
    if (e->prev.ms == 0)
        buf_putc(out, '0');
    else
        id_format(out, &e->prev);
    buf_putc(out, ' ');
    buf_append(out, e->json, e->json_len);
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Where the latest were small, the others may not be: by both, but not fewer than FEW_ENTRIES for
 * the sake of a large one that came once. */
size_t log_count_of(const struct bus_topic *t, size_t most, size_t bytes) {
    const struct topic_keys *k = &t->keys;
    size_t latest = bytes / (k->log_latest > 0 ? k->log_latest : LATEST_FIRST) + 1;
    size_t lately = k->log_entries > 0 ? bytes / (k->log_bytes / k->log_entries) + 1 : latest;
    size_t bound = k->log_bound > 0 ? k->log_bound : ENTRIES_FIRST;
    size_t worst = k->log_largest > 0 ? WORST_BYTES / k->log_largest + 1 : most;
    if (lately < FEW_ENTRIES)
        lately = FEW_ENTRIES;
    most = least(most, least(bound, worst));
    return least(most, least(latest, lately));
}

size_t log_count(const struct bus_topic *t, size_t most) {
    return log_count_of(t, most, REPLY_BYTES);
}

void log_note_size(struct bus_topic *t, size_t bytes) {
    if (bytes > t->keys.log_largest)
        t->keys.log_largest = bytes;
}

static size_t json_bytes(const redisReply *entry) {
    size_t bytes = 0;
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[1]->type != REDIS_REPLY_ARRAY)
        return 0;
    for (size_t i = 1; i < entry->element[1]->elements; i += 2)
        bytes += entry->element[1]->element[i]->len;
    return bytes;
}

static void learn(struct bus_topic *t, const redisReply *reply) {
    size_t bytes = reply->elements * ENTRY_BYTES;
    for (size_t i = 0; i < reply->elements; i++) {
        size_t json = json_bytes(reply->element[i]);
        log_note_size(t, json);
        bytes += json;
    }
    size_t grown = 4 * reply->elements; /* a few small ones say little of the others */
    size_t bound = t->keys.log_bound > 0 ? t->keys.log_bound : ENTRIES_FIRST;
    t->keys.log_bound = grown > bound ? grown : bound;
    t->keys.log_latest = bytes / reply->elements;
    t->keys.log_bytes += bytes;
    t->keys.log_entries += reply->elements;
    if (t->keys.log_entries >= LATELY_ENTRIES) { /* what is long ago counts for less and less */
        t->keys.log_bytes /= 2;
        t->keys.log_entries /= 2;
    }
}

void log_answered(struct bus_topic *t, int status, const redisReply *reply, size_t count) {
    unreadable_answered(t, TOPIC_KEY_LOG, status, reply);
    if (status == RELAY_EREMOTE)
        t->keys.log_refused_ms = clock_mono_ms();
    else if (status == RELAY_EOVERFLOW) /* this one was too large, or one before it */
        log_note_size(t, REDIS_PARSER_LIMIT_BYTES / count);
    else if (reply == NULL) /* it took too long, perhaps */
        t->keys.log_bound = count / 10 + 1;
    else if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0)
        learn(t, reply);
}

int log_read(const struct bus_topic *t, const struct log_range *range, size_t count,
             redis_reply_cb cb, void *arg) {
    if (t->keys.log_refused_ms != 0 && clock_mono_ms() - t->keys.log_refused_ms < REFUSED_MS)
        return RELAY_EAGAIN;
    char low[48] = "-", high[48] = "+", number[24];
    struct buf key = BUF_INIT;
    if (range->from != NULL)
        snprintf(low, sizeof(low), "(%" PRIu64 "-%" PRIu64, range->from->ms, range->from->seq);
    if (range->to != NULL)
        snprintf(high, sizeof(high), "%" PRIu64 "-%" PRIu64, range->to->ms, range->to->seq);
    snprintf(number, sizeof(number), "%zu", count);
    names_log(&key, t->domain->bus->options.prefix, t->domain->tag, t->name, t->name_len);
    const char *argv[] = {range->backwards ? "XREVRANGE" : "XRANGE",
                          key.data,
                          range->backwards ? high : low,
                          range->backwards ? low : high,
                          "COUNT",
                          number};
    const size_t argv_len[] = {strlen(argv[0]), key.len, strlen(argv[2]),
                               strlen(argv[3]), 5,       strlen(number)};
    int rc = redis_client_command(&t->domain->node->reader, 6, argv, argv_len, cb, arg);
    buf_fini(&key);
    return rc;
}
