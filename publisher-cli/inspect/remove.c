/* The command `rm`; see remove.h.
 *
 * One script for each topic. It writes a little, which a Redis that is out of memory refuses, just
 * when somebody deletes for want of memory: then the log goes first, and the script behind it. */
#include "publisher-cli/inspect/remove.h"

#include <inttypes.h>
#include <string.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/refusal.h"
#include "publisher-cli/base/terminal.h"
#include "publisher-cli/inspect/ask.h"
#include "publisher-cli/inspect/domain.h"
#include "relay/base/err.h"
#include "relay/base/rng.h"
#include "relay/redis/info.h"
#include "relay/redis/reply.h"
#include "relay/wire/delete_script.h"
#include "relay/wire/names.h"
#include "relay/wire/publish_script.h"

enum { BIRTH_DIGITS = 12, DECIMAL_MAX = 24 };

struct remover {
    const struct options *options;
    struct ask ask;
    FILE *out, *err;
    struct buf script, nobody, clock, log, last, channel, line;
    char birth[BIRTH_DIGITS + 1], memory[DECIMAL_MAX], run_id[REDIS_INFO_VALUE_MAX];
    const char *topic; /* that is deleted */
    bool is_short;     /* of memory, said Redis */
    int code;
};

static void on_info(void *arg, const struct redisReply *reply) {
    struct remover *r = arg;
    if (!ask_expect(&r->ask, reply, REDIS_REPLY_STRING))
        return;
    redis_info_value(reply->str, "run_id", r->run_id);
    if (r->run_id[0] == '\0')
        ask_fail(&r->ask, RELAY_EPROTO, "INFO holds no run_id");
}

/* ---- what became of one ---- */

static void fail(struct remover *r) {
    r->code = EXIT_REFUSED;
}

static void print(struct remover *r, const struct delete_answer *answer) {
    buf_reset(&r->line);
    if (r->options->output == OUTPUT_JSON) {
        buf_puts(&r->line, "{\"topic\":");
        buf_put_json(&r->line, r->topic, strlen(r->topic));
        buf_printf(&r->line, ",\"deleted\":%" PRIu64 ",\"id\":", answer->entries);
        buf_put_json(&r->line, answer->id, answer->id_len);
        buf_printf(&r->line, ",\"announced\":%s}\n", answer->announced ? "true" : "false");
    } else {
        buf_printf(&r->line, "%s\t%" PRIu64 "\n", r->topic, answer->entries);
    }
    ask_print(&r->ask, r->out, &r->line);
    if (answer->announced)
        return;
    complain(r->err,
             "%s: this Redis user may not publish on the topic's channel, so clients that are "
             "connected are told with its next event only",
             r->topic);
    fail(r);
}

static void refused(struct remover *r, const char *words) {
    struct buf why = BUF_INIT;
    refusal_put(&why, words);
    complain(r->err, "%s: Redis refused: %s", r->topic, why.data);
    buf_fini(&why);
    fail(r);
}

static void on_deleted(void *arg, const struct redisReply *reply) {
    struct remover *r = arg;
    struct delete_answer answer;
    bool was_short = r->is_short;
    r->is_short =
        reply->type == REDIS_REPLY_ERROR && publish_error_kind(reply->str) == PUBLISH_FULL;
    if (r->is_short && !was_short)
        return;
    if (r->is_short) {
        complain(r->err,
                 "%s: its log is deleted, but its readers cannot be told: Redis is out of memory "
                 "(maxmemory)",
                 r->topic);
        fail(r);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        refused(r, reply->str);
        return;
    }
    if (!ask_expect(&r->ask, reply, REDIS_REPLY_STRING))
        return;
    if (delete_answer_parse(reply->str, reply->len, &answer) != RELAY_OK)
        ask_fail(&r->ask, RELAY_EPROTO, "what it answered is not the answer of the script");
    else if (answer.found)
        print(r, &answer);
    else
        complain(r->err, "the topic %s has no log in Redis at %s with the prefix %s", r->topic,
                 r->ask.address.data, r->options->prefix);
}

static void on_log_deleted(void *arg, const struct redisReply *reply) {
    struct remover *r = arg;
    ask_expect(&r->ask, reply, REDIS_REPLY_INTEGER);
}

/* ---- one ---- */

static int send_script(struct remover *r, const char *gone) {
    ask_send(&r->ask, on_deleted, r, "EVAL", r->script.data, "3", r->clock.data, r->log.data,
             r->last.data, r->birth, r->run_id, r->memory, r->channel.data, r->nobody.data, gone,
             (char *)NULL);
    return ask_wait(&r->ask);
}

static int delete_topic(struct remover *r, const char *topic) {
    const char *prefix = r->options->prefix;
    size_t len = strlen(topic);
    r->topic = topic;
    r->is_short = false;
    buf_reset(&r->log);
    buf_reset(&r->last);
    buf_reset(&r->channel);
    names_log(&r->log, prefix, DOMAIN_TAG, topic, len);
    names_last(&r->last, prefix, DOMAIN_TAG, topic, len);
    names_channel(&r->channel, prefix, topic, len);
    int status = send_script(r, "");
    if (status != RELAY_OK || !r->is_short)
        return status;
    ask_send(&r->ask, on_log_deleted, r, "DEL", r->log.data, (char *)NULL);
    status = ask_wait(&r->ask);
    return status == RELAY_OK ? send_script(r, "gone") : status;
}

static int delete_all(struct remover *r) {
    const struct options *o = r->options;
    ask_send(&r->ask, on_info, r, "INFO", "server", (char *)NULL);
    int status = ask_wait(&r->ask);
    for (size_t i = 0; i < o->topics_count && status == RELAY_OK; i++)
        status = delete_topic(r, o->topics[i]);
    return status == RELAY_OK ? ask_flush(&r->ask, r->out) : status;
}

int remove_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    struct remover r = {.options = o, .out = out, .err = err, .code = EXIT_DONE};
    struct rng rng;
    rng_init(&rng);
    rng_hex(&rng, r.birth, BIRTH_DIGITS);
    snprintf(r.memory, sizeof(r.memory), "%d", PUBLISH_MEMORY_DEFAULT_MS);
    delete_script_put(&r.script);
    delete_script_put_void(&r.nobody, o->prefix);
    names_clock(&r.clock, o->prefix, DOMAIN_TAG);
    int status = ask_open(&r.ask, o, loop);
    if (status == RELAY_OK)
        status = delete_all(&r);
    if (status != RELAY_OK)
        r.code = ask_complain(&r.ask, err);
    ask_close(&r.ask);
    struct buf *bufs[] = {&r.script, &r.nobody, &r.clock, &r.log, &r.last, &r.channel, &r.line};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        buf_fini(bufs[i]);
    return r.code;
}
