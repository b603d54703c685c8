/* The source whose lines are objects that describe events; see source.h. */
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/event_line.h"
#include "publisher-cli/source.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

struct source_ndjson {
    struct source source;
    struct files *files;
    struct event_line line;
    bool is_recording;
};

static bool is_blank(const char *text, size_t len) {
    size_t i = 0;
    while (i < len && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r'))
        i++;
    return i == len;
}

static enum source_state read_line(struct source_ndjson *s, const struct files_line *text,
                                   struct source_item *item) {
    struct event_line *l = &s->line;
    if (is_blank(text->text, text->len))
        return SOURCE_PASSED;
    if (event_line_read(l, text->text, text->len) != RELAY_OK) {
        item->why = l->why.data;
        return SOURCE_BAD;
    }
    if (event_line_is_relays(l)) {
        item->why = "\"event\" begins with relay., which is kept for the relay's own";
        return s->is_recording ? SOURCE_PASSED : SOURCE_BAD;
    }
    item->event = l->event;
    item->topics = l->topics;
    item->topics_count = l->topics_count;
    item->key = l->key;
    item->key_len = l->key_len;
    item->history = l->history;
    item->ttl_ms = l->ttl_ms;
    item->has_live = l->has_live;
    item->is_live = l->is_live;
    item->has_time = l->has_time;
    item->time_ms = l->time_ms;
    return SOURCE_EVENT;
}

static enum source_state next(struct source *source, struct source_item *item) {
    struct source_ndjson *s = (struct source_ndjson *)source;
    struct files_line line;
    enum files_state state = files_next(s->files, &line);
    item->place = line.place;
    switch (state) {
    case FILES_LINE:
        return read_line(s, &line, item);
    case FILES_TOO_LONG:
        item->why = "the line is longer than 7 MiB";
        return SOURCE_BAD;
    case FILES_WAIT:
        return SOURCE_WAIT;
    case FILES_END:
        return SOURCE_END;
    case FILES_FAILED:
        break;
    }
    item->why = line.why;
    return SOURCE_FAILED;
}

static double done(const struct source *source) {
    return files_done(((const struct source_ndjson *)source)->files);
}

static void end(struct source *source) {
    struct source_ndjson *s = (struct source_ndjson *)source;
    files_close(s->files);
    event_line_fini(&s->line);
    free(s);
}

static void on_files(void *arg) {
    struct source_ndjson *s = arg;
    s->source.on_wake(s->source.arg);
}

struct source *source_ndjson_new(uv_loop_t *loop, const struct files_options *options,
                                 bool is_recording, void (*on_wake)(void *), void *arg) {
    static const struct source_type type = {.next = next, .done = done, .close = end};
    struct source_ndjson *s = mem_zalloc(sizeof(*s));
    struct files_options mine = *options;
    mine.limit_bytes = EVENT_LINE_MAX_BYTES;
    s->source = (struct source){.type = &type, .on_wake = on_wake, .arg = arg};
    s->is_recording = is_recording;
    event_line_init(&s->line);
    s->files = files_new(loop, &mine, on_files, s);
    return &s->source;
}
