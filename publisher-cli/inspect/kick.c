/* The command `kick`; see kick.h.
 *
 * One script puts or lifts the bar and tells all relays, in one step; their answers are counted as
 * those of `subscribers` are. */
#include "publisher-cli/inspect/kick.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/refusal.h"
#include "publisher-cli/base/terminal.h"
#include "publisher-cli/inspect/answers.h"
#include "publisher-cli/inspect/ask.h"
#include "publisher-cli/inspect/domain.h"
#include "relay/base/err.h"
#include "relay/base/timestamp.h"
#include "relay/redis/reply.h"
#include "relay/wire/kick.h"
#include "relay/wire/names.h"
#include "relay/wire/publish_script.h"

struct kicker {
    const struct options *options;
    FILE *out, *err;
    struct ask ask;
    struct answers answers;
    struct kick_bar bar;
    struct kick_answer done; /* what the script answered */
    uint64_t answered;       /* relays */
    uint64_t streams;
    uint64_t now_ms; /* of Redis, for the list */
    int code;
};

/* What was given: exactly one of them is. */
static struct kick_bar bar_of(const struct options *o) {
    struct kick_bar bar = {.by = KICK_TOPIC};
    if (o->subject != NULL)
        bar = (struct kick_bar){.by = KICK_SUBJECT, .name = o->subject};
    else if (o->token_id != NULL)
        bar = (struct kick_bar){.by = KICK_TOKEN, .name = o->token_id};
    else if (o->topics_count > 0)
        bar.name = o->topics[0];
    bar.name_len = bar.name != NULL ? strlen(bar.name) : 0;
    return bar;
}

static void put_time(struct buf *line, uint64_t ms) {
    timestamp_put(line, ms + 999); /* a whole second in which it is over */
}

/* ---- kicking ---- */

static void take_answer(void *arg, const struct count_answer *answer) {
    struct kicker *k = arg;
    if (answer->topic_len != k->bar.name_len ||
        memcmp(answer->topic, k->bar.name, k->bar.name_len) != 0)
        return;
    k->answered++;
    k->streams += answer->subscribers;
}

static bool is_complete(void *arg) {
    const struct kicker *k = arg;
    return k->answered >= k->done.relays;
}

static void on_kicked(void *arg, const struct redisReply *reply) {
    struct kicker *k = arg;
    struct buf why = BUF_INIT;
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "SSEBARS", 7) == 0) {
        buf_printf(&why, "there are %d bars already, and no more are kept: --lift some, or wait",
                   KICK_BARS_MAX);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        buf_puts(&why, "Redis refused, and nobody was kicked: ");
        refusal_put_words(&why, reply->str);
        if (publish_error_kind(reply->str) == PUBLISH_DENIED)
            buf_printf(&why,
                       "; kick needs ~%s:{" DOMAIN_TAG "}:bars &%s:relay.* +eval +time +zadd +zrem "
                       "+zremrangebyscore +zcard +zrange +pexpire +publish +subscribe",
                       k->options->prefix, k->options->prefix);
        else
            refusal_put_hint(&why, reply->str);
    } else if (!ask_expect(&k->ask, reply, REDIS_REPLY_STRING)) {
        return;
    } else if (kick_answer_parse(reply->str, reply->len, &k->done) != RELAY_OK) {
        ask_fail(&k->ask, RELAY_EPROTO, "what it answered is not the answer of the script");
        return;
    }
    if (why.len > 0) {
        complain(k->err, "%s", why.data);
        k->code = EXIT_REFUSED;
    }
    buf_fini(&why);
}

static void send_script(struct kicker *k) {
    const struct options *o = k->options;
    struct buf script = BUF_INIT, key = BUF_INIT, channel = BUF_INIT, message = BUF_INIT,
               member = BUF_INIT, lasts = BUF_INIT, most = BUF_INIT;
    struct buf *all[] = {&script, &key, &channel, &message, &member, &lasts, &most};
    struct kick kick = {.by = k->bar.by,
                        .is_lift = o->is_lift,
                        .bar_ms = o->bar_ms,
                        .name = k->bar.name,
                        .name_len = k->bar.name_len};
    memcpy(kick.answer_to, k->answers.answer_to, sizeof(kick.answer_to));
    kick_script_put(&script);
    names_bars(&key, o->prefix, DOMAIN_TAG);
    names_probe_channel(&channel, o->prefix, KICK_CHANNEL);
    kick_put(&message, &kick);
    kick_bar_put(&member, &k->bar);
    if (o->is_lift)
        buf_puts(&lasts, "-");
    else
        buf_printf(&lasts, "%" PRIu64, o->bar_ms);
    buf_printf(&most, "%d", KICK_BARS_MAX);
    ask_send(&k->ask, on_kicked, k, "EVAL", script.data, "1", key.data, channel.data, message.data,
             member.data, lasts.data, most.data, (char *)NULL);
    ask_wait(&k->ask);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        buf_fini(all[i]);
}

/* ---- what came of it ---- */

