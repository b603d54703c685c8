/* Publishing durable events: arguments out, words in; see publish_script.h. The script is
 * publish.lua. */
#include "relay/wire/publish_script.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/utf8.h"
#include "relay/wire/id.h"
#include "relay/wire/names.h"

/* publish.lua, from the build. */
extern const unsigned char asset_publish_lua[];
extern const size_t asset_publish_lua_len;

const char *publish_key_check(const char *key, size_t len) {
    if (len == 0)
        return "is empty";
    if (len > PUBLISH_KEY_MAX_BYTES)
        return "is longer than 256 bytes";
    if (!utf8_valid(key, len))
        return "is not valid UTF-8";
    if (utf8_has_control(key, len))
        return "holds a control character";
    return NULL;
}

const char *publish_script(size_t *len) {
    *len = asset_publish_lua_len;
    return (const char *)asset_publish_lua;
}

/* ---- the command ---- */

/* The arguments as they are made: one after the other in @bytes, @ends where each one ends. Their
 * addresses are known once there are all. */
struct arguments {
    struct buf bytes;
    size_t *ends;
    int count;
};

static void end_argument(struct arguments *a) {
    a->ends[a->count++] = a->bytes.len;
    buf_putc(&a->bytes, '\0');
}

static void put_text(struct arguments *a, const char *text) {
    buf_puts(&a->bytes, text);
    end_argument(a);
}

static void put_number(struct arguments *a, uint64_t value, uint64_t value_if_0) {
    buf_printf(&a->bytes, "%llu", (unsigned long long)(value > 0 ? value : value_if_0));
    end_argument(a);
}

static void put_event(struct arguments *a, const struct event *event) {
    envelope_encode_json(&a->bytes, event);
    end_argument(a);
}

static void put_keys(struct arguments *a, const struct publish_request *r, const char *tag) {
    bool is_once = r->key != NULL && r->topics_count > 0;
    put_number(a, 1 + 2 * r->topics_count + is_once, 0);
    names_clock(&a->bytes, r->prefix, tag);
    end_argument(a);
    for (size_t i = 0; i < r->topics_count; i++) {
        const struct publish_topic *topic = &r->topics[i];
        names_log(&a->bytes, r->prefix, tag, topic->name, topic->len);
        end_argument(a);
        names_last(&a->bytes, r->prefix, tag, topic->name, topic->len);
        end_argument(a);
    }
    if (!is_once)
        return;
    names_once(&a->bytes, r->prefix, tag, r->key, r->key_len);
    end_argument(a);
}

/* In the order in which publish.lua reads them. */
static void put_values(struct arguments *a, const struct publish_request *r) {
    put_text(a, r->birth);
    put_text(a, r->run_id);
    put_number(a, r->memory_ms, PUBLISH_MEMORY_DEFAULT_MS);
    put_number(a, r->ttl_ms, PUBLISH_TTL_DEFAULT_MS);
    put_number(a, r->history, PUBLISH_HISTORY_DEFAULT);
    if (r->topics_count > 0 && r->items == NULL)
        put_event(a, &r->event);
    else
        put_text(a, "");
    if (r->key != NULL && r->topics_count > 0)
        put_number(a, r->key_ttl_ms, PUBLISH_KEY_TTL_DEFAULT_MS);
    else
        put_text(a, "");
    for (size_t i = 0; i < r->topics_count; i++) {
        names_channel(&a->bytes, r->prefix, r->topics[i].name, r->topics[i].len);
        end_argument(a);
    }
    for (size_t i = 0; r->items != NULL && i < r->items_count; i++) {
        assert(r->items[i].topic < r->topics_count);
        put_number(a, r->items[i].topic + 1, 0);
        put_event(a, &r->items[i].event);
    }
}

void publish_command_init(struct publish_command *c, const struct publish_request *request) {
    assert(request->items == NULL ||
           (request->items_count > 0 && request->items_count <= PUBLISH_ITEMS_MAX));
    size_t room = 12 + 3 * request->topics_count + 2 * request->items_count;
    struct arguments a = {.bytes = BUF_INIT, .ends = mem_zalloc(room * sizeof(*a.ends))};
    put_text(&a, ""); /* the command and the script's place */
    put_text(&a, "");
    put_keys(&a, request, request->tag != NULL ? request->tag : "0");
    put_values(&a, request);
    assert((size_t)a.count <= room);

    c->argc = a.count;
    c->argv = mem_zalloc(room * sizeof(*c->argv));
    c->argv_len = a.ends;
    c->memory = buf_detach(&a.bytes);
    size_t start = 0;
    for (int i = 0; i < a.count; i++) {
        size_t end = a.ends[i];
        c->argv[i] = (char *)c->memory + start;
        c->argv_len[i] = end - start;
        start = end + 1;
    }
    publish_command_use_text(c);
}

void publish_command_use_sha(struct publish_command *c, const char *sha) {
    c->argv[0] = "EVALSHA";
    c->argv_len[0] = 7;
    c->argv[1] = sha;
    c->argv_len[1] = PUBLISH_SHA_BYTES;
}

