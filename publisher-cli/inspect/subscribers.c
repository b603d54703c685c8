/* The command `subscribers`; see subscribers.h. */
#include "publisher-cli/inspect/subscribers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/terminal.h"
#include "publisher-cli/inspect/answers.h"
#include "publisher-cli/inspect/ask.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/reply.h"
#include "relay/wire/count.h"
#include "relay/wire/names.h"

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
    struct answers answers;
    struct buf questions; /* the channel */
    struct row *rows;
};

static void take_answer(void *arg, const struct count_answer *answer) {
    struct survey *s = arg;
    for (size_t i = 0; i < s->options->topics_count; i++) {
        struct row *row = &s->rows[i];
        if (strlen(row->topic) != answer->topic_len ||
            memcmp(row->topic, answer->topic, answer->topic_len) != 0)
            continue;
        row->answered++;
        row->subscribers += answer->subscribers;
    }
}

/* ---- asking ---- */

static void on_asked(void *arg, const struct redisReply *reply) {
    struct row *row = arg;
    if (ask_expect(&row->survey->ask, reply, REDIS_REPLY_INTEGER))
        row->asked = reply->integer > 0 ? (uint64_t)reply->integer : 0;
}

static bool is_complete(void *arg) {
    const struct survey *s = arg;
    for (size_t i = 0; i < s->options->topics_count; i++)
        if (s->rows[i].answered < s->rows[i].asked)
            return false;
    return true;
}

static int survey_all(struct survey *s) {
    struct ask *a = &s->ask;
    answers_listen(&s->answers);
    for (size_t i = 0; i < s->options->topics_count; i++)
        ask_send(a, on_asked, &s->rows[i], "PUBLISH", s->questions.data, s->rows[i].question.data,
                 (char *)NULL);
    if (ask_wait(a) != RELAY_OK)
        return a->status;
    return answers_wait(&s->answers, is_complete, s->options->timeout_ms);
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
        answers_complain_of_none(&s->ask, s->options->prefix, err);
    buf_fini(&line);
    return ask_flush(&s->ask, out) == RELAY_OK ? code : EXIT_REFUSED;
}

/* ---- the whole ---- */

static void begin(struct survey *s) {
    const struct options *o = s->options;
    answers_open(&s->answers, &s->ask, o->prefix, take_answer, s);
    names_probe_channel(&s->questions, o->prefix, COUNT_CHANNEL);
    s->rows = mem_zalloc(o->topics_count * sizeof(*s->rows));
    for (size_t i = 0; i < o->topics_count; i++) {
        s->rows[i] = (struct row){.survey = s, .topic = o->topics[i]};
        count_question_put(&s->rows[i].question, s->answers.answer_to, o->topics[i],
                           strlen(o->topics[i]));
    }
}

static void end(struct survey *s) {
    answers_close(&s->answers);
    for (size_t i = 0; i < s->options->topics_count; i++)
        buf_fini(&s->rows[i].question);
}

int subscribers_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    struct survey s = {.options = o};
    int code = EXIT_DONE, status = ask_open(&s.ask, o, loop);
    if (status == RELAY_OK) {
        begin(&s);
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
    answers_fini(&s.answers);
    return code;
}