static void print(struct kicker *k) {
    struct buf line = BUF_INIT;
    const struct options *o = k->options;
    if (o->output == OUTPUT_JSON) {
        buf_printf(&line, "{\"%s\":", kick_by_name(k->bar.by));
        buf_put_json(&line, k->bar.name, k->bar.name_len);
        buf_printf(&line, ",\"streams\":%" PRIu64 ",\"relays\":%" PRIu64, k->streams, k->answered);
        if (k->done.ends_ms > 0)
            buf_printf(&line, ",\"until\":%" PRIu64, k->done.ends_ms);
        if (o->is_lift)
            buf_printf(&line, ",\"lifted\":%s", k->done.found ? "true" : "false");
        buf_putc(&line, '}');
    } else {
        buf_printf(&line, "%s\t%" PRIu64 "\t%" PRIu64, k->bar.name, k->streams, k->answered);
        if (k->done.ends_ms > 0) {
            buf_putc(&line, '\t');
            put_time(&line, k->done.ends_ms);
        }
    }
    buf_putc(&line, '\n');
    ask_print(&k->ask, k->out, &line);
    buf_fini(&line);
}

/* Of those whom nobody got to hear of. */
static void complain_of_relays(struct kicker *k) {
    const struct options *o = k->options;
    bool is_kept = k->done.ends_ms > 0 || o->is_lift;
    if (!k->done.announced) {
        complain(k->err,
                 "this Redis user may not publish on the relays' channel %s:relay." KICK_CHANNEL
                 ", so %s",
                 o->prefix,
                 is_kept ? "relays learn of it only when they connect to Redis anew"
                         : "nothing was kicked");
        k->code = EXIT_REFUSED;
    } else if (k->done.relays == 0) {
        answers_complain_of_none(&k->ask, o->prefix, k->err);
        if (!is_kept)
            k->code = EXIT_REFUSED;
    } else if (k->answered < k->done.relays) {
        complain(k->err, "%" PRIu64 " of %" PRIu64 " relays did not answer in time",
                 k->done.relays - k->answered, k->done.relays);
        k->code = EXIT_REFUSED;
    }
}

static void kick(struct kicker *k) {
    const struct options *o = k->options;
    answers_open(&k->answers, &k->ask, o->prefix, take_answer, k);
    if (answers_listen(&k->answers) == RELAY_OK)
        send_script(k);
    if (k->ask.status == RELAY_OK && k->code == EXIT_DONE &&
        answers_wait(&k->answers, is_complete, o->timeout_ms) == RELAY_OK) {
        print(k);
        complain_of_relays(k);
        if (o->is_lift && !k->done.found)
            complain(k->err, "the %s %s was not barred", kick_by_name(k->bar.by), k->bar.name);
    }
    answers_close(&k->answers);
}

/* ---- the list ---- */

static void on_time(void *arg, const struct redisReply *reply) {
    struct kicker *k = arg;
    if (!ask_expect(&k->ask, reply, REDIS_REPLY_ARRAY))
        return;
    if (reply->elements == 2 && reply->element[0]->type == REDIS_REPLY_STRING)
        k->now_ms = strtoull(reply->element[0]->str, NULL, 10) * 1000;
}

static void print_bar(struct kicker *k, const struct kick_bar *bar, uint64_t ends_ms) {
    struct buf line = BUF_INIT;
    if (k->options->output == OUTPUT_JSON) {
        buf_printf(&line, "{\"%s\":", kick_by_name(bar->by));
        buf_put_json(&line, bar->name, bar->name_len);
        buf_printf(&line, ",\"until\":%" PRIu64 "}\n", ends_ms);
    } else {
        buf_printf(&line, "%s\t%.*s\t", kick_by_name(bar->by), (int)bar->name_len, bar->name);
        put_time(&line, ends_ms);
        buf_putc(&line, '\n');
    }
    ask_print(&k->ask, k->out, &line);
    buf_fini(&line);
}

static void on_bars(void *arg, const struct redisReply *reply) {
    struct kicker *k = arg;
    if (!ask_expect(&k->ask, reply, REDIS_REPLY_ARRAY))
        return;
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const struct redisReply *text = reply->element[i], *score = reply->element[i + 1];
        struct kick_bar bar;
        if (text->type != REDIS_REPLY_STRING || score->type != REDIS_REPLY_STRING ||
            !kick_bar_read(text->str, text->len, &bar))
            continue; /* not one of ours */
        uint64_t ends_ms = strtoull(score->str, NULL, 10);
        if (ends_ms <= k->now_ms)
            continue;
        print_bar(k, &bar, ends_ms);
        k->answered++;
    }
}

static void list(struct kicker *k) {
    struct buf key = BUF_INIT;
    names_bars(&key, k->options->prefix, DOMAIN_TAG);
    ask_send(&k->ask, on_time, k, "TIME", (char *)NULL);
    ask_send(&k->ask, on_bars, k, "ZRANGE", key.data, "0", "-1", "WITHSCORES", (char *)NULL);
    if (ask_wait(&k->ask) == RELAY_OK && k->answered == 0)
        complain(k->err, "nobody is barred in Redis at %s with the prefix %s", k->ask.address.data,
                 k->options->prefix);
    buf_fini(&key);
}

/* ---- the whole ---- */

int kick_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    struct kicker k = {.options = o, .out = out, .err = err, .bar = bar_of(o), .code = EXIT_DONE};
    int status = ask_open(&k.ask, o, loop);
    if (status == RELAY_OK && o->is_list)
        list(&k);
    else if (status == RELAY_OK)
        kick(&k);
    if (k.ask.status == RELAY_OK)
        ask_flush(&k.ask, out);
    if (k.ask.status != RELAY_OK)
        k.code = ask_complain(&k.ask, err);
    ask_close(&k.ask); /* runs the loop to its end */
    answers_fini(&k.answers);
    return k.code;
}
