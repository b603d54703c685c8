/* How an event gets into Redis; see writer.h. */
#include "publisher-cli/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/reply.h"
#include "relay/wire/envelope.h"
#include "relay/wire/names.h"

enum { BIRTH_DIGITS = 12, REFUSAL_BYTES = 512 };

/* An event that is on its way. */
struct pending {
    struct writer *writer;
    writer_cb cb;
    void *arg;
    struct publish_command command; /* of a durable event; argc is 0 else */
    bool is_resent;
    struct publish_answer answer; /* once it came; its id is a copy */
    char id[ID_TEXT_MAX_BYTES];
    size_t id_len;
};

void writer_init(struct writer *w, const struct options *options, struct redis_client *client,
                 void (*on_ready)(void *arg), void (*on_refused)(void *arg, const char *why),
                 void *arg) {
    *w = (struct writer){.options = options,
                         .client = client,
                         .on_ready = on_ready,
                         .on_refused = on_refused,
                         .arg = arg};
    rng_init(&w->rng);
    names_channel(&w->channel, options->prefix, options->topics[0], strlen(options->topics[0]));
}

void writer_fini(struct writer *w) {
    buf_fini(&w->channel);
    buf_fini(&w->text);
}

/* ---- a new connection ---- */

/* Sent behind INFO, so both answers are there. */
static void on_loaded(void *arg, int status, const struct redisReply *reply) {
    struct writer *w = arg;
    if (status == RELAY_OK && reply->type == REDIS_REPLY_STRING && reply->len == PUBLISH_SHA_BYTES)
        memcpy(w->sha, reply->str, PUBLISH_SHA_BYTES + 1);
    if (reply == NULL || w->run_id[0] == '\0')
        return;
    w->is_prepared = true;
    w->on_ready(w->arg);
}

static void on_info(void *arg, int status, const struct redisReply *reply) {
    struct writer *w = arg;
    if (status == RELAY_OK && reply->type == REDIS_REPLY_STRING)
        redis_info_value(reply->str, "run_id", w->run_id);
    if (reply != NULL && w->run_id[0] == '\0')
        w->on_refused(w->arg, status == RELAY_EREMOTE ? reply->str : "INFO holds no run_id");
}

void writer_up(struct writer *w) {
    const char *info[] = {"INFO", "server"};
    const char *load[] = {"SCRIPT", "LOAD", NULL};
    size_t load_len[] = {6, 4, 0};
    if (w->options->is_live) {
        w->is_prepared = true;
        w->on_ready(w->arg);
        return;
    }
    load[2] = publish_script(&load_len[2]);
    w->run_id[0] = w->sha[0] = '\0';
    if (redis_client_command(w->client, 2, info, NULL, on_info, w) == RELAY_OK)
        redis_client_command(w->client, 3, load, load_len, on_loaded, w);
}

void writer_down(struct writer *w) {
    w->is_prepared = false;
    w->resent = 0;
}

bool writer_is_ready(const struct writer *w) {
    return w->is_prepared && w->resent == 0;
}

/* ---- outcomes ---- */

static void end(struct pending *p, const struct outcome *outcome) {
    p->cb(p->arg, outcome);
    publish_command_fini(&p->command);
    free(p);
}

static void end_lost(struct pending *p, int status) {
    end(p, &(struct outcome){.status = status});
}

static void end_stored(struct pending *p, long long replicas) {
    end(p, &(struct outcome){.id = p->id,
                             .id_len = p->id_len,
                             .duplicate = p->answer.duplicate,
                             .announced = p->answer.announced,
                             .replicas = replicas});
}

/* A sentence of ours, and Redis's own words. */
static void end_refused(struct pending *p, const char *words) {
    char text[REFUSAL_BYTES];
    enum publish_error kind = publish_error_kind(words);
    if (kind == PUBLISH_OTHER)
        snprintf(text, sizeof(text), "%s", words);
    else
        snprintf(text, sizeof(text), "%s (%s)", publish_error_text(kind), words);
    end(p, &(struct outcome){.status = RELAY_EREMOTE, .refusal = text});
}

/* ---- durable events ---- */

static void on_waited(void *arg, int status, const struct redisReply *reply) {
    bool is_known = status == RELAY_OK && reply->type == REDIS_REPLY_INTEGER;
    end_stored(arg, is_known ? reply->integer : -1);
}