void publish_command_use_text(struct publish_command *c) {
    c->argv[0] = "EVAL";
    c->argv_len[0] = 4;
    c->argv[1] = publish_script(&c->argv_len[1]);
}

void publish_command_fini(struct publish_command *c) {
    free(c->argv);
    free(c->argv_len);
    free(c->memory);
    *c = (struct publish_command){.argc = 0};
}

/* ---- the answer ---- */

bool publish_answer_next(struct publish_answer *a, const char **id, size_t *len) {
    if (a->ids_len == 0)
        return false;
    const char *space = memchr(a->ids, ' ', a->ids_len);
    *id = a->ids;
    *len = space == NULL ? a->ids_len : (size_t)(space - a->ids);
    size_t taken = *len + (space != NULL);
    a->ids += taken;
    a->ids_len -= taken;
    return true;
}

static bool is_flag(char c) {
    return c == '0' || c == '1';
}

int publish_answer_parse(const char *text, size_t len, struct publish_answer *out) {
    enum { FLAGS_LEN = 4 /* "1 0 " */ };
    if (len <= FLAGS_LEN || !is_flag(text[0]) || text[1] != ' ' || !is_flag(text[2]) ||
        text[3] != ' ' || text[len - 1] == ' ')
        return RELAY_EPROTO;
    struct publish_answer a = {.announced = text[0] == '1',
                               .duplicate = text[2] == '1',
                               .ids = text + FLAGS_LEN,
                               .ids_len = len - FLAGS_LEN};
    struct publish_answer rest = a;
    const char *id;
    size_t id_len;
    struct event_id ignored;
    for (; publish_answer_next(&rest, &id, &id_len); a.ids_count++)
        if (id_parse(id, id_len, &ignored) != RELAY_OK)
            return RELAY_EPROTO;
    *out = a;
    return RELAY_OK;
}

/* ---- errors ---- */

/* Redis 7.0 begins with the word, and of a missing right in the script says a sentence, as 8 says
 * another; Redis 6.2 puts "ERR Error running script (call to f_…): " and the
 * line before it, and says some things without a word. No error text holds what the user wrote. */
static const struct {
    const char *part;
    enum publish_error kind;
} errors[] = {
    {"NOSCRIPT ", PUBLISH_NOSCRIPT},
    {"SSECONFLICT ", PUBLISH_CONFLICT},
    {"SSETTL ", PUBLISH_TTL},
    {"SSEEVENT ", PUBLISH_EVENT},
    {"WRONGTYPE ", PUBLISH_WRONGTYPE},
    {"OOM ", PUBLISH_FULL},
    {"READONLY ", PUBLISH_READONLY},
    {"NOPERM ", PUBLISH_DENIED},
    {"The user executing the script can't", PUBLISH_DENIED},
    {"ACL failure in script: ", PUBLISH_DENIED},
    {"NOAUTH ", PUBLISH_DENIED},
    {"MISCONF ", PUBLISH_UNSAVED},
    {"NOREPLICAS ", PUBLISH_UNSAVED},
    {"LOADING ", PUBLISH_UNAVAILABLE},
    {"BUSY ", PUBLISH_UNAVAILABLE},
    {"MASTERDOWN ", PUBLISH_UNAVAILABLE},
    {"CLUSTERDOWN ", PUBLISH_UNAVAILABLE},
    {"TRYAGAIN ", PUBLISH_UNAVAILABLE},
    {"ERR max number of clients", PUBLISH_UNAVAILABLE},
};

enum publish_error publish_error_kind(const char *text) {
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        const char *at = strstr(text, errors[i].part);
        if (at != NULL && (at == text || at[-1] == ' ' || at[-1] == '-'))
            return errors[i].kind;
    }
    return PUBLISH_OTHER;
}

const char *publish_error_text(enum publish_error kind) {
    switch (kind) {
    case PUBLISH_NOSCRIPT:
        return "Redis forgot the publish script; nothing was published, try again";
    case PUBLISH_CONFLICT:
        return "the key was used for another event or other topics; nothing was published, use a "
               "new key";
    case PUBLISH_TTL:
        return "the time to live is above the time for which the last id of a topic is remembered "
               "(field memory of the clock in Redis; 7 days by default); nothing was published, "
               "use a shorter one";
    case PUBLISH_EVENT:
        return "no relay would deliver the event; nothing was published";
    case PUBLISH_WRONGTYPE:
        return "a key in Redis that begins with the relay's prefix holds something of another "
               "type; nothing was published, delete that key or use another prefix";
    case PUBLISH_FULL:
        return "Redis is out of memory; nothing was published, raise its maxmemory or keep less "
               "history";
    case PUBLISH_READONLY:
        return "this Redis is a read-only replica; nothing was published, connect to its master";
    case PUBLISH_DENIED:
        return "the Redis user lacks a permission that publishing needs; nothing was published, "
               "see the list of commands and keys in the documentation";
    case PUBLISH_UNSAVED:
        return "Redis refuses to write, since it cannot save to its disk or has too few replicas; "
               "nothing was published, see Redis's log";
    case PUBLISH_UNAVAILABLE:
        return "Redis is not able to serve just now; nothing was published, try again";
    case PUBLISH_OTHER:
        break;
    }
    return "Redis refused the event";
}
