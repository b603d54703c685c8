/* Parcels that arrive at a node become replies of hiredis, for as long as a callback runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/wire/count.h"
#include "tests/simulation/world.h"

static redisReply text_reply(int type, const char *text, size_t len) {
    return (redisReply){.type = type, .str = (char *)(uintptr_t)text, .len = len};
}

static redisReply string_reply(const char *text) {
    return text_reply(REDIS_REPLY_STRING, text, strlen(text));
}

/* ---- pushes ---- */

static redisReply channel_reply(const struct link *l, unsigned channel) {
    static char text[64];
    if (channel == PROBE_CHANNEL)
        snprintf(text, sizeof(text), "sse:relay.%s", l->node->name);
    else if (channel == COUNT_CHANNEL_NUMBER)
        snprintf(text, sizeof(text), "sse:relay.%s", COUNT_CHANNEL);
    else
        memcpy(text, (char[]){'s', 's', 'e', ':', (char)('a' + channel), '\0'}, 6);
    return string_reply(text);
}

static void push(struct link *l, redisReply kind, unsigned channel, redisReply last) {
    redisReply name = channel_reply(l, channel);
    redisReply *elements[] = {&kind, &name, &last};
    redisReply array = {.type = REDIS_REPLY_ARRAY, .elements = 3, .element = elements};
    l->client->callbacks.on_push(l->client->arg, &array);
}

static void push_message(struct link *l, const struct parcel *p) {
    struct world *w = l->node->world;
    const struct sim_event *e = p->event != NO_EVENT ? &w->events[p->event] : NULL;
    TRACE(w, "node %u: message on %c: %.*s", l->node->index, 'a' + p->topic,
          e != NULL ? (int)e->id_len : (int)p->bytes_len, e != NULL ? e->id_text : p->bytes);
    if (p->topic == PROBE_CHANNEL && strtoull(p->bytes, NULL, 10) == l->node->probe_nonce)
        l->node->probe_sent_us = 0; /* it came back */
    push(l, text_reply(REDIS_REPLY_STRING, "message", 7), p->topic,
         text_reply(REDIS_REPLY_STRING, e != NULL ? e->message : p->bytes,
                    e != NULL ? e->message_len : p->bytes_len));
}

static void push_confirm(struct link *l, const struct parcel *p) {
    l->node->probe_confirmed = l->node->probe_confirmed || p->topic == PROBE_CHANNEL;
    push(l, string_reply(p->unsubscribes ? "unsubscribe" : "subscribe"), p->topic,
         (redisReply){.type = REDIS_REPLY_INTEGER, .integer = (long long)p->number});
    if (p->answers && p->cb != NULL)
        p->cb(p->arg, RELAY_OK, NULL);
}

/* ---- answers ---- */

static void answer(const struct parcel *p, const redisReply *reply) {
    if (p->cb != NULL)
        p->cb(p->arg, reply->type == REDIS_REPLY_ERROR ? RELAY_EREMOTE : RELAY_OK, reply);
}

static void answer_text(const struct parcel *p, int type, const char *text) {
    redisReply reply = text_reply(type, text, strlen(text));
    answer(p, &reply);
}

static void answer_clock(const struct parcel *p) {
    enum { FIXED = 6, FIELDS = 2 * (FIXED + NOTES_MAX) };
    static char texts[FIELDS][48];
    static redisReply replies[FIELDS];
    static redisReply *elements[FIELDS];
    const struct clock_state *c = p->clock;
    int n = 0;
    if (c->exists) {
        const char *const names[FIXED] = {"birth", "epoch", "run", "ms", "seq", "memory"};
        for (int i = 0; i < FIXED; i++)
            snprintf(texts[2 * i], sizeof(texts[0]), "%s", names[i]);
        snprintf(texts[1], sizeof(texts[0]), "%s", c->birth);
        snprintf(texts[3], sizeof(texts[0]), "%llu", (unsigned long long)c->epoch);
        snprintf(texts[5], sizeof(texts[0]), "run%05u", c->run);
        snprintf(texts[7], sizeof(texts[0]), "%llu", (unsigned long long)c->ms);
        snprintf(texts[9], sizeof(texts[0]), "%llu", (unsigned long long)c->seq);
        snprintf(texts[11], sizeof(texts[0]), "%llu", (unsigned long long)c->memory_ms);
        n = 2 * FIXED;
        for (unsigned i = 0; i < c->notes_len; i++, n += 2) {
            const struct note *note = &c->notes[i];
            snprintf(texts[n], sizeof(texts[0]), "from:%llu", (unsigned long long)note->epoch);
            snprintf(texts[n + 1], sizeof(texts[0]), "%llu-%llu",
                     (unsigned long long)note->place.ms, (unsigned long long)note->place.seq);
        }
    }
    for (int i = 0; i < n; i++) {
        replies[i] = string_reply(texts[i]);
        elements[i] = &replies[i];
    }
    redisReply array = {.type = REDIS_REPLY_ARRAY, .elements = (size_t)n, .element = elements};
    answer(p, &array);
}

