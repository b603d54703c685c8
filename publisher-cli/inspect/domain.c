/* A domain's clock and logs, read; see domain.h. */
#include "publisher-cli/inspect/domain.h"

#include <string.h>

#include "relay/base/err.h"
#include "relay/redis/reply.h"

enum { DECIMAL_MAX_DIGITS = 19, HOUR_S = 3600 };

bool decimal_read(const char *text, size_t len, uint64_t *out) {
    uint64_t value = 0;
    if (len == 0 || len > DECIMAL_MAX_DIGITS)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *out = value;
    return true;
}

bool place_read(const char *text, size_t len, struct place *out) {
    struct place place;
    const char *dash = len > 0 ? memchr(text, '-', len) : NULL;
    if (dash == NULL || !decimal_read(text, (size_t)(dash - text), &place.ms) ||
        !decimal_read(dash + 1, len - (size_t)(dash + 1 - text), &place.seq))
        return false;
    *out = place;
    return true;
}

static int compare(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

int place_compare(const struct place *a, const struct place *b) {
    int order = compare(a->ms, b->ms);
    return order != 0 ? order : compare(a->seq, b->seq);
}

static bool is_string(const struct redisReply *reply) {
    return reply->type == REDIS_REPLY_STRING;
}

uint64_t time_read(const struct redisReply *reply) {
    uint64_t seconds, micros;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_string(reply->element[0]) ||
        !is_string(reply->element[1]) ||
        !decimal_read(reply->element[0]->str, reply->element[0]->len, &seconds) ||
        !decimal_read(reply->element[1]->str, reply->element[1]->len, &micros) ||
        seconds > UINT64_MAX / 2000000 || micros > 999999)
        return 0;
    return seconds * 1000000 + micros;
}

/* ---- the clock ---- */

/* A birth is read as a whole id would be, so that it can stand in one. */
static bool read_birth(const char *text, size_t len, char *birth) {
    char id[ID_BIRTH_MAX_BYTES + 8];
    struct event_id read;
    if (len == 0 || len > ID_BIRTH_MAX_BYTES)
        return false;
    memcpy(id, text, len);
    memcpy(id + len, ".1.0-0", 6);
    if (id_parse(id, len + 6, &read) != RELAY_OK)
        return false;
    memcpy(birth, read.birth, sizeof(read.birth));
    return true;
}

/* False where the field breaks its rule. Fields that are not known are none of our business. */
static bool take_field(struct domain *d, const struct redisReply *name,
                       const struct redisReply *value) {
    const char *field = name->str;
    if (strcmp(field, "birth") == 0)
        return read_birth(value->str, value->len, d->now.birth);
    if (strcmp(field, "epoch") == 0)
        return decimal_read(value->str, value->len, &d->now.epoch);
    if (strcmp(field, "ms") == 0)
        return decimal_read(value->str, value->len, &d->now.ms);
    if (strcmp(field, "seq") == 0)
        return decimal_read(value->str, value->len, &d->now.seq);
    if (strcmp(field, "from:1") == 0)
        return place_read(value->str, value->len, &d->born);
    if (strcmp(field, "run") != 0)
        return true;
    if (value->len > DOMAIN_RUN_MAX_BYTES)
        return false;
    memcpy(d->run, value->str, value->len);
    return true;
}

/* An epoch's number is that of the seconds since the birth, plus one. */
static bool began_lately(const struct domain *d, const struct redisReply *name) {
    uint64_t number;
    return is_string(name) && strncmp(name->str, "from:", 5) == 0 &&
           decimal_read(name->str + 5, name->len - 5, &number) && number > 1 &&
           number <= d->now.epoch && d->now.epoch - number < HOUR_S;
}

void domain_read(struct domain *out, const struct redisReply *reply) {
    *out = (struct domain){.is_born = false};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
        return;
    out->is_born = true;
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const struct redisReply *name = reply->element[i], *value = reply->element[i + 1];
        if (!is_string(name) || !is_string(value) || !take_field(out, name, value))
            out->wrong = "holds a field that cannot be read";
    }
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        out->epochs_lately += began_lately(out, reply->element[i]);
    if (out->wrong == NULL && (out->now.birth[0] == '\0' || out->now.epoch == 0))
        out->wrong = "lacks its birth or its epoch";
}

/* ---- entries ---- */

static bool prev_is_good(const struct redisReply *value) {
    struct event_id id;
    return (value->len == 1 && value->str[0] == '0') ||
           id_parse(value->str, value->len, &id) == RELAY_OK;
}

/* Whether all that an event needs is there. */
static bool read_fields(const struct redisReply *fields, struct log_entry *out) {
    bool has_epoch = false;
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const struct redisReply *name = fields->element[i], *value = fields->element[i + 1];
        if (!is_string(name) || !is_string(value) || name->len != 1)
            continue;
        if (name->str[0] == 'e') {
            out->json = value->str;
            out->json_len = value->len;
        } else if (name->str[0] == 'p' && prev_is_good(value)) {
            out->prev = value->str;
            out->prev_len = value->len;
        } else if (name->str[0] == 'g') {
            has_epoch = decimal_read(value->str, value->len, &out->id.epoch);
        }
    }
    return out->json != NULL && out->prev != NULL && has_epoch;
}

enum log_entry_kind log_entry_read(const struct domain *d, const struct redisReply *reply,
                                   struct log_entry *out) {
    struct place place;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_string(reply->element[0]) ||
        !place_read(reply->element[0]->str, reply->element[0]->len, &place))
        return LOG_ENTRY_NONE;
    *out = (struct log_entry){.id = d->now};
    out->id.ms = place.ms;
    out->id.seq = place.seq;
    if (d->now.birth[0] == '\0' || place_compare(&place, &d->born) <= 0)
        return LOG_ENTRY_OLDER;
    if (reply->element[1]->type != REDIS_REPLY_ARRAY || !read_fields(reply->element[1], out))
        return LOG_ENTRY_BROKEN;
    return LOG_ENTRY_EVENT;
}
