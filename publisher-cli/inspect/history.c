/* The command `history`; see history.h. */
#include "publisher-cli/inspect/history.h"

#include <inttypes.h>
#include <string.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/terminal.h"
#include "publisher-cli/inspect/ask.h"
#include "publisher-cli/inspect/domain.h"
#include "relay/base/err.h"
#include "relay/base/quantity.h"
#include "relay/redis/reply.h"
#include "relay/wire/envelope.h"
#include "relay/wire/names.h"

/* A page is to be about PAGE_BYTES; how many entries that are is learnt from page to page. */
enum {
    PAGE_FIRST = 32,
    PAGE_MAX = 1024,
    PAGE_BYTES = 1024 * 1024,
    PLACE_BYTES = 48, /* "(", two numbers, "-" */
    COMPLAINTS_MAX = 10
};

struct history {
    const struct options *options;
    struct ask ask;
    FILE *out, *err;
    bool is_json, is_terminal;
    struct buf key, line, message;
    struct domain domain;
    uint64_t redis_ms;       /* the time in Redis */
    bool has_log;            /* there is at least one entry */
    struct place first, end; /* what is shown lies between them, both included */
    struct place found;      /* where the last events begin; 0-0: nowhere */

    /* Reading. @visit gets what lies in the log, in the direction of reading. */
    bool is_backwards;
    void (*visit)(struct history *h, enum log_entry_kind kind, const struct log_entry *entry);
    bool is_done;    /* visit has seen enough */
    bool has_read;   /* `at` was read */
    struct place at; /* the last entry that was read */
    size_t page;     /* how many entries are asked for */
    size_t page_len; /* and came */
    size_t page_bytes;

    uint64_t wanted; /* how many more events are */
    uint64_t broken, older;
};

/* ---- one entry ---- */

/* The envelope that announced the event, so that it is read, and refused, as the relay does. */
static int decode(struct history *h, const struct log_entry *entry, struct envelope *out,
                  const char **why) {
    buf_reset(&h->message);
    buf_puts(&h->message, "sse1 ");
    id_format(&h->message, &entry->id);
    buf_putc(&h->message, ' ');
    buf_append(&h->message, entry->prev, entry->prev_len);
    buf_putc(&h->message, ' ');
    buf_append(&h->message, entry->json, entry->json_len);
    *why = "memory is short";
    return envelope_decode(h->message.data, h->message.len, out, why);
}

static void pass_over(struct history *h, const struct event_id *id, const char *why) {
    if (++h->broken <= COMPLAINTS_MAX)
        complain(h->err, "the entry %" PRIu64 "-%" PRIu64 " of %s is passed over: %s", id->ms,
                 id->seq, h->key.data, why);
}

/* As the relay shows it with as=json. */
static void put_json(struct buf *line, const char *topic, const struct envelope *e, uint64_t ms) {
    buf_puts(line, "{\"topic\":");
    buf_put_json(line, topic, strlen(topic));
    buf_puts(line, ",\"event\":");
    if (e->event.name_len > 0)
        buf_put_json(line, e->event.name, e->event.name_len);
    else
        buf_puts(line, "null");
    buf_puts(line, ",\"id\":");
    buf_put_json(line, e->id, e->id_len);
    buf_printf(line, ",\"time\":%" PRIu64 ",\"data\":", ms);
    buf_put_json(line, e->event.data, e->event.data_len);
    buf_putc(line, '}');
}

/* On a terminal nothing in the data acts on it; its lines are lines. */
static void put_data(struct history *h, const char *data, size_t len) {
    if (!h->is_terminal) {
        buf_append(&h->line, data, len);
        return;
    }
    const char *end = data + len, *stop;
    while ((stop = memchr(data, '\n', (size_t)(end - data))) != NULL) {
        terminal_put_shown(&h->line, data, (size_t)(stop - data));
        buf_putc(&h->line, '\n');
        data = stop + 1;
    }
    terminal_put_shown(&h->line, data, (size_t)(end - data));
}

static void print(struct history *h, const struct envelope *e, uint64_t ms) {
    buf_reset(&h->line);
    if (h->is_json)
        put_json(&h->line, h->options->topics[0], e, ms);
    else
        put_data(h, e->event.data, e->event.data_len);
    buf_putc(&h->line, '\n');
    ask_print(&h->ask, h->out, &h->line);
}

