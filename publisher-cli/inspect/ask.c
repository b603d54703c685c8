/* Questions to Redis; see ask.h. */
#include "publisher-cli/inspect/ask.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/refusal.h"
#include "publisher-cli/base/terminal.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/utf8.h"
#include "relay/redis/reply.h"
#include "relay/wire/publish_script.h"

enum { WORDS_MAX = 16 };

/* One whose answer is outstanding. */
struct question {
    struct ask *ask;
    const char *command;
    const char *key; /* the word behind it, or NULL */
    ask_cb take;
    void *arg;
};

void ask_clean(char *text) {
    bool is_utf8 = utf8_valid(text, strlen(text));
    for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++)
        if (*c < 0x20 || *c == 0x7f || (*c >= 0x80 && !is_utf8))
            *c = '?';
}

void ask_fail(struct ask *a, int status, const char *why) {
    if (a->status != RELAY_OK)
        return;
    a->status = status;
    snprintf(a->why, sizeof(a->why), "%s", why);
    ask_clean(a->why);
}

/* ---- the connection ---- */

static void on_up(void *arg) {
    struct ask *a = arg;
    a->is_up = true;
}

static void on_down(void *arg, bool was_ready, int status, const char *why) {
    (void)was_ready;
    ask_fail(arg, status, why);
}

static void on_closed(void *arg) {
    (void)arg; /* the loop ends with it */
}

int ask_open(struct ask *a, const struct options *o, uv_loop_t *loop) {
    static const struct redis_client_callbacks callbacks = {
        .on_up = on_up, .on_down = on_down, .on_closed = on_closed};
    *a = (struct ask){.loop = loop};
    a->connection = (struct redis_conn_options){
        .url = &o->redis, .client_name = "sse-publish", .timeout_ms = o->timeout_ms};
    redis_url_describe(&o->redis, &a->address);
    redis_client_start(&a->client, loop, &a->connection, &callbacks, a);
    while (!a->is_up && a->status == RELAY_OK)
        uv_run(loop, UV_RUN_ONCE);
    return a->status;
}

void ask_close(struct ask *a) {
    redis_client_close(&a->client);
    uv_run(a->loop, UV_RUN_DEFAULT);
    buf_fini(&a->address);
}

/* ---- questions ---- */

/* That a question was answered with an error is the asker's business; a lost one is ours. */
static void on_answer(void *arg, int status, const struct redisReply *reply) {
    struct question *q = arg;
    if (status == RELAY_OK || status == RELAY_EREMOTE) {
        q->ask->command = q->command;
        q->ask->key = q->key;
        q->take(q->arg, reply);
    }
    free(q);
}

void ask_send(struct ask *a, ask_cb take, void *arg, const char *command, ...) {
    const char *argv[WORDS_MAX] = {command};
    int argc = 1;
    va_list words;
    va_start(words, command);
    while (argc < WORDS_MAX && (argv[argc] = va_arg(words, const char *)) != NULL)
        argc++;
    va_end(words);
    if (a->status != RELAY_OK || a->is_unsent)
        return;
    struct question *q = mem_zalloc(sizeof(*q));
    *q = (struct question){.ask = a, .command = command, .key = argv[1], .take = take, .arg = arg};
    if (redis_client_command(&a->client, argc, argv, NULL, on_answer, q) != RELAY_OK) {
        a->is_unsent = true;
        free(q);
    }
}

int ask_wait(struct ask *a) {
    while (a->status == RELAY_OK && (a->is_unsent || redis_client_pending(&a->client) > 0))
        uv_run(a->loop, UV_RUN_ONCE);
    return a->status;
}

bool ask_expect(struct ask *a, const struct redisReply *reply, int type) {
    struct buf why = BUF_INIT;
    if (reply->type == type)
        return true;
    bool is_wrong_type = reply->type == REDIS_REPLY_ERROR && a->key != NULL &&
                         publish_error_kind(reply->str) == PUBLISH_WRONGTYPE;
    if (reply->type == REDIS_REPLY_ERROR)
        buf_printf(&why, "%s%s%s: %s", a->command, is_wrong_type ? " of " : "",
                   is_wrong_type ? a->key : "", reply->str);
    else
        buf_printf(&why, "it answered %s as no Redis does", a->command);
    ask_fail(a, reply->type == REDIS_REPLY_ERROR ? RELAY_EREMOTE : RELAY_EPROTO, why.data);
    buf_fini(&why);
    return false;
}

/* ---- output ---- */

static int check_written(struct ask *a, bool is_written) {
    if (!is_written && a->status == RELAY_OK) {
        a->is_unheard = errno == EPIPE;
        ask_fail(a, RELAY_EIO, strerror(errno));
    }
    return a->status;
}

int ask_print(struct ask *a, FILE *out, const struct buf *line) {
    return check_written(a, fwrite(line->data, 1, line->len, out) == line->len);
}

int ask_flush(struct ask *a, FILE *out) {
    return check_written(a, fflush(out) == 0);
}

/* ---- what went wrong ---- */

static const char *advice(const struct ask *a) {
    return a->status == RELAY_EPROTO ? "; is this a Redis? --redis or REDIS_URL says where it is"
                                     : "; --redis or REDIS_URL says where it is";
}

static void put_refused(const struct ask *a, struct buf *out) {
    buf_printf(out, "Redis at %s refused %s", a->address.data, a->is_up ? "" : "the connection: ");
    refusal_put_words(out, a->why);
    refusal_put_hint(out, a->why);
}

int ask_explain(const struct ask *a, struct buf *out) {
    if (a->is_unheard)
        return EXIT_DONE;
    if (a->status == RELAY_EIO)
        buf_printf(out, "cannot write to standard output: %s", a->why);
    else if (a->status == RELAY_EREMOTE)
        put_refused(a, out);
    else
        buf_printf(out, "%s Redis at %s: %s%s", a->is_up ? "lost" : "cannot reach", a->address.data,
                   a->why, advice(a));
    return a->status == RELAY_EREMOTE || a->status == RELAY_EIO ? EXIT_REFUSED : EXIT_UNREACHABLE;
}

int ask_complain(const struct ask *a, FILE *err) {
    struct buf why = BUF_INIT;
    int code = ask_explain(a, &why);
    if (why.len > 0)
        complain(err, "%s", why.data);
    buf_fini(&why);
    return code;
}
