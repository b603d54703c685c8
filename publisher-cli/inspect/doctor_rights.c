/* Rights, found by trying; see doctor_rights.h. */
#include "publisher-cli/inspect/doctor_rights.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "publisher-cli/inspect/domain.h"
#include "relay/base/rng.h"
#include "relay/redis/reply.h"
#include "relay/wire/names.h"

enum { NONCE_DIGITS = 16, WORDS = sizeof(((struct right *)NULL)->words) / sizeof(char *) };

#define BOTH (PURPOSE_PUBLISH | PURPOSE_RELAY)
#define NO_SHA "0000000000000000000000000000000000000000"

/* `(` is no Lua; `x` is no id, no number and no option; HSET wants a value behind each field. The
 * relay looks after the clock as every publisher does, so it needs what publishers need. */
static const struct right table[] = {
    {"eval", BOTH, {"EVAL", "(", "1", "$log"}},
    {"evalsha", BOTH, {"EVALSHA", NO_SHA, "1", "$last"}},
    {"script|load", BOTH, {"SCRIPT", "LOAD", "("}},
    {"info", BOTH, {"INFO", "server"}},
    {"time", BOTH, {"TIME"}},
    {"get", BOTH, {"GET", "$last"}},
    {"set", BOTH, {"SET", "$once", "x", "x"}},
    {"del", BOTH, {"DEL", "$once"}},
    {"pexpire", BOTH, {"PEXPIRE", "$once", "x"}},
    {"hmget", BOTH, {"HMGET", "$clock", "birth"}},
    {"hget", BOTH, {"HGET", "$clock", "birth"}},
    {"hset", BOTH, {"HSET", "$once", "x", "x", "x"}},
    {"xadd", BOTH, {"XADD", "$log", "x", "x", "x"}},
    {"xrevrange", BOTH, {"XREVRANGE", "$log", "+", "-"}},
    {"publish", BOTH, {"PUBLISH", "$channel", ""}},
    {"wait", PURPOSE_REPLICAS, {"WAIT", "0", "1"}},
    {"ping", PURPOSE_RELAY, {"PING"}},
    {"hgetall", PURPOSE_RELAY, {"HGETALL", "$clock"}},
    {"hkeys", PURPOSE_RELAY, {"HKEYS", "$clock"}},
    {"hdel", PURPOSE_RELAY, {"HDEL", "$once", "x"}},
    {"xrange", PURPOSE_RELAY, {"XRANGE", "$log", "-", "+"}},
    {"zrange", PURPOSE_RELAY, {"ZRANGE", "$clock", "x", "x"}},
    {"subscribe", PURPOSE_RELAY, {"SUBSCRIBE", "$channel"}},
    {"unsubscribe", PURPOSE_RELAY, {"UNSUBSCRIBE", "$channel"}},
};

const struct right *rights(size_t *len) {
    *len = sizeof(table) / sizeof(table[0]);
    assert(*len <= RIGHTS_MAX);
    return table;
}

/* Redis 6.2: "NOPERM this user has no permissions to access one of the keys used as arguments";
 * Redis 7: "NOPERM No permissions to access a key", "... a channel". */
enum right_answer right_judge(const char *error) {
    if (strncmp(error, "NOPERM", 6) == 0) {
        if (strstr(error, "permissions to access") == NULL)
            return RIGHT_NO_COMMAND;
        return strstr(error, "channel") != NULL ? RIGHT_NO_CHANNEL : RIGHT_NO_KEY;
    }
    return strncmp(error, "ERR unknown", 11) == 0 || strncmp(error, "ERR Unknown", 11) == 0
               ? RIGHT_NO_COMMAND
               : RIGHT_GRANTED;
}

static void on_tried(void *arg, const struct redisReply *reply) {
    struct right_result *result = arg;
    result->answer = RIGHT_GRANTED;
    if (reply->type != REDIS_REPLY_ERROR)
        return;
    result->answer = right_judge(reply->str);
    snprintf(result->words, sizeof(result->words), "%s", reply->str);
    ask_clean(result->words);
}

struct names {
    struct buf log, last, clock, once, channel;
};

static const char *word(const struct names *names, const char *text) {
    if (text == NULL || text[0] != '$')
        return text;
    switch (text[2]) {
    case 'o':
        return names->log.data;
    case 'a':
        return names->last.data;
    case 'l':
        return names->clock.data;
    case 'n':
        return names->once.data;
    default:
        return names->channel.data;
    }
}

/* Of a topic and a key that nobody uses. */
static void names_init(struct names *names, const char *prefix) {
    char nonce[NONCE_DIGITS + 1], topic[sizeof("doctor.") + NONCE_DIGITS];
    struct rng rng;
    rng_init(&rng);
    rng_hex(&rng, nonce, NONCE_DIGITS);
    size_t len = (size_t)snprintf(topic, sizeof(topic), "doctor.%s", nonce);
    *names = (struct names){.log = BUF_INIT};
    names_log(&names->log, prefix, DOMAIN_TAG, topic, len);
    names_last(&names->last, prefix, DOMAIN_TAG, topic, len);
    names_clock(&names->clock, prefix, DOMAIN_TAG);
    names_once(&names->once, prefix, DOMAIN_TAG, topic, len);
    names_channel(&names->channel, prefix, topic, len);
}

static void names_fini(struct names *names) {
    buf_fini(&names->log);
    buf_fini(&names->last);
    buf_fini(&names->clock);
    buf_fini(&names->once);
    buf_fini(&names->channel);
}

int rights_try(struct ask *a, const char *prefix, struct right_result results[RIGHTS_MAX]) {
    struct names names;
    size_t len;
    const struct right *rows = rights(&len);
    names_init(&names, prefix);
    for (size_t i = 0; i < len; i++) {
        const char *words[WORDS];
        for (size_t j = 0; j < WORDS; j++)
            words[j] = word(&names, rows[i].words[j]);
        ask_send(a, on_tried, &results[i], words[0], words[1], words[2], words[3], words[4],
                 words[5], (char *)NULL);
    }
    int status = ask_wait(a);
    names_fini(&names);
    return status;
}