static void visit_forwards(struct history *h, enum log_entry_kind kind,
                           const struct log_entry *entry) {
    struct envelope e;
    const char *why = "its fields e, p and g are not those of an event";
    if (kind == LOG_ENTRY_OLDER) {
        h->older++;
    } else if (kind != LOG_ENTRY_EVENT || decode(h, entry, &e, &why) != RELAY_OK) {
        pass_over(h, &entry->id, why);
    } else {
        print(h, &e, entry->id.ms);
        envelope_fini(&e);
        h->is_done = --h->wanted == 0 || h->ask.status != RELAY_OK;
    }
}

/* Looks for where the last events begin: what will be passed over is none. */
static void visit_backwards(struct history *h, enum log_entry_kind kind,
                            const struct log_entry *entry) {
    struct envelope e;
    const char *why;
    if (kind == LOG_ENTRY_OLDER) {
        h->is_done = true; /* so is all that lies before it */
    } else if (kind == LOG_ENTRY_EVENT && decode(h, entry, &e, &why) == RELAY_OK) {
        envelope_fini(&e);
        h->found = (struct place){entry->id.ms, entry->id.seq};
        h->is_done = --h->wanted == 0;
    }
}

/* ---- pages ---- */

static size_t entry_bytes(const struct redisReply *reply) {
    size_t bytes = reply->len;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        bytes += entry_bytes(reply->element[i]);
    return bytes;
}

/* Each entry must lie beyond the one before it, or what is no Redis could keep us for ever. */
static bool take_entry(struct history *h, const struct redisReply *reply) {
    struct log_entry entry;
    enum log_entry_kind kind = log_entry_read(&h->domain, reply, &entry);
    if (kind == LOG_ENTRY_NONE)
        return false;
    struct place at = {entry.id.ms, entry.id.seq};
    int order = h->has_read ? place_compare(&at, &h->at) : 0;
    if (h->has_read && (h->is_backwards ? order >= 0 : order <= 0))
        return false;
    h->at = at;
    h->has_read = true;
    h->page_bytes += entry_bytes(reply);
    h->visit(h, kind, &entry);
    return true;
}

static void on_page(void *arg, const struct redisReply *reply) {
    struct history *h = arg;
    if (!ask_expect(&h->ask, reply, REDIS_REPLY_ARRAY))
        return;
    h->page_len = reply->elements;
    for (size_t i = 0; i < reply->elements && !h->is_done; i++)
        if (!take_entry(h, reply->element[i])) {
            ask_fail(&h->ask, RELAY_EPROTO, "what came are not the entries of a stream in order");
            return;
        }
}

static void put_place(char text[PLACE_BYTES], const char *mark, const struct place *place) {
    snprintf(text, PLACE_BYTES, "%s%" PRIu64 "-%" PRIu64, mark, place->ms, place->seq);
}

static int read_page(struct history *h) {
    char low[PLACE_BYTES], high[PLACE_BYTES], count[24];
    bool is_back = h->is_backwards;
    put_place(low, h->has_read && !is_back ? "(" : "",
              h->has_read && !is_back ? &h->at : &h->first);
    put_place(high, h->has_read && is_back ? "(" : "", h->has_read && is_back ? &h->at : &h->end);
    snprintf(count, sizeof(count), "%zu", h->page);
    h->page_len = h->page_bytes = 0;
    ask_send(&h->ask, on_page, h, is_back ? "XREVRANGE" : "XRANGE", h->key.data,
             is_back ? high : low, is_back ? low : high, "COUNT", count, (char *)NULL);
    return ask_wait(&h->ask);
}

/* A reply that is too large ends the connection: events have become large all of a sudden, or a
 * page would not have been that long. */
static int read_page_again(struct history *h) {
    ask_close(&h->ask);
    h->page = 1;
    int status = ask_open(&h->ask, h->options, h->ask.loop);
    return status != RELAY_OK ? status : read_page(h);
}

