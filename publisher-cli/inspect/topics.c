/* The command `topics`; see topics.h.
 *
 * Two walks: over the last ids, which outlive the logs, and over the logs, for those whose last id
 * is missing. So no topic has to be remembered to be shown once, except where Redis itself gives a
 * key twice, since its table grew meanwhile. */
#include "publisher-cli/inspect/topics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/terminal.h"
#include "publisher-cli/inspect/ask.h"
#include "publisher-cli/inspect/domain.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/redis/reply.h"
#include "relay/wire/names.h"
#include "relay/wire/topic.h"

#define SCAN_COUNT "1000" /* keys that Redis looks at for one answer, about */

enum { LENGTH_UNKNOWN = -1, TTL_NONE = -1, TTL_GONE = -2 /* as PTTL says it */ };

struct topics;

struct row {
    struct topics *topics;
    char *topic;
    struct buf log, last; /* keys; without memory once the row is complete */
    long long length;     /* LENGTH_UNKNOWN: the key is no log */
    long long ttl_ms;
    bool has_id;
    char id[ID_TEXT_MAX_BYTES + 1];
    uint64_t ms; /* of the last event, where has_id */
    uint64_t now_ms;
    bool is_shown_before;
};

struct topics {
    const struct options *options;
    struct ask ask;
    FILE *out, *err;
    bool is_json, is_terminal, has_colours;
    struct domain domain;
    uint64_t now_ms; /* the time in Redis */
    const char *kind;
    char cursor[24]; /* of SCAN */
    struct row *rows;
    size_t rows_len, rows_cap;
    bool is_sorting;  /* rows are held back */
    bool has_heading; /* it was printed */
    int topic_width, id_width;
    uint64_t shown;
    struct buf line;
};

/* ---- names ---- */

void topics_match(struct buf *out, const char *prefix, const char *kind, const char *pattern) {
    buf_printf(out, "%s:{*}:%s:", prefix, kind);
    for (const char *c = pattern; *c != '\0'; c++) {
        if (strchr("?[]\\", *c) != NULL)
            buf_putc(out, '\\');
        buf_putc(out, *c);
    }
}

bool topics_of_key(const char *prefix, const char *kind, const char *key, size_t key_len,
                   const char **topic, size_t *topic_len) {
    struct buf start = BUF_INIT, behind = BUF_INIT;
    buf_printf(&start, "%s:{", prefix);
    buf_printf(&behind, "}:%s:", kind);
    const char *end = key + key_len, *brace = NULL;
    if (key_len > start.len && memcmp(key, start.data, start.len) == 0)
        brace = memchr(key + start.len, '}', key_len - start.len);
    bool is_good = brace != NULL && memchr(key, '\0', (size_t)(brace - key)) == NULL &&
                   (size_t)(end - brace) >= behind.len &&
                   memcmp(brace, behind.data, behind.len) == 0 &&
                   topic_check(brace + behind.len, (size_t)(end - brace) - behind.len) == NULL;
    if (is_good) {
        *topic = brace + behind.len;
        *topic_len = (size_t)(end - *topic);
    }
    buf_fini(&start);
    buf_fini(&behind);
    return is_good;
}

/* ---- rows ---- */

static void row_fini(struct row *row) {
    free(row->topic);
    buf_fini(&row->log);
    buf_fini(&row->last);
}

static void drop_rows(struct topics *t, size_t from) {
    for (size_t i = from; i < t->rows_len; i++)
        row_fini(&t->rows[i]);
    t->rows_len = from;
}

/* The keys of the row are those of the same domain as @key, which is one of them. */
static void add_row(struct topics *t, const char *key, const char *topic, size_t topic_len) {
    if (t->rows_len == t->rows_cap) {
        t->rows_cap = t->rows_cap > 0 ? 2 * t->rows_cap : 1024;
        t->rows = mem_realloc(t->rows, t->rows_cap * sizeof(*t->rows));
    }
    const char *tag = key + strlen(t->options->prefix) + 2;
    char *tag_text = mem_strndup(tag, (size_t)(strchr(tag, '}') - tag));
    struct row *row = &t->rows[t->rows_len++];
    *row = (struct row){.topic = mem_strndup(topic, topic_len), .ttl_ms = TTL_GONE};
    names_log(&row->log, t->options->prefix, tag_text, topic, topic_len);
    names_last(&row->last, t->options->prefix, tag_text, topic, topic_len);
    free(tag_text);
}

