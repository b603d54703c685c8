/* Entries of a topic's log: stream entries `ms-seq` with the fields e (the JSON), p (prev) and g
 * (epoch). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/bus/internal.h"
#include "relay/redis/parser.h"
#include "relay/wire/names.h"

/* XRANGE takes a number of entries, and a reply is bounded in bytes: how many entries fit is
 * learned of each log from what it gave last, and from the largest that is known. */
enum {
    ENTRIES_FIRST = 100,
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

static bool parse_prev(const struct domain *d, const redisReply *value, struct event_id *prev) {
    *prev = domain_zero(d);
    if (value->len == 1 && value->str[0] == '0')
        return true;
    if (id_parse(value->str, value->len, prev) != 0)
        return false;
    if (strcmp(prev->birth, d->position.birth) !=
        0) /* of a clock before this one: the first of ours */
        *prev = domain_zero(d);
    return true;
}

bool log_entry_parse(const struct domain *d, const redisReply *reply, struct log_entry *out) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    bool has_json = false, has_prev = false, has_epoch = false;
    const redisReply *fields = reply->element[1];
    out->id = domain_zero(d);
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
           domain_bore(d, &out->id);
}

bool log_entry_place(const redisReply *reply, struct event_id *out) {
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           parse_place(reply->element[0], out);
}

bool log_entry_known(const struct domain *d, const redisReply *reply, struct log_entry *out) {
    return log_entry_parse(d, reply, out) && out->id.epoch <= d->position.epoch;
}

bool log_entry_is_older(const struct domain *d, const redisReply *reply) {
    struct event_id place = domain_zero(d);
    return log_entry_place(reply, &place) && !domain_bore(d, &place);
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

size_t log_count(const struct bus_subscription *s, size_t most) {
    size_t count = s->log_entries > 0 ? s->log_entries : ENTRIES_FIRST;
    size_t worst = s->log_largest > 0 ? WORST_BYTES / s->log_largest + 1 : most;
    if (worst < most)
        most = worst;
    return count < most ? count : most;
}

void log_note_size(struct bus_subscription *s, size_t bytes) {
    if (bytes > s->log_largest)
        s->log_largest = bytes;
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

static void learn(struct bus_subscription *s, const redisReply *reply) {
    size_t bytes = reply->elements * ENTRY_BYTES;
    for (size_t i = 0; i < reply->elements; i++) {
        size_t json = json_bytes(reply->element[i]);
        log_note_size(s, json);
        bytes += json;
    }
    size_t fit = REPLY_BYTES / (bytes / reply->elements) + 1;
    size_t grown = 4 * reply->elements; /* a few small ones say little of the others */
    size_t most = log_count(s, SIZE_MAX);
    most = grown > most ? grown : most;
    s->log_entries = fit < most ? fit : most;
}

void log_answered(struct bus_subscription *s, int status, const redisReply *reply, size_t count) {
    unreadable_answered(s, TOPIC_KEY_LOG, status, reply);
    if (status == RELAY_EREMOTE)
        s->log_refused_ms = uv_now(&s->bus->loop);
    else if (status == RELAY_EOVERFLOW) /* this one was too large, or one before it */
        log_note_size(s, REDIS_PARSER_LIMIT_BYTES / count);
    else if (reply == NULL) /* it took too long, perhaps */
        s->log_entries = log_count(s, SIZE_MAX) / 10 + 1;
    else if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0)
        learn(s, reply);
}

int log_read(struct bus *bus, const struct bus_subscription *s, bool backwards,
             const struct event_id *from, const struct event_id *to, size_t count,
             redis_reply_cb cb, void *arg) {
    if (s->log_refused_ms != 0 && uv_now(&bus->loop) - s->log_refused_ms < REFUSED_MS)
        return RELAY_EAGAIN;
    char low[48] = "-", high[48] = "+", number[24];
    struct buf key = BUF_INIT;
    if (from != NULL)
        snprintf(low, sizeof(low), "(%" PRIu64 "-%" PRIu64, from->ms, from->seq);
    if (to != NULL)
        snprintf(high, sizeof(high), "%" PRIu64 "-%" PRIu64, to->ms, to->seq);
    snprintf(number, sizeof(number), "%zu", count);
    names_log(&key, bus->options.prefix, BUS_TAG, s->topic, s->topic_len);
    const char *argv[] = {backwards ? "XREVRANGE" : "XRANGE",
                          key.data,
                          backwards ? high : low,
                          backwards ? low : high,
                          "COUNT",
                          number};
    const size_t argv_len[] = {strlen(argv[0]), key.len, strlen(argv[2]),
                               strlen(argv[3]), 5,       strlen(number)};
    int rc = redis_client_command(&bus->reader, 6, argv, argv_len, cb, arg);
    buf_fini(&key);
    return rc;
}
