/* Messages on a channel; see envelope.h. */
#include "relay/wire/envelope.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "relay/wire/canonical.h"
#include "relay/wire/id.h"
#include "relay/wire/topic.h"

static const char magic[] = "sse1 ";

enum { MAGIC_LEN = sizeof(magic) - 1 };

/* A run of bytes within the message. */
struct field {
    const char *p;
    size_t len;
};

static bool is_dash(struct field f) {
    return f.len == 1 && f.p[0] == '-';
}

/* Returns what is wrong, or NULL. */
static const char *check_ids(struct field id_field, struct field prev_field) {
    struct event_id id, prev;
    if (id_parse(id_field.p, id_field.len, &id) != RELAY_OK)
        return "the envelope has an invalid id";
    if (prev_field.len == 1 && prev_field.p[0] == '0')
        return NULL;
    if (id_parse(prev_field.p, prev_field.len, &prev) != RELAY_OK)
        return "the envelope has an invalid id";
    if (strcmp(id.birth, prev.birth) == 0 && id_compare(&prev, &id) >= 0)
        return "the envelope has a prev that is not before its id";
    return NULL;
}

/* Cut @rest at its first space: what is before it is the field. */
static bool take_field(struct field *rest, struct field *out) {
    const char *space = rest->len == 0 ? NULL : memchr(rest->p, ' ', rest->len);
    if (space == NULL)
        return false;
    *out = (struct field){rest->p, (size_t)(space - rest->p)};
    rest->len -= out->len + 1;
    rest->p = space + 1;
    return true;
}

/* Read `<id> <prev> ` and leave @rest at the JSON. Returns what is wrong, or NULL. */
static const char *read_ids(struct field *rest, struct envelope *e) {
    struct field id, prev;
    if (!take_field(rest, &id) || !take_field(rest, &prev))
        return "the envelope is cut short";
    if (is_dash(id) && is_dash(prev))
        return NULL;
    const char *wrong = check_ids(id, prev);
    if (wrong != NULL)
        return wrong;
    e->durable = true;
    e->id = id.p;
    e->id_len = id.len;
    e->prev = prev.p;
    e->prev_len = prev.len;
    return NULL;
}

static const char *read_name(const json_t *value, struct event *event) {
    if (value == NULL || json_is_null(value))
        return NULL;
    if (!json_is_string(value))
        return "the envelope has an event that is not a string";
    event->name = json_string_value(value);
    event->name_len = json_string_length(value);
    return event_name_check(event->name, event->name_len) == NULL
               ? NULL
               : "the envelope has an invalid event";
}

static const char *read_data(const json_t *value, struct event *event) {
    if (!json_is_string(value))
        return "the envelope has no data, or data that is not a string";
    event->data = json_string_value(value);
    event->data_len = json_string_length(value);
    return event->data_len <= DATA_MAX_BYTES ? NULL : "the envelope has data longer than 1 MiB";
}

static const char *read_retry(const json_t *value, struct event *event) {
    if (value == NULL || json_is_null(value))
        return NULL;
    uint64_t retry_ms = (uint64_t)json_integer_value(value); /* 0 for what is no integer: refused */
    if (retry_check(retry_ms) != NULL)
        return "the envelope has an invalid retry";
    event->retry_ms = (uint32_t)retry_ms;
    return NULL;
}

/* Duplicate members are refused: readers in other languages keep the first or the last of them, and
 * nobody could say what was published. */
static int decode_json(struct field json, struct envelope *e, const char **why) {
    json_error_t error = {.text = ""};
    json_t *root = json_loadb(json.p, json.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        *why = "the envelope is not valid JSON";
        return json_error_code(&error) == json_error_out_of_memory ? RELAY_ENOMEM : RELAY_EINVAL;
    }
    if ((*why = read_name(json_object_get(root, "event"), &e->event)) != NULL ||
        (*why = read_data(json_object_get(root, "data"), &e->event)) != NULL ||
        (*why = read_retry(json_object_get(root, "retry"), &e->event)) != NULL) {
        e->deleted = e->durable && json_is_true(json_object_get(root, "deleted"));
        json_decref(root);
        return RELAY_EINVAL;
    }
    e->owned = root;
    return RELAY_OK;
}

