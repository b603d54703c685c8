/* One line of NDJSON to an event; see event_line.h. */
#include "publisher-cli/input/event_line.h"

#include <string.h>

#include "publisher-cli/input/json_text.h"
#include "relay/base/err.h"
#include "relay/base/quantity.h"
#include "relay/base/utf8.h"

static const char relays_own[] = "relay.";

/* Takes the value of a member into the line; false: it is wrong, and l->why says what. */
typedef bool (*member_read)(struct event_line *l, struct json_text *t);

void event_line_init(struct event_line *l) {
    *l = (struct event_line){.memory = BUF_INIT, .why = BUF_INIT};
}

void event_line_fini(struct event_line *l) {
    buf_fini(&l->memory);
    buf_fini(&l->why);
}

bool event_line_is_relays(const struct event_line *l) {
    enum { LEN = sizeof(relays_own) - 1 };
    return l->given.event.name_len >= LEN && memcmp(l->given.event.name, relays_own, LEN) == 0;
}

/* ---- what is wrong ---- */

static bool refuse(struct event_line *l, const char *subject, const char *wrong) {
    buf_printf(&l->why, "%s %s", subject, wrong);
    return false;
}

static bool refuse_json(struct event_line *l, const struct json_text *t, const char *start) {
    buf_printf(&l->why, "the line is not JSON: %s at byte %zu", t->why, (size_t)(t->p - start) + 1);
    return false;
}

/* ---- values ---- */

static bool next_is(struct json_text *t, char c) {
    if (!json_text_take(t, c))
        return false;
    t->p--;
    return true;
}

/* A string that a member must have; @name is the member. */
static bool take_string(struct event_line *l, struct json_text *t, const char *name,
                        struct json_span *out) {
    if (next_is(t, '"'))
        return json_text_string(t, out, &l->memory);
    buf_printf(&l->why, "\"%s\" is not a string", name);
    return false;
}

/* An integer of at most @max; or, with @units, a string that says one. */
static bool take_number(struct event_line *l, struct json_text *t, const char *name,
                        const struct unit *units, uint64_t *out) {
    struct json_span span;
    char text[32];
    bool is_text = units != NULL && next_is(t, '"');
    if (is_text ? !json_text_string(t, &span, &l->memory) : !json_text_value(t, &span, NULL))
        return false;
    const char *wrong = "is not a whole number";
    if (span.len > 0 && span.len < sizeof(text) && memchr(span.data, '\0', span.len) == NULL) {
        memcpy(text, span.data, span.len);
        text[span.len] = '\0';
        if (is_text || strspn(text, "0123456789") == span.len)
            wrong = quantity_parse(text, is_text ? units : quantity_plain, out);
    }
    if (wrong != NULL)
        buf_printf(&l->why, "\"%s\" %s", name, wrong);
    return wrong == NULL;
}

static bool add_topic(struct event_line *l, struct json_span topic) {
    const char *wrong = topic_check(topic.data, topic.len);
    if (wrong != NULL)
        return refuse(l, "the topic", wrong);
    for (size_t i = 0; i < l->given.topics_count; i++)
        if (l->topics[i].len == topic.len && memcmp(l->topics[i].name, topic.data, topic.len) == 0)
            return refuse(l, "a topic", "is named twice");
    if (l->given.topics_count == EVENT_LINE_TOPICS_MAX)
        return refuse(l, "the line", "names more than 256 topics");
    l->given.topics = l->topics;
    l->topics[l->given.topics_count++] = (struct publish_topic){topic.data, topic.len};
    return true;
}

static bool read_topic(struct event_line *l, struct json_text *t) {
    struct json_span topic;
    if (l->given.topics_count > 0)
        return refuse(l, "the line", "has both topic and topics");
    return take_string(l, t, "topic", &topic) && add_topic(l, topic);
}

static bool read_topics(struct event_line *l, struct json_text *t) {
    struct json_span topic;
    if (l->given.topics_count > 0)
        return refuse(l, "the line", "has both topic and topics");
    if (!json_text_take(t, '['))
        return refuse(l, "\"topics\"", "is not an array of strings");
    do {
        if (!take_string(l, t, "topics", &topic) || !add_topic(l, topic))
            return false;
    } while (json_text_take(t, ','));
    if (json_text_take(t, ']'))
        return true;
    t->why = "a comma or an end is missing";
    return false;
}

static bool read_data(struct event_line *l, struct json_text *t) {
    struct json_span data;
    if (next_is(t, '"')) {
        if (!json_text_string(t, &data, &l->memory))
            return false;
    } else {
        size_t before = l->memory.len;
        if (!json_text_value(t, NULL, &l->memory))
            return false;
        data = (struct json_span){l->memory.data + before, l->memory.len - before};
    }
    const char *wrong = data_check(data.data, data.len);
    l->given.event.data = data.data;
    l->given.event.data_len = data.len;
    return wrong == NULL || refuse(l, "\"data\"", wrong);
}

static bool read_event(struct event_line *l, struct json_text *t) {
    struct json_span name;
    if (!take_string(l, t, "event", &name))
        return false;
    l->given.event.name = name.data;
    l->given.event.name_len = name.len;
    const char *wrong = event_line_is_relays(l) ? NULL : event_name_check(name.data, name.len);
    return wrong == NULL || refuse(l, "\"event\"", wrong);
}

