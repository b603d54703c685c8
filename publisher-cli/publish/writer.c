/* How batches get into Redis; see writer.h.
 *
 * The list holds what is unanswered in the order in which it was given: first what is on its way,
 * then, from `unsent` on, what is not. A lost connection sets `unsent` back to the head; so does a
 * refusal that passes, once all that was on its way is answered. */
#include "publisher-cli/publish/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/base/refusal.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/reply.h"
#include "relay/wire/names.h"
#include "relay/wire/publish_script.h"

enum {
    SILENCE_MS = 5000, /* without a byte while an answer is outstanding, the connection is dead */
    WAIT_MS = 3000,    /* for replicas; less than that */
    BIRTH_DIGITS = 12
};

static void send_more(struct writer *w);

/* ---- what is waited for, and for how long ---- */

static bool is_waiting(const struct writer *w) {
    return w->head != NULL || !w->is_ready;
}

static void on_timer(uv_timer_t *timer);

static void watch_progress(struct writer *w) {
    if (!w->options.is_patient && !w->is_closing && is_waiting(w) &&
        !uv_is_active((uv_handle_t *)&w->timer))
        uv_timer_start(&w->timer, on_timer, w->options.timeout_ms, 0);
}

static void made_progress(struct writer *w) {
    w->progress_ms = uv_now(w->client.loop);
}

static void end(struct writer *w, enum writer_end end, const char *why) {
    if (w->is_over || w->is_closing)
        return;
    w->is_over = true;
    w->callbacks.on_end(w->arg, end, why);
}

static bool has_doubt(const struct writer *w) {
    const struct batch *b = w->head;
    while (b != NULL && !batch_is_unknown(b))
        b = b->next;
    return b != NULL;
}

static void on_timer(uv_timer_t *timer) {
    struct writer *w = timer->data;
    uint64_t passed_ms = uv_now(timer->loop) - w->progress_ms;
    if (!is_waiting(w))
        return;
    if (passed_ms < w->options.timeout_ms)
        uv_timer_start(timer, on_timer, w->options.timeout_ms - passed_ms, 0);
    else if (w->is_rejected && !has_doubt(w))
        end(w, WRITER_REJECTED, w->why.data);
    else
        end(w, WRITER_GAVE_UP, w->why.len > 0 ? w->why.data : "it does not answer");
}

static void say_trouble(struct writer *w, bool is_lost, const char *why) {
    buf_reset(&w->why);
    refusal_put_words(&w->why, why);
    w->is_rejected = !is_lost;
    if (!w->is_in_trouble && !w->is_closing)
        w->callbacks.on_trouble(w->arg, is_lost, w->why.data);
    w->is_in_trouble = true;
}

/* A connection alone is no proof: Redis may take no events on this one either. */
static void recovered(struct writer *w) {
    if (w->is_in_trouble)
        w->callbacks.on_again(w->arg);
    w->is_in_trouble = w->is_rejected = false;
}

/* ---- the list ---- */

/* Take the oldest one out; it is the caller's. */
static struct batch *take_head(struct writer *w) {
    struct batch *b = w->head;
    w->head = b->next;
    if (w->tail == &b->next)
        w->tail = &w->head;
    if (w->unsent == b)
        w->unsent = b->next;
    w->unanswered--;
    w->unanswered_bytes -= batch_bytes(b);
    return b;
}

static void report(struct writer *w, const struct batch *b, const struct outcome *outcome) {
    struct publish_answer answer = outcome->answer;
    struct written written = {.batch = b, .is_duplicate = outcome->is_duplicate};
    for (; publish_answer_next(&answer, &written.id, &written.id_len); written.item++)
        w->callbacks.on_written(w->arg, &written);
    w->callbacks.on_outcome(w->arg, b, outcome);
}

static void report_head(struct writer *w, const struct outcome *outcome) {
    struct batch *b = take_head(w);
    report(w, b, outcome);
    batch_free(b);
}

static void report_known(struct writer *w) {
    while (w->head != NULL && w->head->outcome != NULL)
        report_head(w, w->head->outcome);
}

