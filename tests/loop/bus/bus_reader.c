/* A subscriber of the bus that checks what comes; see bus_reader.h. */
#include "tests/loop/bus/bus_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/err.h"
#include "tests/unit/unit.h"

struct cursor_request behind(const struct event_id *id) {
    return (struct cursor_request){.kind = CURSOR_ID, .id = *id};
}

struct event_id publish_numbers(struct bus_world *w, const char *topics, unsigned from,
                                unsigned to) {
    struct event_id id = {.epoch = 0};
    char names[64], data[64];
    for (unsigned n = from; n < to; n++) {
        snprintf(names, sizeof(names), "%s", topics);
        for (char *rest, *name = strtok_r(names, " ", &rest); name != NULL;
             name = strtok_r(NULL, " ", &rest)) {
            snprintf(data, sizeof(data), "%s %u", name, n);
            id = durable_publish(&w->durable, name, data);
        }
    }
    return id;
}

/* ---- events ---- */

static size_t place_of(const struct bus_reader *r, const char *topic, size_t len) {
    size_t i = 0;
    while (i < r->topics_len &&
           (strlen(r->topics[i]) != len || memcmp(r->topics[i], topic, len) != 0))
        i++;
    return i;
}

static void take_event(struct bus_reader *r, const struct event_id *id, const char *data) {
    const char *blank = strchr(data, ' ');
    assert_non_null(blank);
    size_t t = place_of(r, data, (size_t)(blank - data));
    assert_true(t < r->topics_len);
    unsigned number = (unsigned)strtoul(blank, NULL, 10);
    if (r->has_cursor && strcmp(r->cursor.birth, id->birth) == 0 && id_compare(id, &r->cursor) <= 0)
        fail_msg("%s is not above the cursor", data);
    if (!r->any[t] && number != r->next[t])
        fail_msg("%s comes where %u is next", data, r->next[t]);
    r->any[t] = false;
    r->next[t] = number + 1;
    r->cursor = *id;
    r->has_cursor = true;
    r->events++;
}

/* The value of a field at *@at, which ends its line; *@at moves behind the line. */
static const char *take_field(char **at, const char *name) {
    char *value = *at + strlen(name), *end = strchr(value, '\n');
    if (strncmp(*at, name, strlen(name)) != 0 || end == NULL)
        fail_msg("no field %s at: %.60s", name, *at);
    *end = '\0';
    *at = end + 1;
    return value;
}

/* Blocks of `id:` and `data:`. Returns how many. */
static uint32_t take_blocks(struct bus_reader *r, const struct frame *f) {
    struct frame_slice body = frame_slice(f, FRAME_FORMAT_DATA, FRAMING_NONE);
    char *text = malloc(body.len + 1), *at = text;
    uint32_t n = 0;
    memcpy(text, body.bytes, body.len);
    text[body.len] = '\0';
    while (at < text + body.len) {
        struct event_id id;
        const char *field = take_field(&at, "id: ");
        assert_int_equal(id_parse(field, strlen(field), &id), RELAY_OK);
        take_event(r, &id, take_field(&at, "data: "));
        assert_int_equal(*at++, '\n');
        n++;
    }
    free(text);
    return n;
}

/* ---- messages ---- */

static void ask(struct bus_reader *r) {
    struct buf names = BUF_INIT;
    for (size_t i = 0; i < r->topics_len; i++)
        buf_printf(&names, "%s%s", i > 0 ? " " : "", r->topics[i]);
    struct worker_replay replay = {.token = ++r->token,
                                   .start = r->has_cursor ? behind(&r->cursor) : r->start,
                                   .limit_bytes = r->limit_bytes,
                                   .replayed = r->replayed};
    worker_replay(r->world, r->worker, names.data, &replay);
    buf_fini(&names);
}

static void on_event(struct bus_reader *r, const struct bus_event *e) {
    if (!r->live || !e->durable || place_of(r, e->topic, e->topic_len) == r->topics_len)
        return;
    if (!frame_has_format(e->frame, FRAME_FORMAT_DATA) || id_compare(&e->id, &r->cursor) <= 0)
        return;
    assert_int_equal(take_blocks(r, e->frame), 1);
    assert_int_equal(id_compare(&r->cursor, &e->id), 0);
}

static void on_gap(struct bus_reader *r, const struct bus_gap *m) {
    if (place_of(r, m->topic, m->topic_len) == r->topics_len || !r->live)
        return;
    r->gaps++;
    r->live = false;
    ask(r);
}