static bool read_key(struct event_line *l, struct json_text *t) {
    struct json_span key;
    if (!take_string(l, t, "key", &key))
        return false;
    l->given.key = key.data;
    l->given.key_len = key.len;
    const char *wrong = publish_key_check(key.data, key.len);
    return wrong == NULL || refuse(l, "\"key\"", wrong);
}

static bool read_retry(struct event_line *l, struct json_text *t) {
    uint64_t retry_ms;
    if (!take_number(l, t, "retry", quantity_time, &retry_ms))
        return false;
    const char *wrong = retry_check(retry_ms);
    l->given.event.retry_ms = wrong == NULL ? (uint32_t)retry_ms : 0;
    return wrong == NULL || refuse(l, "\"retry\"", wrong);
}

static bool read_history(struct event_line *l, struct json_text *t) {
    if (!take_number(l, t, "history", NULL, &l->given.history))
        return false;
    if (l->given.history >= 1 && l->given.history <= PUBLISH_HISTORY_MAX)
        return true;
    return refuse(l, "\"history\"", "is no number from 1 to 10000000");
}

static bool read_ttl(struct event_line *l, struct json_text *t) {
    if (!take_number(l, t, "ttl", quantity_time, &l->given.ttl_ms))
        return false;
    if (l->given.ttl_ms >= PUBLISH_TTL_MIN_MS && l->given.ttl_ms <= INT64_MAX / 4)
        return true;
    return refuse(l, "\"ttl\"", "is no time of 1s or more");
}

static bool read_time(struct event_line *l, struct json_text *t) {
    l->given.has_time = take_number(l, t, "time", NULL, &l->given.time_ms);
    return l->given.has_time;
}

static bool read_live(struct event_line *l, struct json_text *t) {
    struct json_span value;
    if (!json_text_value(t, &value, NULL))
        return false;
    l->given.is_live = value.len == 4 && memcmp(value.data, "true", 4) == 0;
    l->given.has_live = l->given.is_live || (value.len == 5 && memcmp(value.data, "false", 5) == 0);
    return l->given.has_live || refuse(l, "\"live\"", "is neither true nor false");
}

static bool skip_value(struct event_line *l, struct json_text *t) {
    (void)l;
    return json_text_value(t, NULL, NULL);
}

/* ---- the line ---- */

static const struct {
    const char *name;
    member_read read;
} members[] = {{"topic", read_topic},     {"topics", read_topics}, {"data", read_data},
               {"event", read_event},     {"key", read_key},       {"retry", read_retry},
               {"history", read_history}, {"ttl", read_ttl},       {"live", read_live},
               {"time", read_time},       {"id", skip_value}};

enum { MEMBERS = sizeof(members) / sizeof(members[0]), MEMBER_DATA = 2 };

/* Names that are no text for a terminal are not repeated. */
static bool refuse_member(struct event_line *l, struct json_span name, const char *wrong) {
    enum { SHOWN_MAX = 64 };
    if (name.len > SHOWN_MAX || utf8_has_control(name.data, name.len))
        buf_printf(&l->why, "a member %s", wrong);
    else
        buf_printf(&l->why, "the member \"%.*s\" %s", (int)name.len, name.data, wrong);
    return false;
}

static bool read_member(struct event_line *l, struct json_text *t) {
    struct json_span name;
    unsigned i = 0;
    if (!json_text_string(t, &name, &l->memory))
        return false;
    if (!json_text_take(t, ':')) {
        t->why = "a colon is missing";
        return false;
    }
    while (i < MEMBERS && (strlen(members[i].name) != name.len ||
                           memcmp(members[i].name, name.data, name.len) != 0))
        i++;
    if (i == MEMBERS)
        return refuse_member(l, name, "is not known");
    if ((l->seen & 1U << i) != 0)
        return refuse_member(l, name, "is there twice");
    l->seen |= 1U << i;
    if (i != MEMBER_DATA && next_is(t, 'n'))
        return skip_value(l, t);
    return members[i].read(l, t);
}

static bool read_object(struct event_line *l, struct json_text *t) {
    if (!json_text_take(t, '{'))
        return refuse(l, "the line", "is not a JSON object");
    if (!json_text_take(t, '}')) {
        do {
            if (!read_member(l, t))
                return false;
        } while (json_text_take(t, ','));
        if (!json_text_take(t, '}')) {
            t->why = "a comma or an end is missing";
            return false;
        }
    }
    if (!json_text_is_over(t)) {
        t->why = "something follows the object";
        return false;
    }
    if (l->given.event.data == NULL && !event_line_is_relays(l))
        return refuse(l, "the line", "has no data");
    return true;
}

int event_line_read(struct event_line *l, const char *text, size_t len) {
    struct json_text t = {.p = text, .end = text + len};
    struct buf memory = l->memory, why = l->why;
    buf_reset(&memory);
    buf_reset(&why);
    buf_reserve(&memory, len); /* nothing grows by being read, so nothing moves */
    *l = (struct event_line){.memory = memory, .why = why};
    if (!utf8_valid(text, len))
        refuse(l, "the line", "is not valid UTF-8");
    else if (read_object(l, &t))
        return RELAY_OK;
    else if (l->why.len == 0)
        refuse_json(l, &t, text);
    return RELAY_EINVAL;
}