/* Keep what became of @b until it is the oldest one. */
static void keep_outcome(struct batch *b, const struct outcome *outcome) {
    b->outcome = mem_zalloc(sizeof(*b->outcome));
    *b->outcome = *outcome;
    b->is_sent = b->is_doubtful = false;
    if (outcome->answer.ids_count == 0)
        return;
    struct buf ids = BUF_INIT;
    buf_append(&ids, outcome->answer.ids, outcome->answer.ids_len);
    buf_fini(&b->answer);
    b->answer = ids;
    b->outcome->answer.ids = ids.data;
}

/* What becomes of @b is known. It is told in the order in which batches were given, so that whoever
 * reads the ids can tell which event each of them is: only one that was refused for now is
 * overtaken by others. */
static void finish(struct writer *w, struct batch *b, const struct outcome *outcome) {
    made_progress(w);
    if (!outcome->is_lost && !w->is_refused)
        recovered(w);
    w->is_proven = w->is_proven || !outcome->is_lost;
    if (b != w->head) {
        keep_outcome(b, outcome);
        return;
    }
    report_head(w, outcome);
    report_known(w);
}

static void finish_refused(struct writer *w, struct batch *b, const char *refusal) {
    b->failed = b->items_count;
    b->failed_number = b->first.number;
    finish(w, b, &(struct outcome){.refusal = refusal, .is_announced = true});
}

/* Whatever is in the list is to be sent. */
static void unsend_all(struct writer *w) {
    for (struct batch *b = w->head; b != w->unsent; b = b->next) {
        if (b->outcome != NULL)
            continue;
        b->is_doubtful = b->is_doubtful || b->is_sent;
        b->is_sent = false;
        if (!b->is_live)
            continue;
        size_t before = b->items_count;
        w->resent_live += before - b->answered;
        size_t bytes = batch_bytes(b);
        batch_shrink(b);
        w->unanswered_bytes -= bytes - batch_bytes(b);
    }
    w->unsent = w->head;
    w->in_flight = 0;
}

/* ---- refusals ---- */

/* A refusal that passes by itself, or with another connection. */
static bool is_passing(const char *words) {
    enum publish_error kind = publish_error_kind(words);
    return kind == PUBLISH_NOSCRIPT || kind == PUBLISH_READONLY || kind == PUBLISH_UNAVAILABLE;
}

/* Send nothing more before all answers are there; then all that was refused again. */
static void refused_for_now(struct writer *w, const char *words) {
    if (!w->is_refused)
        w->is_forgotten = true;
    w->is_refused = true;
    if (publish_error_kind(words) == PUBLISH_NOSCRIPT)
        return;
    w->is_forgotten = false;
    say_trouble(w, false, words);
}

/* An answer came: whether what was refused for now can be sent again. A forgotten script is loaded
 * on the same connection; anything else may be well on another one, and its back-off is ours. */
static void after_answer(struct writer *w) {
    w->in_flight--;
    if (w->is_refused && w->in_flight == 0) {
        unsend_all(w);
        w->is_refused = false;
        w->is_ready = false;
        if (w->is_forgotten)
            session_prepare(&w->session);
        else
            redis_client_back_off(&w->client);
        watch_progress(w);
        return;
    }
    send_more(w);
    if (writer_has_room(w))
        w->callbacks.on_room(w->arg);
}

/* ---- durable batches ---- */

/* Redis has it, @text is the script's answer. */
static void finish_stored(struct writer *w, struct batch *b, const char *text, size_t len,
                          struct outcome outcome) {
    struct publish_answer answer;
    if (publish_answer_parse(text, len, &answer) != RELAY_OK ||
        answer.ids_count != b->items_count) {
        finish_refused(w, b, "what Redis answered is not the answer of the publish script");
        return;
    }
    w->overtaken += w->is_refused && !answer.duplicate ? b->items_count : 0;
    b->published = b->items_count;
    outcome.answer = answer;
    outcome.is_duplicate = answer.duplicate;
    outcome.is_found = answer.duplicate && b->is_doubtful;
    outcome.is_announced = answer.announced;
    finish(w, b, &outcome);
}

