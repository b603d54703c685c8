/* Reading the domain's clock: birth, epoch, position, and where epochs began. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/internal.h"
#include "relay/wire/names.h"

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

static void add_note(struct domain *d, const char *field, const char *value) {
    struct event_id note = {.epoch = 0};
    if (!parse_number(field + strlen("from:"), &note.epoch) || !parse_place(value, &note))
        return;
    d->notes = mem_realloc(d->notes, (d->notes_len + 1) * sizeof(*d->notes));
    d->notes[d->notes_len++] = note;
}

static void take_field(struct domain *d, const char *field, const char *value) {
    if (strcmp(field, "birth") == 0 && strlen(value) <= ID_BIRTH_MAX_BYTES)
        strcpy(d->position.birth, value);
    else if (strcmp(field, "epoch") == 0)
        parse_number(value, &d->position.epoch);
    else if (strcmp(field, "ms") == 0)
        parse_number(value, &d->position.ms);
    else if (strcmp(field, "seq") == 0)
        parse_number(value, &d->position.seq);
    else if (strcmp(field, "memory") == 0)
        parse_number(value, &d->memory_ms);
    else if (strncmp(field, "from:", 5) == 0)
        add_note(d, field, value);
}

static bool same_clock(const struct domain *a, const struct domain *b) {
    return a->exists == b->exists && strcmp(a->position.birth, b->position.birth) == 0 &&
           a->position.epoch == b->position.epoch;
}

void clock_advance(struct bus *bus, const struct event_id *id) {
    domain_advance(&bus->domain, id);
    doubt_position(bus, id);
}

/* A position that was read, until the subscription connection has come as far. */
struct ahead {
    struct bus *bus;
    struct event_id position;
};

static void on_settled(void *arg, int status, const struct redisReply *reply) {
    struct ahead *ahead = arg;
    struct domain *d = &ahead->bus->domain;
    (void)reply;
    if (status != RELAY_OK) {
        d->reads_sent--; /* its return reads anew */
    } else {
        d->reads_done++;
        if (d->known && d->position.epoch == ahead->position.epoch &&
            strcmp(d->position.birth, ahead->position.birth) == 0) {
            clock_advance(ahead->bus, &ahead->position);
            doubt_answered(ahead->bus);
        }
    }
    ahead->bus->replays_due = true;
    free(ahead);
}

static void advance_later(struct bus *bus, const struct event_id *position) {
    struct ahead *ahead = mem_zalloc(sizeof(*ahead));
    *ahead = (struct ahead){.bus = bus, .position = *position};
    if (bus_settle(bus, on_settled, ahead) != RELAY_OK)
        on_settled(ahead, RELAY_ECONN, NULL);
}

/* While topics are synced, the position may not pass what is still on its way on the subscription
 * connection (see settle() in history.c). */
static void take_clock(struct bus *bus, const redisReply *reply) {
    struct domain *d = &bus->domain,
                  fresh = {.reads_sent = d->reads_sent, .reads_done = d->reads_done};
    fresh.memory_ms = bus->options.memory_ms;
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        if (reply->element[i]->type == REDIS_REPLY_STRING &&
            reply->element[i + 1]->type == REDIS_REPLY_STRING)
            take_field(&fresh, reply->element[i]->str, reply->element[i + 1]->str);
    fresh.exists = fresh.position.birth[0] != '\0';
    bool known = d->known, changed = known && !same_clock(d, &fresh);
    fresh.known = true;
    fresh.ahead_ms = same_clock(d, &fresh) ? d->ahead_ms : 0;
    domain_learn_ahead(&fresh, fresh.position.ms, clock_wall_ms());
    if (!known || changed)
        replay_restart(bus);
    if (known && !changed) {
        advance_later(bus, &fresh.position);
        fresh.reads_sent = d->reads_sent;
        fresh.position = d->position;
    } else {
        fresh.reads_done++;
    }
    domain_fini(d);
    *d = fresh;
    if (changed)
        history_restart(bus);
}

static void on_clock(void *arg, int status, const struct redisReply *reply) {
    struct bus *bus = arg;
    if (status != RELAY_OK || reply->type != REDIS_REPLY_ARRAY || bus->stopping) {
        bus->domain.reads_sent--;
        return; /* the connection's return asks again */
    }
    take_clock(bus, reply);
    history_resume(bus);
    bus->replays_due = true;
}

void clock_read(struct bus *bus) {
    struct buf key = BUF_INIT;
    names_clock(&key, bus->options.prefix, BUS_TAG);
    const char *argv[] = {"HGETALL", key.data};
    const size_t argv_len[] = {7, key.len};
    if (redis_client_command(&bus->reader, 2, argv, argv_len, on_clock, bus) == RELAY_OK) {
        bus->domain.reads_sent++;
        doubt_asked(bus);
    }
    buf_fini(&key);
}
