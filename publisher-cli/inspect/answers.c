/* Listening for the answers of relays; see answers.h. */
#include "publisher-cli/inspect/answers.h"

#include <string.h>

#include "publisher-cli/base/terminal.h"
#include "relay/base/err.h"
#include "relay/base/rng.h"
#include "relay/redis/reply.h"
#include "relay/wire/names.h"

enum { ANSWER_MS = 5000, WORD_DIGITS = 16 };

static void on_subscribed(void *arg, int status, const struct redisReply *reply) {
    struct answers *s = arg;
    struct buf why = BUF_INIT;
    if (status != RELAY_EREMOTE)
        return; /* a push says that it is; what is lost, on_down() tells */
    buf_printf(&why, "SUBSCRIBE of %s: %s", s->channel.data, reply->str);
    ask_fail(s->ask, RELAY_EREMOTE, why.data);
    buf_fini(&why);
}

static void on_up(void *arg) {
    struct answers *s = arg;
    const char *argv[] = {"SUBSCRIBE", s->channel.data};
    redis_client_subscription_command(&s->listener, 2, argv, NULL, on_subscribed, s);
}

static void on_down(void *arg, bool was_ready, int status, const char *why) {
    struct answers *s = arg;
    (void)was_ready;
    ask_fail(s->ask, status, why);
}

static void on_push(void *arg, const struct redisReply *push) {
    struct answers *s = arg;
    struct count_answer answer;
    if (push->type != REDIS_REPLY_ARRAY || push->elements != 3 ||
        push->element[0]->type != REDIS_REPLY_STRING)
        return;
    const struct redisReply *payload = push->element[2];
    if (strcmp(push->element[0]->str, "subscribe") == 0)
        s->is_listening = true;
    else if (strcmp(push->element[0]->str, "message") == 0 && payload->type == REDIS_REPLY_STRING &&
             count_answer_read(payload->str, payload->len, &answer))
        s->take(s->arg, &answer);
}

static void on_closed(void *arg) {
    (void)arg; /* the loop ends with it */
}

static void on_deadline(uv_timer_t *timer) {
    struct answers *s = timer->data;
    s->is_over = true;
}

void answers_open(struct answers *s, struct ask *a, const char *prefix,
                  void (*take)(void *arg, const struct count_answer *answer), void *arg) {
    static const struct redis_client_callbacks callbacks = {
        .on_up = on_up, .on_down = on_down, .on_push = on_push, .on_closed = on_closed};
    struct rng rng;
    *s = (struct answers){.ask = a, .take = take, .arg = arg};
    strcpy(s->answer_to, "answer-");
    rng_init(&rng);
    rng_hex(&rng, s->answer_to + strlen(s->answer_to), WORD_DIGITS);
    names_probe_channel(&s->channel, prefix, s->answer_to);
    uv_timer_init(a->loop, &s->deadline);
    s->deadline.data = s;
    redis_client_start(&s->listener, a->loop, &a->connection, &callbacks, s);
}

int answers_listen(struct answers *s) {
    while (!s->is_listening && s->ask->status == RELAY_OK)
        uv_run(s->ask->loop, UV_RUN_ONCE);
    return s->ask->status;
}

int answers_wait(struct answers *s, bool (*is_complete)(void *arg), uint64_t timeout_ms) {
    uv_timer_start(&s->deadline, on_deadline, timeout_ms < ANSWER_MS ? timeout_ms : ANSWER_MS, 0);
    while (!is_complete(s->arg) && !s->is_over && s->ask->status == RELAY_OK)
        uv_run(s->ask->loop, UV_RUN_ONCE);
    return s->ask->status;
}

void answers_close(struct answers *s) {
    redis_client_close(&s->listener);
    uv_close((uv_handle_t *)&s->deadline, NULL);
}

void answers_fini(struct answers *s) {
    buf_fini(&s->channel);
}

void answers_complain_of_none(const struct ask *a, const char *prefix, FILE *err) {
    complain(
        err,
        "no relay that can be asked is on Redis at %s with the prefix %s: --prefix and --redis "
        "have to be the relays'",
        a->address.data, prefix);
}