static void on_waited(void *arg, int status, const struct redisReply *reply) {
    struct batch *b = arg;
    struct writer *w = b->writer;
    if (status != RELAY_OK && status != RELAY_EREMOTE)
        return; /* on_down() follows */
    struct outcome outcome = {.replicas = -1};
    if (reply->type == REDIS_REPLY_INTEGER)
        outcome.replicas = reply->integer;
    if (status == RELAY_EREMOTE) {
        buf_reset(&b->refusal);
        refusal_put_words(&b->refusal, reply->str);
        outcome.wait_refusal = b->refusal.data;
    }
    finish_stored(w, b, b->answer.data, b->answer.len, outcome);
    after_answer(w);
}

uint64_t writer_wait_ms(const struct writer *w) {
    return w->options.timeout_ms / 2 < WAIT_MS ? w->options.timeout_ms / 2 : WAIT_MS;
}

static void wait_for_replicas(struct writer *w, struct batch *b, const struct redisReply *reply) {
    char replicas[16], timeout[16];
    const char *argv[] = {"WAIT", replicas, timeout};
    snprintf(replicas, sizeof(replicas), "%u", w->options.wait_replicas);
    snprintf(timeout, sizeof(timeout), "%" PRIu64, writer_wait_ms(w));
    buf_reset(&b->answer);
    buf_append(&b->answer, reply->str, reply->len);
    redis_client_command(&w->client, 3, argv, NULL, on_waited, b); /* or on_down() follows */
}

/* Which keys a refusal may speak of, where they are few. */
static void put_keys(const struct writer *w, struct batch *b, const char *words) {
    static const char tag[] = "0"; /* of the domain, where none is named */
    const char *prefix = w->options.prefix;
    if (publish_error_kind(words) != PUBLISH_WRONGTYPE || b->topics_count != 1)
        return;
    struct publish_topic topic = batch_topic_of(b, 0);
    buf_puts(&b->refusal, "; it is ");
    names_log(&b->refusal, prefix, tag, topic.name, topic.len);
    buf_puts(&b->refusal, ", ");
    names_last(&b->refusal, prefix, tag, topic.name, topic.len);
    buf_puts(&b->refusal, " or ");
    names_clock(&b->refusal, prefix, tag);
}

static void on_answer(void *arg, int status, const struct redisReply *reply) {
    struct batch *b = arg;
    struct writer *w = b->writer;
    if (status != RELAY_OK && status != RELAY_EREMOTE)
        return; /* on_down() follows */
    if (status == RELAY_EREMOTE && is_passing(reply->str)) {
        b->is_sent = false;
        refused_for_now(w, reply->str);
    } else if (status == RELAY_EREMOTE) {
        buf_reset(&b->refusal);
        refusal_put(&b->refusal, reply->str);
        put_keys(w, b, reply->str);
        finish_refused(w, b, b->refusal.data);
    } else if (reply->type == REDIS_REPLY_STRING && w->options.wait_replicas > 0) {
        wait_for_replicas(w, b, reply);
        return;
    } else if (reply->type == REDIS_REPLY_STRING) {
        finish_stored(w, b, reply->str, reply->len, (struct outcome){0});
    } else {
        finish_refused(w, b, "what Redis answered is not the answer of the publish script");
    }
    after_answer(w);
}

static int send_durable(struct writer *w, struct batch *b) {
    char birth[BIRTH_DIGITS + 1], key[WRITER_RUN_DIGITS + 24];
    struct publish_command command;
    rng_hex(&w->rng, birth, BIRTH_DIGITS);
    struct publish_request request = {
        .prefix = w->options.prefix,
        .run_id = w->session.server.run_id,
        .birth = birth,
        .key = b->key.data,
        .key_len = b->key.len,
        .key_ttl_ms = w->options.timeout_ms + WRITER_KEY_SPARE_MS,
    };
    if (b->key.len == 0) {
        request.key = key;
        request.key_len = (size_t)snprintf(key, sizeof(key), "%s:%" PRIu64, w->run, b->number);
    }
    batch_make_command(b, &request, &command);
    if (w->session.sha[0] != '\0')
        publish_command_use_sha(&command, w->session.sha);
    int rc = redis_client_command(&w->client, command.argc, command.argv, command.argv_len,
                                  on_answer, b);
    publish_command_fini(&command);
    return rc;
}

