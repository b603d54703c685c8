/* What a source gave to what is published; see compose.h. */
#include "publisher-cli/publish/compose.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/input/json_text.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/wire/topic.h"

void compose_init(struct compose *c, const struct options *options) {
    size_t count = options->topics_count;
    *c = (struct compose){.options = options};
    c->topics = mem_zalloc((count + 1) * sizeof(*c->topics));
    for (size_t i = 0; i < count; i++)
        c->topics[i] = (struct publish_topic){options->topics[i], strlen(options->topics[i])};
}

void compose_fini(struct compose *c) {
    free(c->topics);
    buf_fini(&c->data);
    buf_fini(&c->key);
    buf_fini(&c->why);
}

/* "the data is not JSON" of a line, which stands behind its place; "is not JSON" of DATA. */
static const char *subject_of(const struct source_item *item) {
    return item->place.file != NULL ? "the data " : "";
}

static const char *check_data(struct compose *c, const struct source_item *item) {
    const char *wrong = data_check(item->given.event.data, item->given.event.data_len);
    if (wrong == NULL)
        return NULL;
    buf_reset(&c->why);
    buf_printf(&c->why, "%s%s", subject_of(item), wrong);
    return c->why.data;
}

/* --json: the data has to be JSON, and becomes its compact form. */
static const char *compact(struct compose *c, struct source_item *item) {
    size_t at;
    if (!c->options->is_json)
        return NULL;
    buf_reset(&c->data);
    const char *wrong =
        json_text_compact(item->given.event.data, item->given.event.data_len, &c->data, &at);
    if (wrong == NULL) {
        item->given.event.data = c->data.data;
        item->given.event.data_len = c->data.len;
        return NULL;
    }
    buf_reset(&c->why);
    buf_printf(&c->why, "%sis not JSON: %s at byte %zu", subject_of(item), wrong, at + 1);
    return c->why.data;
}

/* --key: one of many has its number in it, so that the same input can be sent again. */
static const char *add_key(struct compose *c, struct source_item *item) {
    if (item->given.is_live || item->given.key != NULL || c->options->key == NULL)
        return NULL;
    buf_reset(&c->key);
    buf_puts(&c->key, c->options->key);
    if (item->place.number > 0)
        buf_printf(&c->key, ":%" PRIu64, item->place.number);
    item->given.key = c->key.data;
    item->given.key_len = c->key.len;
    return c->key.len > PUBLISH_KEY_MAX_BYTES
               ? "has a key of more than 256 bytes, its number included"
               : NULL;
}

/* A recording says where its events were; -t, where they go. */
static const char *add_topics(struct compose *c, struct source_item *item) {
    const struct options *o = c->options;
    bool is_recording = o->command == COMMAND_REPLAY;
    if (item->given.topics_count > 0 && !(is_recording && o->topics_count > 0))
        return NULL;
    item->given.topics = c->topics;
    item->given.topics_count = o->topics_count;
    return o->topics_count == 0 ? "the line has no topic, and no -t was given" : NULL;
}

static const char *check_live(const struct compose *c, struct source_item *item) {
    if (c->options->is_live && item->given.has_live && !item->given.is_live)
        return "\"live\" is false, and --live was given";
    item->given.is_live = item->given.is_live || c->options->is_live;
    if (item->given.is_live &&
        (item->given.key != NULL || item->given.history > 0 || item->given.ttl_ms > 0))
        return "a live event is not stored: key, history and ttl do not go with it";
    return NULL;
}

static void add_rest(const struct options *o, struct source_item *item) {
    if (item->given.event.name == NULL && o->event != NULL) {
        item->given.event.name = o->event;
        item->given.event.name_len = strlen(o->event);
    }
    if (item->given.event.retry_ms == 0)
        item->given.event.retry_ms = o->retry_ms;
    if (item->given.is_live)
        return;
    item->given.history = item->given.history > 0 ? item->given.history : o->history;
    item->given.ttl_ms = item->given.ttl_ms > 0 ? item->given.ttl_ms : o->ttl_ms;
}

int compose_event(struct compose *c, struct source_item *item, struct batch_event *event) {
    if ((item->why = check_data(c, item)) != NULL || (item->why = compact(c, item)) != NULL ||
        (item->why = check_live(c, item)) != NULL || (item->why = add_topics(c, item)) != NULL ||
        (item->why = add_key(c, item)) != NULL)
        return RELAY_EINVAL;
    add_rest(c->options, item);
    *event = (struct batch_event){.event = item->given.event,
                                  .topics = item->given.topics,
                                  .topics_count = item->given.topics_count,
                                  .is_live = item->given.is_live,
                                  .history = item->given.history,
                                  .ttl_ms = item->given.ttl_ms,
                                  .key = item->given.key,
                                  .key_len = item->given.key_len,
                                  .place = item->place};
    return RELAY_OK;
}
