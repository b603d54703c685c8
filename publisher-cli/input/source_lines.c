/* The sources whose events are lines of files: each line is data, or an object that describes an
 * event; see source.h. */
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/input/event_line.h"
#include "publisher-cli/input/source.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/wire/topic.h"

struct source_lines {
    struct source source;
    struct files *files;
    enum source_state (*read)(struct source_lines *s, const struct files_line *line,
                              struct source_item *item);
    const char *too_long; /* what is said of such a line */
    struct event_line line;
    bool is_recording;
};

static enum source_state read_data(struct source_lines *s, const struct files_line *line,
                                   struct source_item *item) {
    (void)s;
    item->given.event.data = line->text;
    item->given.event.data_len = line->len;
    return SOURCE_EVENT;
}

static bool is_blank(const char *text, size_t len) {
    size_t i = 0;
    while (i < len && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r'))
        i++;
    return i == len;
}

static enum source_state read_object(struct source_lines *s, const struct files_line *line,
                                     struct source_item *item) {
    struct event_line *l = &s->line;
    if (is_blank(line->text, line->len))
        return SOURCE_PASSED;
    if (event_line_read(l, line->text, line->len) != RELAY_OK) {
        item->why = l->why.data;
        return SOURCE_BAD;
    }
    if (event_line_is_relays(l)) {
        item->why = "\"event\" begins with relay., which is kept for the relay's own";
        return s->is_recording ? SOURCE_PASSED : SOURCE_BAD;
    }
    item->given = l->given;
    return SOURCE_EVENT;
}

static enum source_state next(struct source *source, struct source_item *item) {
    struct source_lines *s = (struct source_lines *)source;
    struct files_line line;
    enum files_state state = files_next(s->files, &line);
    item->place = line.place;
    switch (state) {
    case FILES_LINE:
        return s->read(s, &line, item);
    case FILES_TOO_LONG:
        item->why = s->too_long;
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
    return files_done(((const struct source_lines *)source)->files);
}

static void end(struct source *source) {
    struct source_lines *s = (struct source_lines *)source;
    files_close(s->files);
    event_line_fini(&s->line);
    free(s);
}

static void on_files(void *arg) {
    struct source_lines *s = arg;
    s->source.on_wake(s->source.arg);
}

static struct source_lines *lines_new(uv_loop_t *loop, struct files_options options,
                                      size_t limit_bytes, void (*on_wake)(void *), void *arg) {
    static const struct source_type type = {.next = next, .done = done, .close = end};
    struct source_lines *s = mem_zalloc(sizeof(*s));
    options.limit_bytes = limit_bytes;
    s->source = (struct source){.type = &type, .on_wake = on_wake, .arg = arg};
    s->files = files_new(loop, &options, on_files, s);
    event_line_init(&s->line);
    return s;
}

struct source *source_lines_new(uv_loop_t *loop, const struct files_options *options,
                                void (*on_wake)(void *), void *arg) {
    struct source_lines *s = lines_new(loop, *options, DATA_MAX_BYTES, on_wake, arg);
    s->read = read_data;
    s->too_long = "the line is longer than 1 MiB";
    return &s->source;
}

struct source *source_ndjson_new(uv_loop_t *loop, const struct files_options *options,
                                 bool is_recording, void (*on_wake)(void *), void *arg) {
    struct source_lines *s = lines_new(loop, *options, EVENT_LINE_MAX_BYTES, on_wake, arg);
    s->read = read_object;
    s->too_long = "the line is longer than 7 MiB";
    s->is_recording = is_recording;
    return &s->source;
}