static void set_id(struct row *row, const char *text, size_t len, uint64_t ms) {
    if (len > ID_TEXT_MAX_BYTES)
        return;
    memcpy(row->id, text, len);
    row->id[len] = '\0';
    row->ms = ms;
    row->has_id = true;
}

/* ---- answers ---- */

static bool is_wrong_type(const struct redisReply *reply) {
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0;
}

static void on_length(void *arg, const struct redisReply *reply) {
    struct row *row = arg;
    if (is_wrong_type(reply))
        row->length = LENGTH_UNKNOWN;
    else if (ask_expect(&row->topics->ask, reply, REDIS_REPLY_INTEGER))
        row->length = reply->integer;
}

static void on_ttl(void *arg, const struct redisReply *reply) {
    struct row *row = arg;
    if (ask_expect(&row->topics->ask, reply, REDIS_REPLY_INTEGER))
        row->ttl_ms = reply->integer;
}

static void on_last(void *arg, const struct redisReply *reply) {
    struct row *row = arg;
    struct event_id id;
    if (reply->type == REDIS_REPLY_NIL || is_wrong_type(reply) ||
        !ask_expect(&row->topics->ask, reply, REDIS_REPLY_STRING))
        return;
    if (id_parse(reply->str, reply->len, &id) == RELAY_OK)
        set_id(row, reply->str, reply->len, id.ms);
}

static void on_is_there(void *arg, const struct redisReply *reply) {
    struct row *row = arg;
    row->is_shown_before = reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
    ask_expect(&row->topics->ask, reply, REDIS_REPLY_INTEGER);
}

/* The last entry of a log whose last id is missing. */
static void on_entry(void *arg, const struct redisReply *reply) {
    struct row *row = arg;
    struct log_entry entry;
    struct buf id = BUF_INIT;
    if (is_wrong_type(reply) || !ask_expect(&row->topics->ask, reply, REDIS_REPLY_ARRAY) ||
        reply->elements == 0)
        return;
    if (log_entry_read(&row->topics->domain, reply->element[0], &entry) != LOG_ENTRY_EVENT)
        return;
    id_format(&id, &entry.id);
    set_id(row, id.data, id.len, entry.id.ms);
    buf_fini(&id);
}

static void on_time(void *arg, const struct redisReply *reply) {
    struct topics *t = arg;
    if (ask_expect(&t->ask, reply, REDIS_REPLY_ARRAY))
        t->now_ms = time_read(reply) / 1000;
}

static void on_clock(void *arg, const struct redisReply *reply) {
    struct topics *t = arg;
    if (!is_wrong_type(reply) && ask_expect(&t->ask, reply, REDIS_REPLY_ARRAY))
        domain_read(&t->domain, reply);
}

static void take_keys(struct topics *t, const struct redisReply *keys) {
    for (size_t i = 0; i < keys->elements; i++) {
        const struct redisReply *key = keys->element[i];
        const char *topic;
        size_t topic_len;
        if (key->type == REDIS_REPLY_STRING &&
            topics_of_key(t->options->prefix, t->kind, key->str, key->len, &topic, &topic_len))
            add_row(t, key->str, topic, topic_len);
    }
}

static void on_scan(void *arg, const struct redisReply *reply) {
    struct topics *t = arg;
    if (!ask_expect(&t->ask, reply, REDIS_REPLY_ARRAY))
        return;
    if (reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[0]->len >= sizeof(t->cursor) ||
        reply->element[1]->type != REDIS_REPLY_ARRAY) {
        ask_fail(&t->ask, RELAY_EPROTO, "it answered SCAN as no Redis does");
        return;
    }
    memcpy(t->cursor, reply->element[0]->str, reply->element[0]->len + 1);
    take_keys(t, reply->element[1]);
}

/* ---- words ---- */

/* The largest unit that is filled. */
static void put_time(char text[32], uint64_t ms) {
    static const struct {
        uint64_t ms;
        char name;
    } units[] = {{86400000, 'd'}, {3600000, 'h'}, {60000, 'm'}, {1000, 's'}};
    size_t i = 0;
    while (i < 3 && ms < units[i].ms)
        i++;
    snprintf(text, 32, "%" PRIu64 "%c", ms / units[i].ms, units[i].name);
}

