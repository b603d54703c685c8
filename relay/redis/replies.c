/* Replies to their commands, pushes to the subscriber; see replies.h. */
#include "relay/redis/replies.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/reply.h"

/* The commands whose confirmations are pushes. */
enum confirmation {
    SUBSCRIBE,
    UNSUBSCRIBE,
    PSUBSCRIBE,
    PUNSUBSCRIBE,
    SSUBSCRIBE,
    SUNSUBSCRIBE,
    CONFIRMATIONS /* how many; also: none of them */
};

static const char *const confirmation_names[CONFIRMATIONS] = {
    "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe",
};

struct redis_expectation {
    struct redis_expectation *next;
    redis_reply_cb cb; /* may be NULL where confirmations are expected */
    void *arg;
    size_t answers; /* that @cb is still to get */
    enum confirmation kind;
    size_t channels;      /* 0: commands with one reply each */
    size_t confirmations; /* how many are still to come */
};

void redis_replies_init(struct redis_replies *r, redis_push_cb on_push, void *arg) {
    *r = (struct redis_replies){.on_push = on_push, .arg = arg};
    redis_parser_init(&r->parser);
    r->tail = &r->head;
}

void redis_replies_fini(struct redis_replies *r) {
    assert(r->head == NULL);
    redis_parser_fini(&r->parser);
}

static struct redis_expectation *expect(struct redis_replies *r, size_t answers, redis_reply_cb cb,
                                        void *arg) {
    struct redis_expectation *e = mem_zalloc(sizeof(*e));
    e->cb = cb;
    e->arg = arg;
    e->answers = answers;
    *r->tail = e;
    r->tail = &e->next;
    r->pending += answers;
    return e;
}

void redis_replies_expect(struct redis_replies *r, size_t commands, redis_reply_cb cb, void *arg) {
    assert(commands > 0);
    expect(r, commands, cb, arg);
}

void redis_replies_expect_confirmations(struct redis_replies *r, const char *command,
                                        size_t channels, redis_reply_cb cb, void *arg) {
    int kind = 0;
    while (kind < CONFIRMATIONS && strcasecmp(command, confirmation_names[kind]) != 0)
        kind++;
    assert(kind < CONFIRMATIONS && channels > 0);
    struct redis_expectation *e = expect(r, 1, cb, arg);
    e->kind = (enum confirmation)kind;
    e->channels = e->confirmations = channels;
    r->uses_shards = r->uses_shards || e->kind == SSUBSCRIBE;
}

static int fail(struct redis_replies *r, int status, const char *why) {
    snprintf(r->why, sizeof(r->why), "%s", why);
    return status;
}

static bool is_string(const redisReply *reply, const char *text) {
    return reply->type == REDIS_REPLY_STRING && reply->len == strlen(text) &&
           memcmp(reply->str, text, reply->len) == 0;
}

/* An array whose first element is @name and which has @strings strings in all. */
static bool is_message(const redisReply *reply, const char *name, size_t strings) {
    if (reply->elements != strings || !is_string(reply->element[0], name))
        return false;
    for (size_t i = 1; i < strings; i++)
        if (reply->element[i]->type != REDIS_REPLY_STRING)
            return false;
    return true;
}

/* Which confirmation an array is, CONFIRMATIONS for none. */
static enum confirmation confirmation_of(const redisReply *reply) {
    int kind = 0;
    if (reply->elements != 3 || reply->element[1]->type != REDIS_REPLY_STRING ||
        reply->element[2]->type != REDIS_REPLY_INTEGER)
        return CONFIRMATIONS;
    while (kind < CONFIRMATIONS && !is_string(reply->element[0], confirmation_names[kind]))
        kind++;
    return (enum confirmation)kind;
}

static void push(struct redis_replies *r, const redisReply *reply) {
    if (r->on_push != NULL)
        r->on_push(r->arg, reply);
}

/* Give the oldest expectation an answer; with its last one it is out of the list. */
static void answer_head(struct redis_replies *r, int status, const redisReply *reply) {
    struct redis_expectation *e = r->head;
    redis_reply_cb cb = e->cb;
    void *arg = e->arg;
    r->pending--;
    if (--e->answers == 0) {
        r->head = e->next;
        if (r->head == NULL)
            r->tail = &r->head;
        free(e);
    }
    if (cb != NULL)
        cb(arg, status, reply);
}

static void confirm(struct redis_replies *r, enum confirmation kind, const redisReply *reply) {
    if (kind != SSUBSCRIBE && kind != SUNSUBSCRIBE)
        r->channels = reply->element[2]->integer;
    push(r, reply);
}

/* Push @reply where it is one. A subscribed connection gets messages at any time, and sunsubscribe
 * when a slot moves away; confirmations come in the order of their commands. */
static bool dispatch_push(struct redis_replies *r, const redisReply *reply) {
    const struct redis_expectation *head = r->head;
    if (reply->type != REDIS_REPLY_ARRAY)
        return false;
    if ((r->channels > 0 &&
         (is_message(reply, "message", 3) || is_message(reply, "pmessage", 4))) ||
        (r->uses_shards && is_message(reply, "smessage", 3))) {
        push(r, reply);
        return true;
    }
    enum confirmation kind = confirmation_of(reply);
    if (kind == CONFIRMATIONS)
        return false;
    if (head != NULL && head->confirmations > 0 && head->kind == kind) {
        bool last = --r->head->confirmations == 0;
        confirm(r, kind, reply);
        if (last && !r->stopped) /* else it is still to be cancelled */
            answer_head(r, RELAY_OK, NULL);
        return true;
    }
    if (kind == SUNSUBSCRIBE && r->uses_shards) {
        confirm(r, kind, reply);
        return true;
    }
    return false;
}

static int dispatch(struct redis_replies *r, const redisReply *reply) {
    if (dispatch_push(r, reply))
        return RELAY_OK;
    bool is_error = reply->type == REDIS_REPLY_ERROR;
    const struct redis_expectation *head = r->head;
    bool refused = is_error && head != NULL && head->cb != NULL &&
                   head->confirmations == head->channels; /* none of them came */
    if (head == NULL || (head->channels > 0 && !refused)) {
        if (is_error)
            return fail(r, RELAY_EREMOTE, reply->str);
        return fail(r, RELAY_EPROTO, "a reply that answers no command");
    }
    answer_head(r, is_error ? RELAY_EREMOTE : RELAY_OK, reply);
    return RELAY_OK;
}

int redis_replies_feed(struct redis_replies *r, const char *bytes, size_t len) {
    int status = redis_parser_feed(&r->parser, bytes, len);
    while (status == RELAY_OK && !r->stopped) {
        const redisReply *reply;
        status = redis_parser_next(&r->parser, &reply);
        if (status != RELAY_OK)
            break;
        if (reply == NULL)
            return RELAY_OK;
        status = dispatch(r, reply);
        if (status != RELAY_OK)
            return status;
    }
    return status == RELAY_OK ? RELAY_OK : fail(r, status, redis_parser_why(&r->parser));
}

void redis_replies_stop(struct redis_replies *r) {
    r->stopped = true;
}

void redis_replies_cancel(struct redis_replies *r, int status) {
    while (r->head != NULL)
        answer_head(r, status, NULL);
}