/* ---- live batches ---- */

static void refuse_live(struct writer *w, struct batch *b, const char *words) {
    if (is_passing(words)) {
        b->items[b->kept++] = b->items[b->answered];
        refused_for_now(w, words);
        return;
    }
    if (b->failed++ > 0)
        return;
    b->failed_number = b->items[b->answered].number;
    b->published_before = b->published;
    refusal_put(&b->refusal, words);
}

static void on_live_answer(void *arg, int status, const struct redisReply *reply) {
    struct batch *b = arg;
    struct writer *w = b->writer;
    if (status != RELAY_OK && status != RELAY_EREMOTE)
        return; /* on_down() follows */
    if (status == RELAY_EREMOTE) {
        refuse_live(w, b, reply->str);
    } else {
        struct written written = {.batch = b, .item = b->answered};
        written.subscribers = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
        w->overtaken += w->is_refused;
        b->published++;
        w->callbacks.on_written(w->arg, &written);
    }
    if (++b->answered < b->items_count)
        return;
    b->is_sent = false;
    if (b->kept == 0)
        finish(w, b,
               &(struct outcome){.refusal = b->failed > 0 ? b->refusal.data : NULL,
                                 .is_announced = true});
    after_answer(w);
}

static int send_live(struct writer *w, struct batch *b) {
    return redis_client_commands(&w->client, b->texts.data, b->texts.len, b->items_count,
                                 on_live_answer, b);
}

/* ---- sending ---- */

/* The next batch to be sent; NULL: all are sent. */
static struct batch *next_unsent(struct writer *w) {
    while (w->unsent != NULL && w->unsent->outcome != NULL)
        w->unsent = w->unsent->next;
    return w->unsent;
}

/* A batch so old that its key may be gone by now, and that Redis may have. */
static bool is_stale(const struct writer *w, const struct batch *b) {
    uint64_t age_ms = b->sent_ms == 0 ? 0 : uv_now(w->client.loop) - b->sent_ms;
    return b->is_doubtful && !b->is_live &&
           age_ms > w->options.timeout_ms + WRITER_KEY_SPARE_MS / 2;
}

/* Give up what can be sent again no more. */
static void drop_stale(struct writer *w) {
    while (next_unsent(w) != NULL && is_stale(w, w->unsent))
        finish(w, w->unsent, &(struct outcome){.is_lost = true});
}

/* A server that is refusing batches for now may stop doing so between two of them, and then they
 * change places: the first one goes alone. Live events are refused by fewer things, and a replica
 * takes them. */
static size_t window_of(const struct writer *w) {
    bool is_sure = w->is_proven || w->options.is_live;
    return w->options.wait_replicas > 0 || !is_sure ? 1 : WRITER_WINDOW_BATCHES;
}

static void send_more(struct writer *w) {
    while (w->is_ready && !w->is_refused && next_unsent(w) != NULL && w->in_flight < window_of(w)) {
        struct batch *b = w->unsent;
        int rc = b->is_live ? send_live(w, b) : send_durable(w, b);
        if (rc != RELAY_OK) /* the connection is ending */
            return;
        b->is_sent = true;
        if (b->sent_ms == 0)
            b->sent_ms = uv_now(w->client.loop);
        w->unsent = b->next;
        w->in_flight++;
    }
}

bool writer_has_room(const struct writer *w) {
    size_t window = w->options.wait_replicas > 0 ? 1 : WRITER_WINDOW_BATCHES;
    return w->is_ready && !w->is_refused && !w->is_closing && w->unanswered < window &&
           w->unanswered_bytes < WRITER_WINDOW_BYTES;
}