static uint64_t age_ms(const struct row *row) {
    return row->now_ms > row->ms ? row->now_ms - row->ms : 0;
}

static void put_json_row(struct buf *line, const struct row *row) {
    buf_puts(line, "{\"topic\":");
    buf_put_json(line, row->topic, strlen(row->topic));
    if (row->length == LENGTH_UNKNOWN)
        buf_puts(line, ",\"length\":null");
    else
        buf_printf(line, ",\"length\":%lld", row->length);
    if (row->has_id)
        buf_printf(line, ",\"id\":\"%s\",\"time\":%" PRIu64 ",\"age_ms\":%" PRIu64, row->id,
                   row->ms, age_ms(row));
    else
        buf_puts(line, ",\"id\":null,\"time\":null,\"age_ms\":null");
    if (row->ttl_ms < 0)
        buf_puts(line, ",\"ttl_ms\":null}\n");
    else
        buf_printf(line, ",\"ttl_ms\":%lld}\n", row->ttl_ms);
}

/* In columns, not bytes; that some characters take two of them is not minded. */
static int width_of(const char *text) {
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void put_text_row(struct topics *t, const struct row *row) {
    char length[24] = "?", age[32] = "-", ttl[32] = "-";
    const char *id = row->has_id ? row->id : "-";
    if (row->length != LENGTH_UNKNOWN)
        snprintf(length, sizeof(length), "%lld", row->length);
    if (row->has_id)
        put_time(age, age_ms(row));
    if (row->ttl_ms >= 0)
        put_time(ttl, (uint64_t)row->ttl_ms);
    else if (row->ttl_ms == TTL_NONE)
        snprintf(ttl, sizeof(ttl), "never");
    if (!t->is_terminal)
        buf_printf(&t->line, "%s\t%s\t%s\t%s\t%s\n", row->topic, length, id, age, ttl);
    else
        buf_printf(&t->line, "%s%*s  %8s  %-*s  %5s  %5s\n", row->topic,
                   t->topic_width - width_of(row->topic) > 0 ? t->topic_width - width_of(row->topic)
                                                             : 0,
                   "", length, t->id_width, id, age, ttl);
}

static void put_heading(struct topics *t) {
    buf_printf(&t->line, "%s%-*s  %8s  %-*s  %5s  %5s%s\n",
               terminal_colour(t->has_colours, COLOUR_BOLD), t->topic_width, "TOPIC", "LENGTH",
               t->id_width, "LAST ID", "AGE", "TTL", terminal_colour(t->has_colours, COLOUR_NONE));
    t->has_heading = true;
}

static int compare_rows(const void *a, const void *b) {
    return strcmp(((const struct row *)a)->topic, ((const struct row *)b)->topic);
}

static void measure(struct topics *t) {
    t->topic_width = width_of("TOPIC");
    t->id_width = width_of("LAST ID");
    for (size_t i = 0; i < t->rows_len; i++) {
        int topic = width_of(t->rows[i].topic), id = width_of(t->rows[i].id);
        t->topic_width = topic > t->topic_width ? topic : t->topic_width;
        t->id_width = id > t->id_width ? id : t->id_width;
    }
}

/* Print the rows that there are, and forget them. */
static int print_rows(struct topics *t) {
    if (t->is_terminal && !t->has_heading && t->rows_len > 0) {
        qsort(t->rows, t->rows_len, sizeof(*t->rows), compare_rows);
        measure(t);
        put_heading(t);
    }
    for (size_t i = 0; i < t->rows_len; i++) {
        if (t->is_sorting && i > 0 && compare_rows(&t->rows[i - 1], &t->rows[i]) == 0)
            continue; /* Redis gave it twice */
        if (t->is_json)
            put_json_row(&t->line, &t->rows[i]);
        else
            put_text_row(t, &t->rows[i]);
        t->shown++;
    }
    drop_rows(t, 0);
    if (t->line.len > 0)
        ask_print(&t->ask, t->out, &t->line);
    buf_reset(&t->line);
    return ask_flush(&t->ask, t->out);
}

/* ---- the walk ---- */

/* Ask for what belongs to the rows from @from on; in the walk over logs, for the last id first. */
static int complete_rows(struct topics *t, size_t from, bool is_orphans) {
    ask_send(&t->ask, on_time, t, "TIME", (char *)NULL);
    for (size_t i = from; i < t->rows_len; i++) {
        struct row *row = &t->rows[i];
        row->topics = t;
        ask_send(&t->ask, on_length, row, "XLEN", row->log.data, (char *)NULL);
        ask_send(&t->ask, on_ttl, row, "PTTL", row->log.data, (char *)NULL);
        if (is_orphans)
            ask_send(&t->ask, on_entry, row, "XREVRANGE", row->log.data, "+", "-", "COUNT", "1",
                     (char *)NULL);
        else
            ask_send(&t->ask, on_last, row, "GET", row->last.data, (char *)NULL);
    }
    int status = ask_wait(&t->ask);
    for (size_t i = from; i < t->rows_len; i++) {
        t->rows[i].now_ms = t->now_ms;
        buf_fini(&t->rows[i].log);
        buf_fini(&t->rows[i].last);
    }
    return status;
}

/* Forget the rows from @from on whose last id exists: they were shown in the walk before. */
static int keep_orphans(struct topics *t, size_t from) {
    size_t kept = from;
    for (size_t i = from; i < t->rows_len; i++) {
        t->rows[i].topics = t;
        ask_send(&t->ask, on_is_there, &t->rows[i], "EXISTS", t->rows[i].last.data, (char *)NULL);
    }
    int status = ask_wait(&t->ask);
    for (size_t i = from; i < t->rows_len; i++) {
        if (t->rows[i].is_shown_before)
            row_fini(&t->rows[i]);
        else
            t->rows[kept++] = t->rows[i];
    }
    t->rows_len = kept;
    return status;
}

static int take_batch(struct topics *t, const char *match, bool is_orphans) {
    size_t from = t->rows_len;
    ask_send(&t->ask, on_scan, t, "SCAN", t->cursor, "MATCH", match, "COUNT", SCAN_COUNT,
             (char *)NULL);
    int status = ask_wait(&t->ask);
    if (status == RELAY_OK && is_orphans)
        status = keep_orphans(t, from);
    if (status == RELAY_OK && t->rows_len > from)
        status = complete_rows(t, from, is_orphans);
    if (status != RELAY_OK)
        return status;
    if (t->is_sorting && t->rows_len <= TOPICS_SORTED)
        return RELAY_OK;
    status = print_rows(t);
    t->is_sorting = false;
    return status;
}

static int walk(struct topics *t, const char *kind) {
    const char *pattern = t->options->topics_count > 0 ? t->options->topics[0] : "*";
    struct buf match = BUF_INIT;
    int status;
    t->kind = kind;
    topics_match(&match, t->options->prefix, kind, pattern);
    strcpy(t->cursor, "0");
    do
        status = take_batch(t, match.data, strcmp(kind, "log") == 0);
    while (status == RELAY_OK && strcmp(t->cursor, "0") != 0);
    buf_fini(&match);
    return status;
}

static int show(struct topics *t) {
    struct buf clock = BUF_INIT;
    names_clock(&clock, t->options->prefix, DOMAIN_TAG);
    ask_send(&t->ask, on_clock, t, "HGETALL", clock.data, (char *)NULL);
    int status = ask_wait(&t->ask);
    buf_fini(&clock);
    if (status == RELAY_OK)
        status = walk(t, "last");
    if (status == RELAY_OK)
        status = walk(t, "log");
    return status == RELAY_OK ? print_rows(t) : status;
}

int topics_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    struct topics t = {.options = o, .out = out, .err = err};
    t.is_json = o->output == OUTPUT_JSON;
    t.is_terminal = !t.is_json && terminal_is(out);
    t.has_colours = terminal_has_colours(out);
    t.is_sorting = t.is_terminal;
    int code = EXIT_DONE, status = ask_open(&t.ask, o, loop);
    if (status == RELAY_OK)
        status = show(&t);
    if (status != RELAY_OK)
        code = ask_complain(&t.ask, err);
    else if (t.shown == 0)
        complain(err, "Redis at %s knows no such topic with the prefix %s", t.ask.address.data,
                 o->prefix);
    ask_close(&t.ask);
    drop_rows(&t, 0);
    free(t.rows);
    buf_fini(&t.line);
    return code;
}
