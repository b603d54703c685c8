/* The command `subscribers`; see subscribers.h.
 *
 * One connection listens for the answers, another asks. What Redis answers to each question is how
 * many relays got it, and so how many answers have to come. */
#include "publisher-cli/inspect/subscribers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/terminal.h"
#include "publisher-cli/inspect/ask.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/redis/reply.h"
#include "relay/wire/count.h"
#include "relay/wire/names.h"

enum { ANSWER_MS = 5000, WORD_DIGITS = 16 };

/* What is known of one topic. */
struct row {
    struct survey *survey;
    const char *topic;
    struct buf question;
    uint64_t asked, answered; /* relays */
    uint64_t subscribers;
};

struct survey {
    const struct options *options;
    struct ask ask;
    struct redis_client listener;
    uv_timer_t deadline;
    char answer_to[COUNT_ANSWER_TO_MAX_BYTES + 1];
    struct buf questions, answers; /* channels */
    struct row *rows;
    bool is_listening;
    bool is_over; /* nothing more is waited for */
};

/* ---- the connection that listens ---- */

static void on_subscribed(void *arg, int status, const struct redisReply *reply) {
    struct survey *s = arg;
    struct buf why = BUF_INIT;
    if (status != RELAY_EREMOTE)
        return; /* a push says that it is; what is lost, on_down() tells */
    buf_printf(&why, "SUBSCRIBE of %s: %s", s->answers.data, reply->str);
    ask_fail(&s->ask, RELAY_EREMOTE, why.data);
    buf_fini(&why);
}

static void on_up(void *arg) {
    struct survey *s = arg;
    const char *argv[] = {"SUBSCRIBE", s->answers.data};
    redis_client_subscription_command(&s->listener, 2, argv, NULL, on_subscribed, s);
}

static void on_down(void *arg, bool was_ready, int status, const char *why) {
    struct survey *s = arg;
    (void)was_ready;
    ask_fail(&s->ask, status, why);
}

static void take_answer(struct survey *s, const char *text, size_t len) {
    struct count_answer answer;
    if (!count_answer_read(text, len, &answer))
        return;
    for (size_t i = 0; i < s->options->topics_count; i++) {
        struct row *row = &s->rows[i];
        if (strlen(row->topic) != answer.topic_len ||
            memcmp(row->topic, answer.topic, answer.topic_len) != 0)
            continue;
        row->answered++;
        row->subscribers += answer.subscribers;
    }
}

static void on_push(void *arg, const struct redisReply *push) {
    struct survey *s = arg;
    if (push->type != REDIS_REPLY_ARRAY || push->elements != 3 ||
        push->element[0]->type != REDIS_REPLY_STRING)
        return;
    const struct redisReply *payload = push->element[2];
    if (strcmp(push->element[0]->str, "subscribe") == 0)
        s->is_listening = true;
    else if (strcmp(push->element[0]->str, "message") == 0 && payload->type == REDIS_REPLY_STRING)
        take_answer(s, payload->str, payload->len);
}

static void on_closed(void *arg) {
    (void)arg; /* the loop ends with it */
}

static void on_deadline(uv_timer_t *timer) {
    struct survey *s = timer->data;
    s->is_over = true;
}

/* ---- asking ---- */

static void on_asked(void *arg, const struct redisReply *reply) {
    struct row *row = arg;
    if (ask_expect(&row->survey->ask, reply, REDIS_REPLY_INTEGER))
        row->asked = reply->integer > 0 ? (uint64_t)reply->integer : 0;
}

static bool is_complete(const struct survey *s) {
    for (size_t i = 0; i < s->options->topics_count; i++)
        if (s->rows[i].answered < s->rows[i].asked)
            return false;
    return true;
}