/* Our own form without jansson, everything else with it. */
static int decode_event(struct field json, struct envelope *e, const char **why) {
    if (!canonical_read(json.p, json.len, &e->event, &e->text))
        return decode_json(json, e, why);
    const struct event *event = &e->event;
    *why = NULL;
    if (event_name_check(event->name, event->name_len) != NULL)
        *why = "the envelope has an invalid event";
    else if (event->data_len > DATA_MAX_BYTES)
        *why = "the envelope has data longer than 1 MiB";
    else if (event->retry_ms != 0 && retry_check(event->retry_ms) != NULL)
        *why = "the envelope has an invalid retry";
    if (*why == NULL)
        return RELAY_OK;
    free(e->text);
    e->text = NULL;
    return RELAY_EINVAL;
}

static int decode_object(struct field json, struct envelope *e, const char **why) {
    if (json.len == 0 || json.p[0] != '{') { /* jansson would skip white space, the contract not */
        *why = "the envelope holds no JSON object";
        return RELAY_EINVAL;
    }
    return decode_event(json, e, why);
}

static int decode_enveloped(const char *message, size_t len, struct envelope *e, const char **why) {
    struct field rest = {message + MAGIC_LEN, len - MAGIC_LEN};
    if ((*why = read_ids(&rest, e)) != NULL)
        return RELAY_EINVAL;
    if (len > MESSAGE_MAX_BYTES) {
        *why = "the envelope is too long";
        return RELAY_EINVAL;
    }
    return decode_object(rest, e, why);
}

static int decode_raw(const char *message, size_t len, struct envelope *e, const char **why) {
    if (data_check(message, len) != NULL) {
        *why = len > DATA_MAX_BYTES ? "the message is longer than 1 MiB"
                                    : "the message is not valid UTF-8";
        return RELAY_EINVAL;
    }
    e->event.data = len > 0 ? message : "";
    e->event.data_len = len;
    return RELAY_OK;
}

int envelope_decode(const char *message, size_t len, struct envelope *out, const char **why) {
    struct envelope e = {.owned = NULL};
    bool enveloped = len >= MAGIC_LEN && memcmp(message, magic, MAGIC_LEN) == 0;
    int rc =
        enveloped ? decode_enveloped(message, len, &e, why) : decode_raw(message, len, &e, why);
    if (rc != RELAY_OK) {
        e.event = (struct event){.name = NULL};
        e.owned = e.text = NULL;
    }
    *out = e;
    return rc;
}

int envelope_decode_json(const char *json, size_t len, struct envelope *out, const char **why) {
    struct envelope e = {.owned = NULL};
    int rc = decode_object((struct field){json, len}, &e, why);
    if (rc == RELAY_OK)
        *out = e;
    return rc;
}

void envelope_fini(struct envelope *e) {
    json_decref(e->owned);
    free(e->text);
    *e = (struct envelope){.owned = NULL};
}

void envelope_encode_json(struct buf *out, const struct event *event) {
    buf_putc(out, '{');
    if (event->name_len > 0) {
        buf_puts(out, "\"event\":");
        buf_put_json(out, event->name, event->name_len);
        buf_putc(out, ',');
    }
    buf_puts(out, "\"data\":");
    buf_put_json(out, event->data, event->data_len);
    if (event->retry_ms > 0)
        buf_printf(out, ",\"retry\":%u", (unsigned)event->retry_ms);
    buf_putc(out, '}');
}

void envelope_encode_live(struct buf *out, const struct event *event) {
    buf_puts(out, "sse1 - - ");
    envelope_encode_json(out, event);
}