static void take_slice(struct bus_reader *r, const struct bus_event *slice) {
    uint32_t n = take_blocks(r, slice->frame);
    size_t len = frame_slice(slice->frame, FRAME_FORMAT_DATA, FRAMING_NONE).len;
    assert_int_equal(n, slice->count);
    assert_true(n > 0);
    assert_int_equal(id_compare(&r->cursor, &slice->id), 0);
    assert_true(n == 1 || r->limit_bytes == 0 || len <= r->limit_bytes);
    r->replayed += n;
    r->slices++;
}

static void on_replayed(struct bus_reader *r, const struct bus_replayed *m) {
    if (m->token != r->token)
        return;
    /* Without a cursor, the first answer was of a Redis without a clock; it goes on as the hub
     * does. */
    r->start = (struct cursor_request){.kind = CURSOR_BIRTH};
    assert_true(m->resets_len == 0 || m->resets_len == r->topics_len);
    for (size_t i = 0; i < m->resets_len; i++) {
        unsigned reasons = m->resets[i] & ~(unsigned)REPLAY_MARKS;
        r->resets[i] |= reasons;
        r->any[i] = r->any[i] || reasons != 0;
    }
    if (m->resets_len > 0 && cursor_is_set(&m->cursor)) {
        r->cursor = m->start.at;
        r->has_cursor = true;
    }
    if (m->slice != NULL)
        take_slice(r, m->slice);
    if (cursor_is_set(&m->cursor)) {
        assert_true(m->slice == NULL || id_compare(&m->cursor.at, &r->cursor) >= 0);
        r->cursor = m->cursor.at;
        r->has_cursor = true;
    }
    r->live = m->live;
    if (r->live)
        r->replayed = 0;
    else
        ask(r);
}

void reader_step(struct bus_reader *r) {
    struct bus_message *m = worker_next(r->world, r->worker);
    if (m->kind == BUS_EVENT)
        on_event(r, (struct bus_event *)m);
    else if (m->kind == BUS_GAP)
        on_gap(r, (struct bus_gap *)m);
    else if (m->kind == BUS_REPLAYED)
        on_replayed(r, (struct bus_replayed *)m);
    message_free(m);
}

void reader_until_live(struct bus_reader *r) {
    while (!r->live)
        reader_step(r);
}

void reader_until(struct bus_reader *r, size_t topic, unsigned next) {
    while (r->next[topic] < next)
        reader_step(r);
    assert_int_equal(r->next[topic], next);
}

/* ---- life ---- */

void reader_return(struct bus_reader *r, unsigned worker) {
    r->worker = worker;
    r->live = false;
    r->replayed = 0;
    for (size_t i = 0; i < r->topics_len; i++)
        worker_subscribe(r->world, worker, r->topics[i], DATA);
    ask(r);
}

void reader_start(struct bus_reader *r, struct bus_world *w, unsigned worker, const char *topics,
                  const struct cursor_request *start, size_t limit_bytes) {
    char names[1024], *save = NULL;
    memset(r, 0, sizeof(*r));
    r->world = w;
    r->token = ++w->readers << 32;
    r->limit_bytes = limit_bytes;
    if (start != NULL)
        r->start = *start;
    assert_true(strlen(topics) < sizeof(names));
    strcpy(names, topics);
    for (char *n = strtok_r(names, " ", &save); n != NULL; n = strtok_r(NULL, " ", &save)) {
        assert_true(r->topics_len < READER_TOPICS && strlen(n) < READER_NAME_BYTES);
        r->any[r->topics_len] = true;
        strcpy(r->topics[r->topics_len++], n);
    }
    reader_return(r, worker);
}

void reader_stop(struct bus_reader *r) {
    for (size_t i = 0; i < r->topics_len; i++)
        worker_unsubscribe(r->world, r->worker, r->topics[i]);
    r->live = false;
    r->token++; /* an answer that is on its way finds nobody */
}

void reader_start_behind(struct bus_reader *r, struct bus_world *w, unsigned worker,
                         const char *topics, const struct event_id *cursor, unsigned next,
                         size_t limit_bytes) {
    struct cursor_request start = behind(cursor);
    reader_start(r, w, worker, topics, &start, limit_bytes);
    r->next[0] = next;
    r->any[0] = false;
}

unsigned reader_resets(const struct bus_reader *r) {
    unsigned all = 0;
    for (size_t i = 0; i < r->topics_len; i++)
        all |= r->resets[i];
    return all;
}