static int walk(struct history *h, bool is_backwards) {
    bool is_last = false;
    h->is_backwards = is_backwards;
    h->visit = is_backwards ? visit_backwards : visit_forwards;
    h->is_done = h->has_read = false;
    h->page = PAGE_FIRST;
    while (!is_last && !h->is_done) {
        int status = read_page(h);
        if (status == RELAY_EOVERFLOW && h->page > 1)
            status = read_page_again(h);
        if (status != RELAY_OK || ask_flush(&h->ask, h->out) != RELAY_OK)
            return h->ask.status;
        is_last = h->page_len < h->page;
        if (h->page_bytes > PAGE_BYTES && h->page > 1)
            h->page /= 2;
        else if (h->page_bytes < PAGE_BYTES / 4 && h->page < PAGE_MAX)
            h->page *= 2;
    }
    return RELAY_OK;
}

/* ---- the whole ---- */

static void on_clock(void *arg, const struct redisReply *reply) {
    struct history *h = arg;
    if (ask_expect(&h->ask, reply, REDIS_REPLY_ARRAY))
        domain_read(&h->domain, reply);
}

static void on_time(void *arg, const struct redisReply *reply) {
    struct history *h = arg;
    if (ask_expect(&h->ask, reply, REDIS_REPLY_ARRAY))
        h->redis_ms = time_read(reply) / 1000;
}

static void on_end(void *arg, const struct redisReply *reply) {
    struct history *h = arg;
    struct log_entry entry;
    if (!ask_expect(&h->ask, reply, REDIS_REPLY_ARRAY) || reply->elements == 0)
        return;
    h->has_log = log_entry_read(&h->domain, reply->element[0], &entry) != LOG_ENTRY_NONE;
    h->end = (struct place){entry.id.ms, entry.id.seq};
}

/* "10m" are counted back from the present of Redis, which gives the events their times. */
static void read_since(struct history *h) {
    const char *text = h->options->since;
    uint64_t ms = 0;
    if (quantity_parse(text, quantity_plain, &ms) == NULL)
        h->first.ms = ms;
    else if (quantity_parse(text, quantity_time, &ms) == NULL)
        h->first.ms = ms < h->redis_ms ? h->redis_ms - ms : 0;
}

static int show(struct history *h) {
    struct buf clock = BUF_INIT;
    const struct options *o = h->options;
    names_clock(&clock, o->prefix, DOMAIN_TAG);
    ask_send(&h->ask, on_clock, h, "HGETALL", clock.data, (char *)NULL);
    ask_send(&h->ask, on_time, h, "TIME", (char *)NULL);
    ask_send(&h->ask, on_end, h, "XREVRANGE", h->key.data, "+", "-", "COUNT", "1", (char *)NULL);
    int status = ask_wait(&h->ask);
    buf_fini(&clock);
    if (status != RELAY_OK || !h->has_log)
        return status;
    if (o->since != NULL)
        read_since(h);
    if (o->last > 0) {
        h->wanted = o->last;
        status = walk(h, true);
        h->first = h->found;
    }
    h->wanted = o->count > 0 ? o->count : UINT64_MAX;
    return status != RELAY_OK ? status : walk(h, false);
}

/* What else there is to be said about the log that was read. */
static int finish(struct history *h) {
    if (!h->has_log)
        complain(h->err,
                 "the topic %s has no log in Redis at %s with the prefix %s: nothing durable was "
                 "published to it, or its time to live is over",
                 h->options->topics[0], h->ask.address.data, h->options->prefix);
    if (h->older > 0)
        complain(h->err,
                 "%" PRIu64 " older event%s of the log left out: the domain's clock was born anew "
                 "behind them, so they have no id and no relay delivers them",
                 h->older, h->older == 1 ? " is" : "s are");
    if (h->broken > 0)
        complain(h->err,
                 "%" PRIu64 " entr%s passed over, as a relay does: no publisher of ours wrote them",
                 h->broken, h->broken == 1 ? "y is" : "ies are");
    return h->broken > 0 ? EXIT_REFUSED : EXIT_DONE;
}

int history_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    struct history h = {.options = o, .out = out, .err = err};
    h.is_json = o->output == OUTPUT_JSON;
    h.is_terminal = terminal_is(out);
    names_log(&h.key, o->prefix, DOMAIN_TAG, o->topics[0], strlen(o->topics[0]));
    int status = ask_open(&h.ask, o, loop);
    if (status == RELAY_OK)
        status = show(&h);
    int code = status == RELAY_OK ? finish(&h) : ask_complain(&h.ask, err);
    ask_close(&h.ask);
    buf_fini(&h.key);
    buf_fini(&h.line);
    buf_fini(&h.message);
    return code;
}