static int survey_all(struct survey *s) {
    struct ask *a = &s->ask;
    while (!s->is_listening && a->status == RELAY_OK)
        uv_run(a->loop, UV_RUN_ONCE);
    for (size_t i = 0; i < s->options->topics_count; i++)
        ask_send(a, on_asked, &s->rows[i], "PUBLISH", s->questions.data, s->rows[i].question.data,
                 (char *)NULL);
    if (ask_wait(a) != RELAY_OK)
        return a->status;
    uint64_t timeout = s->options->timeout_ms;
    uv_timer_start(&s->deadline, on_deadline, timeout < ANSWER_MS ? timeout : ANSWER_MS, 0);
    while (!is_complete(s) && !s->is_over && a->status == RELAY_OK)
        uv_run(a->loop, UV_RUN_ONCE);
    return a->status;
}

/* ---- what came of it ---- */

static void print(struct survey *s, const struct row *row, struct buf *line, FILE *out) {
    buf_reset(line);
    if (s->options->output == OUTPUT_JSON) {
        buf_puts(line, "{\"topic\":");
        buf_put_json(line, row->topic, strlen(row->topic));
        buf_printf(line, ",\"subscribers\":%" PRIu64 ",\"relays\":%" PRIu64 "}\n", row->subscribers,
                   row->answered);
    } else {
        buf_printf(line, "%s\t%" PRIu64 "\t%" PRIu64 "\n", row->topic, row->subscribers,
                   row->answered);
    }
    ask_print(&s->ask, out, line);
}

static int report(struct survey *s, FILE *out, FILE *err) {
    struct buf line = BUF_INIT;
    int code = EXIT_DONE;
    for (size_t i = 0; i < s->options->topics_count; i++) {
        const struct row *row = &s->rows[i];
        print(s, row, &line, out);
        if (row->answered >= row->asked)
            continue;
        complain(err, "%s: %" PRIu64 " of %" PRIu64 " relays did not answer in time", row->topic,
                 row->asked - row->answered, row->asked);
        code = EXIT_REFUSED;
    }
    if (s->rows[0].asked == 0)
        complain(err,
                 "no relay that can be asked is on Redis at %s with the prefix %s: --prefix and "
                 "--redis have to be the relays'",
                 s->ask.address.data, s->options->prefix);
    buf_fini(&line);
    return ask_flush(&s->ask, out) == RELAY_OK ? code : EXIT_REFUSED;
}

/* ---- the whole ---- */

static void begin(struct survey *s, uv_loop_t *loop) {
    static const struct redis_client_callbacks callbacks = {
        .on_up = on_up, .on_down = on_down, .on_push = on_push, .on_closed = on_closed};
    const struct options *o = s->options;
    struct rng rng;
    strcpy(s->answer_to, "answer-");
    rng_init(&rng);
    rng_hex(&rng, s->answer_to + strlen(s->answer_to), WORD_DIGITS);
    names_probe_channel(&s->questions, o->prefix, COUNT_CHANNEL);
    names_probe_channel(&s->answers, o->prefix, s->answer_to);
    s->rows = mem_zalloc(o->topics_count * sizeof(*s->rows));
    for (size_t i = 0; i < o->topics_count; i++) {
        s->rows[i] = (struct row){.survey = s, .topic = o->topics[i]};
        count_question_put(&s->rows[i].question, s->answer_to, o->topics[i], strlen(o->topics[i]));
    }
    uv_timer_init(loop, &s->deadline);
    s->deadline.data = s;
    redis_client_start(&s->listener, loop, &s->ask.connection, &callbacks, s);
}

static void end(struct survey *s) {
    redis_client_close(&s->listener);
    uv_close((uv_handle_t *)&s->deadline, NULL);
    for (size_t i = 0; i < s->options->topics_count; i++)
        buf_fini(&s->rows[i].question);
}

int subscribers_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    struct survey s = {.options = o};
    int code = EXIT_DONE, status = ask_open(&s.ask, o, loop);
    if (status == RELAY_OK) {
        begin(&s, loop);
        status = survey_all(&s);
        if (status == RELAY_OK)
            code = report(&s, out, err);
        end(&s);
    }
    status = s.ask.status;
    if (status != RELAY_OK)
        code = ask_complain(&s.ask, err);
    ask_close(&s.ask); /* runs the loop to its end */
    free(s.rows);
    buf_fini(&s.questions);
    buf_fini(&s.answers);
    return code;
}