/* Stored; are there replicas to be waited for? */
static void on_stored(struct pending *p) {
    const struct options *o = p->writer->options;
    char replicas[16], timeout[16];
    const char *argv[] = {"WAIT", replicas, timeout};
    snprintf(replicas, sizeof(replicas), "%u", o->wait_replicas);
    snprintf(timeout, sizeof(timeout), "%d", WRITER_WAIT_MS);
    if (o->wait_replicas == 0)
        end_stored(p, 0);
    else if (redis_client_command(p->writer->client, 3, argv, NULL, on_waited, p) != RELAY_OK)
        end_stored(p, -1);
}

static void on_answer(void *arg, int status, const struct redisReply *reply);

static int send_command(struct pending *p) {
    return redis_client_command(p->writer->client, p->command.argc, p->command.argv,
                                p->command.argv_len, on_answer, p);
}

/* False where the connection is ending. */
static bool resend(struct pending *p) {
    publish_command_use_text(&p->command);
    p->is_resent = send_command(p) == RELAY_OK;
    p->writer->resent += p->is_resent;
    return p->is_resent;
}

static bool read_answer(struct pending *p, const struct redisReply *reply) {
    const char *id;
    if (reply->type != REDIS_REPLY_STRING ||
        publish_answer_parse(reply->str, reply->len, &p->answer) != RELAY_OK ||
        p->answer.ids_count != 1 || !publish_answer_next(&p->answer, &id, &p->id_len))
        return false;
    memcpy(p->id, id, p->id_len);
    return true;
}

static void on_answer(void *arg, int status, const struct redisReply *reply) {
    struct pending *p = arg;
    struct writer *w = p->writer;
    bool is_last_resent = p->is_resent && w->resent > 0 && --w->resent == 0;
    if (status != RELAY_OK && status != RELAY_EREMOTE)
        end_lost(p, status);
    else if (status == RELAY_OK && read_answer(p, reply))
        on_stored(p);
    else if (status == RELAY_OK)
        end_refused(p, "what Redis answered is not the answer of the publish script");
    else if (publish_error_kind(reply->str) != PUBLISH_NOSCRIPT)
        end_refused(p, reply->str);
    else if (!resend(p))
        end_lost(p, RELAY_ECONN);
    if (is_last_resent && writer_is_ready(w))
        w->on_ready(w->arg);
}

/* With lines, each has a key of its own, so that the same input can be sent again. */
static void make_key(struct writer *w, uint64_t line) {
    buf_reset(&w->text);
    buf_puts(&w->text, w->options->key);
    if (line > 0)
        buf_printf(&w->text, ":%" PRIu64, line);
}

static void make_command(struct writer *w, const struct event *event, uint64_t line,
                         struct publish_command *command) {
    const struct options *o = w->options;
    const struct publish_topic topic = {o->topics[0], strlen(o->topics[0])};
    char birth[BIRTH_DIGITS + 1];
    rng_hex(&w->rng, birth, BIRTH_DIGITS);
    struct publish_request request = {.prefix = o->prefix,
                                      .topics = &topic,
                                      .topics_count = 1,
                                      .event = *event,
                                      .history = o->history,
                                      .ttl_ms = o->ttl_ms,
                                      .run_id = w->run_id,
                                      .birth = birth};
    if (o->key != NULL) {
        make_key(w, line);
        request.key = w->text.data;
        request.key_len = w->text.len;
    }
    publish_command_init(command, &request);
    if (w->sha[0] != '\0')
        publish_command_use_sha(command, w->sha);
}

/* ---- live events ---- */

static void on_live_answer(void *arg, int status, const struct redisReply *reply) {
    if (status == RELAY_EREMOTE)
        end_refused(arg, reply->str);
    else if (status != RELAY_OK)
        end_lost(arg, status);
    else
        end(arg, &(struct outcome){.announced = true,
                                   .subscribers =
                                       reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0});
}

static int send_live(struct writer *w, const struct event *event, struct pending *p) {
    buf_reset(&w->text);
    envelope_encode_live(&w->text, event);
    const char *argv[] = {"PUBLISH", w->channel.data, w->text.data};
    const size_t argv_len[] = {7, w->channel.len, w->text.len};
    return redis_client_command(w->client, 3, argv, argv_len, on_live_answer, p);
}

int writer_send(struct writer *w, const struct event *event, uint64_t line, writer_cb cb,
                void *arg) {
    struct pending *p = mem_zalloc(sizeof(*p));
    int rc;
    *p = (struct pending){.writer = w, .cb = cb, .arg = arg};
    if (w->options->is_live) {
        rc = send_live(w, event, p);
    } else {
        make_command(w, event, line, &p->command);
        rc = send_command(p);
    }
    if (rc != RELAY_OK) {
        publish_command_fini(&p->command);
        free(p);
    }
    return rc;
}
