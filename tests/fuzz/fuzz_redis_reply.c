/* Bytes of a Redis server through our own path: reader, arena, and who gets which reply.
 *
 * The first byte says which commands were sent, the second in which pieces the rest arrives. Held
 * to: a command is answered exactly once, a push has the shape that replies.h promises, and after
 * an error or a stop nothing is told any more. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/redis/replies.h"
#include "relay/redis/reply.h"
#include "tests/fuzz/fuzz.h"

enum { COMMANDS_MAX = 7, LIMIT_BYTES = 32 * 1024, STOP_AFTER = 40 };

struct world {
    struct redis_replies replies;
    int asked, answered, told;
    bool is_over; /* nothing may be told but cancellations */
    bool is_cancelling;
    uint64_t sum; /* of all bytes of all replies, so that a sanitizer sees them read */
};

static void must(bool condition) {
    if (!condition)
        abort();
}

static void read_all(struct world *w, const redisReply *reply) {
    must(reply != NULL && reply->type <= REDIS_REPLY_ERROR);
    w->sum += (uint64_t)reply->integer;
    for (size_t i = 0; i < reply->len; i++)
        w->sum += (unsigned char)reply->str[i];
    must(reply->str == NULL || reply->str[reply->len] == '\0');
    for (size_t i = 0; i < reply->elements; i++)
        read_all(w, reply->element[i]);
}

static void on_told(struct world *w) {
    must(!w->is_over);
    if (++w->told == STOP_AFTER) {
        redis_replies_stop(&w->replies);
        w->is_over = true;
    }
}

static bool begins_with(const redisReply *reply, const char *text) {
    return strcmp(reply->element[0]->str, text) == 0;
}

static void on_push(void *arg, const redisReply *reply) {
    struct world *w = arg;
    on_told(w);
    read_all(w, reply);
    must(reply->type == REDIS_REPLY_ARRAY && reply->elements >= 3);
    must(reply->element[0]->type == REDIS_REPLY_STRING);
    must(reply->element[1]->type == REDIS_REPLY_STRING);
    bool is_message = begins_with(reply, "message") || begins_with(reply, "smessage");
    bool is_pattern = begins_with(reply, "pmessage");
    must(reply->elements == (is_pattern ? 4 : 3));
    must(reply->element[2]->type ==
         (is_message || is_pattern ? REDIS_REPLY_STRING : REDIS_REPLY_INTEGER));
    must(!is_pattern || reply->element[3]->type == REDIS_REPLY_STRING);
}

static void on_answer(void *arg, int status, const redisReply *reply) {
    struct world *w = arg;
    w->answered++;
    if (w->is_cancelling) {
        must(status == RELAY_ECANCELED && reply == NULL);
        return;
    }
    on_told(w);
    read_all(w, reply);
    must(status == (reply->type == REDIS_REPLY_ERROR ? RELAY_EREMOTE : RELAY_OK));
}

static void on_subscribed(void *arg, int status, const redisReply *reply) {
    struct world *w = arg;
    w->answered++;
    must((reply != NULL) == (status == RELAY_EREMOTE));
    if (reply != NULL)
        must(reply->type == REDIS_REPLY_ERROR);
}

/* The low bits: how many plain commands; the others: what is subscribed to, and when. */
static void send_commands(struct world *w, uint8_t which) {
    static const char *const subscriptions[] = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE",
                                                "UNSUBSCRIBE", "SUNSUBSCRIBE"};
    w->asked = which & COMMANDS_MAX;
    if ((which & 8) != 0) {
        redis_replies_expect_confirmations(&w->replies, "subscribe", 2, on_subscribed, w);
        w->asked++;
    }
    int together = (which & COMMANDS_MAX) / 2;
    if (together > 0)
        redis_replies_expect(&w->replies, (size_t)together, on_answer, w);
    for (int i = together; i < (which & COMMANDS_MAX); i++)
        redis_replies_expect(&w->replies, 1, on_answer, w);
    size_t kind = (which >> 4) % 6;
    if (kind > 0)
        redis_replies_expect_confirmations(&w->replies, subscriptions[kind - 1], 1, NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world w = {.asked = 0};
    if (size < 2)
        return 0;
    size_t piece = data[1] == 0 ? size : data[1];
    redis_replies_init(&w.replies, on_push, &w);
    w.replies.parser.limit_bytes = LIMIT_BYTES;
    send_commands(&w, data[0]);
    for (size_t at = 2; at < size; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        int status = redis_replies_feed(&w.replies, (const char *)data + at, len);
        must(status == RELAY_OK || w.replies.why[0] != '\0' || status == RELAY_EREMOTE);
        w.is_over = w.is_over || status != RELAY_OK;
        if (w.is_over)
            redis_replies_stop(&w.replies);
    }
    w.is_cancelling = true;
    redis_replies_cancel(&w.replies, RELAY_ECANCELED);
    must(w.answered == w.asked && w.replies.pending == 0);
    redis_replies_fini(&w.replies);
    return 0;
}