static void answer_log(struct world *w, const struct parcel *p) {
    static redisReply *elements[EVENTS_MAX];
    for (unsigned i = 0; i < p->entries_len; i++)
        elements[i] = (redisReply *)(uintptr_t)event_entry(w, p->entries[i]);
    redisReply array = {.type = REDIS_REPLY_ARRAY, .elements = p->entries_len, .element = elements};
    answer(p, &array);
}

static void answer_script(struct world *w, const struct parcel *p) {
    char text[TOPICS_MAX * 4 * TEXT_MAX];
    const struct published *out = p->published;
    size_t len = (size_t)snprintf(text, sizeof(text), "%d 0", out->announced);
    for (unsigned i = 0; i < out->count; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, " %s",
                                w->events[out->events[i]].id_text);
    if (out->count == 0) {
        text[len++] = ' ';
        put_id(text + len, &out->position);
    }
    answer_text(p, REDIS_REPLY_STRING, text);
}

static void answer_time(const struct world *w, const struct parcel *p) {
    char seconds[24], micros[24];
    snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)(server_ms(w) / 1000));
    snprintf(micros, sizeof(micros), "%llu",
             (unsigned long long)(server_ms(w) % 1000 * 1000 + w->scheduler.now_us % 1000));
    redisReply first = string_reply(seconds), second = string_reply(micros);
    redisReply *elements[] = {&first, &second};
    answer(p, &(redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2, .element = elements});
}

static void answer_info(const struct parcel *p) {
    char text[256];
    snprintf(text, sizeof(text),
             "# Server\r\nredis_version:7.2.4\r\nredis_mode:standalone\r\nrun_id:run%05llu\r\n"
             "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n# "
             "Stats\r\nevicted_keys:0\r\n# Replication\r\n"
             "role:%s\r\n",
             (unsigned long long)p->number, p->backwards ? "slave" : "master");
    answer_text(p, REDIS_REPLY_STRING, text);
}

static void refuse(struct link *l, const struct parcel *p) {
    if (p->kind == PARCEL_SUBSCRIBE && p->cb == NULL) {
        link_fail(l, RELAY_EREMOTE, p->error);
        return;
    }
    answer_text(p, REDIS_REPLY_ERROR, p->error);
}

void link_deliver(struct link *l, struct parcel *p) {
    struct world *w = l->node->world;
    if (p->error != NULL) {
        l->node->saw_replica = l->node->saw_replica || strncmp(p->error, "READONLY", 8) == 0;
        refuse(l, p);
        return;
    }
    switch (p->kind) {
    case PARCEL_MESSAGE:
        push_message(l, p);
        break;
    case PARCEL_CONFIRM:
        push_confirm(l, p);
        break;
    case PARCEL_CLOCK:
        answer_clock(p);
        break;
    case PARCEL_LAST:
        if (p->event == NO_EVENT)
            answer(p, &(redisReply){.type = REDIS_REPLY_NIL});
        else
            answer_text(p, REDIS_REPLY_STRING, w->events[p->event].id_text);
        break;
    case PARCEL_LOG:
        TRACE(w, "node %u: answer to %s of %c, %u entries", l->node->index,
              p->backwards ? "XREVRANGE" : "XRANGE", 'a' + p->topic, p->entries_len);
        answer_log(w, p);
        break;
    case PARCEL_SCRIPT:
        answer_script(w, p);
        break;
    case PARCEL_INFO:
        answer_info(p);
        if (l->role == LINK_PUBLISHER && p->count > 0) /* it asked for that */
            l->node->saw_replica = p->backwards;
        break;
    case PARCEL_TIME:
        answer_time(w, p);
        break;
    case PARCEL_LOAD:
        answer_text(p, REDIS_REPLY_STRING, "0123456789abcdef0123456789abcdef01234567");
        break;
    case PARCEL_PUBLISH:
        answer(p, &(redisReply){.type = REDIS_REPLY_INTEGER, .integer = (long long)p->number});
        break;
    default:
        answer_text(p, REDIS_REPLY_STATUS, "PONG");
        break;
    }
}