void writer_send(struct writer *w, struct batch *b) {
    if (!is_waiting(w))
        made_progress(w);
    b->writer = w;
    b->number = ++w->sent;
    b->next = NULL;
    *w->tail = b;
    w->tail = &b->next;
    if (w->unsent == NULL)
        w->unsent = b;
    w->unanswered++;
    w->unanswered_bytes += batch_bytes(b);
    send_more(w);
    watch_progress(w);
}

const struct batch *writer_unanswered(const struct writer *w) {
    return w->head;
}

/* ---- the connection ---- */

static void on_prepared(void *arg) {
    struct writer *w = arg;
    w->is_ready = w->has_been_ready = true;
    w->is_proven = false;
    if (w->head == NULL) {
        made_progress(w);
        recovered(w);
    }
    drop_stale(w);
    send_more(w);
    if (writer_has_room(w))
        w->callbacks.on_room(w->arg);
}

static void on_up(void *arg) {
    struct writer *w = arg;
    if (w->options.is_live)
        on_prepared(w);
    else
        session_prepare(&w->session);
}

static void on_unprepared(void *arg, const char *why) {
    struct writer *w = arg;
    if (is_passing(why)) {
        say_trouble(w, false, why);
        redis_client_back_off(&w->client);
        return;
    }
    struct buf text = BUF_INIT;
    const struct redis_server_info *server = &w->session.server;
    if (server->is_too_old) {
        buf_printf(
            &text,
            "it is %s %s, which is too old for durable events: use Redis " REDIS_SERVER_OLDEST
            " or later, or Valkey",
            server->name, server->version);
    } else {
        buf_puts(&text, "it does not tell its run_id, which durable events need: ");
        refusal_put_words(&text, why);
        refusal_put_hint(&text, why);
    }
    end(w, WRITER_REFUSED, text.data);
    buf_fini(&text);
}

static void on_down(void *arg, bool was_ready, int status, const char *why) {
    struct writer *w = arg;
    if (!is_waiting(w))
        made_progress(w); /* the time without it begins */
    unsend_all(w);
    w->is_ready = w->is_refused = false;
    bool is_passed = status == RELAY_EREMOTE && is_passing(why);
    if (!w->has_been_ready && !was_ready && !is_passed) {
        end(w, status == RELAY_EREMOTE ? WRITER_REFUSED : WRITER_UNREACHABLE, why);
        return;
    }
    if (status != RELAY_ECANCELED) /* we asked for it, and said why */
        say_trouble(w, !is_passed, why);
    watch_progress(w);
}

static void on_client_closed(void *arg) {
    struct writer *w = arg;
    for (const struct batch *b = w->head; b != NULL; b = b->next)
        if (b->outcome != NULL) /* known, behind one that is not */
            report(w, b, b->outcome);
    w->callbacks.on_closed(w->arg);
}

void writer_start(struct writer *w, uv_loop_t *loop, const struct writer_options *options,
                  const struct writer_callbacks *callbacks, void *arg) {
    const struct redis_client_callbacks mine = {
        .on_up = on_up, .on_down = on_down, .on_closed = on_client_closed};
    *w = (struct writer){.options = *options, .callbacks = *callbacks, .arg = arg};
    const struct redis_conn_options redis = {
        .url = options->redis,
        .client_name = "sse-publish",
        .timeout_ms = options->timeout_ms < SILENCE_MS ? options->timeout_ms : SILENCE_MS};
    w->tail = &w->head;
    rng_init(&w->rng);
    rng_hex(&w->rng, w->run, WRITER_RUN_DIGITS);
    uv_timer_init(loop, &w->timer);
    w->timer.data = w;
    session_init(&w->session, &w->client, on_prepared, on_unprepared, w);
    redis_client_start(&w->client, loop, &redis, &mine, w);
    made_progress(w);
    watch_progress(w);
}

void writer_close(struct writer *w) {
    if (w->is_closing)
        return;
    w->is_closing = true;
    uv_close((uv_handle_t *)&w->timer, NULL);
    redis_client_close(&w->client);
}

void writer_fini(struct writer *w) {
    while (w->head != NULL) {
        struct batch *b = w->head;
        w->head = b->next;
        batch_free(b);
    }
    buf_fini(&w->why);
}
