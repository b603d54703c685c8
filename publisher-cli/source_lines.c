/* The source whose lines are data; see source.h. */
#include <stdlib.h>

#include "publisher-cli/source.h"
#include "relay/base/mem.h"
#include "relay/wire/topic.h"

struct source_lines {
    struct source source;
    struct files *files;
};

static enum source_state next(struct source *source, struct source_item *item) {
    struct source_lines *s = (struct source_lines *)source;
    struct files_line line;
    enum files_state state = files_next(s->files, &line);
    item->place = line.place;
    switch (state) {
    case FILES_LINE:
        item->event.data = line.text;
        item->event.data_len = line.len;
        return SOURCE_EVENT;
    case FILES_TOO_LONG:
        item->why = "the line is longer than 1 MiB";
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
    files_close(((struct source_lines *)source)->files);
    free(source);
}

static void on_files(void *arg) {
    struct source_lines *s = arg;
    s->source.on_wake(s->source.arg);
}

struct source *source_lines_new(uv_loop_t *loop, const struct files_options *options,
                                void (*on_wake)(void *), void *arg) {
    static const struct source_type type = {.next = next, .done = done, .close = end};
    struct source_lines *s = mem_zalloc(sizeof(*s));
    struct files_options mine = *options;
    mine.limit_bytes = DATA_MAX_BYTES;
    s->source = (struct source){.type = &type, .on_wake = on_wake, .arg = arg};
    s->files = files_new(loop, &mine, on_files, s);
    return &s->source;
}
