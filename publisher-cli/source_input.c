/* The sources that read: all of it as one event, or each line as one; see source.h. */
#include <stdlib.h>
#include <string.h>

#include "publisher-cli/input.h"
#include "publisher-cli/source.h"
#include "relay/base/buf.h"
#include "relay/base/mem.h"
#include "relay/wire/topic.h"

/* What is longer than this cannot become data by losing its line end: reading on is of no use, and
 * the event is handed out to be refused. */
enum { GIVE_UP_BYTES = DATA_MAX_BYTES + 2 };

struct source_input {
    struct source source;
    struct input input;
    bool is_lines;
    struct buf text; /* read and not yet handed out, from `taken` on */
    size_t taken;    /* bytes at its beginning that were handed out */
    uint64_t count;  /* events handed out */
    bool is_over;    /* nothing more will come */
    int error;       /* libuv's code of why, or 0 */
};

static void on_read(void *arg, const char *bytes, ssize_t len) {
    struct source_input *s = arg;
    if (len > 0)
        buf_append(&s->text, bytes, (size_t)len);
    s->is_over = len <= 0;
    s->error = len < 0 ? (int)len : 0;
    input_pause(&s->input);
    s->source.on_wake(s->source.arg);
}

/* Without the line end (LF or CRLF) behind it, if there is one. */
static size_t without_line_end(const char *text, size_t len) {
    if (len == 0 || text[len - 1] != '\n')
        return len;
    len--;
    return len > 0 && text[len - 1] == '\r' ? len - 1 : len;
}

static enum source_state hand_out(struct source_input *s, const char *text, size_t len,
                                  struct source_item *item) {
    s->taken += len;
    s->count++;
    item->event.data = text;
    item->event.data_len = without_line_end(text, len);
    item->where = s->is_lines ? "line" : "standard input";
    item->line = s->is_lines ? s->count : 0;
    return SOURCE_EVENT;
}

static enum source_state read_on(struct source_input *s) {
    if (s->taken > 0)
        buf_consume(&s->text, s->taken);
    s->taken = 0;
    input_resume(&s->input);
    return SOURCE_WAIT;
}

static enum source_state next(struct source *source, struct source_item *item) {
    struct source_input *s = (struct source_input *)source;
    const char *text = s->text.len == 0 ? "" : s->text.data + s->taken;
    size_t len = s->text.len - s->taken;
    const char *end = s->is_lines && len > 0 ? memchr(text, '\n', len) : NULL;
    if (end != NULL)
        return hand_out(s, text, (size_t)(end - text) + 1, item);
    if (len > GIVE_UP_BYTES)
        return hand_out(s, text, len, item);
    if (!s->is_over)
        return read_on(s);
    if (s->error != 0) {
        item->why = uv_strerror(s->error);
        return SOURCE_FAILED;
    }
    if (len > 0 ||
        (!s->is_lines && s->count == 0)) /* nothing at all is an event too, if asked for */
        return hand_out(s, text, len, item);
    return SOURCE_END;
}

static void on_input_closed(void *arg) {
    struct source_input *s = arg;
    buf_fini(&s->text);
    free(s);
}

static void end(struct source *source) {
    struct source_input *s = (struct source_input *)source;
    input_close(&s->input, on_input_closed);
}

struct source *source_input_new(uv_loop_t *loop, int fd, bool is_lines, void (*on_wake)(void *),
                                void *arg) {
    static const struct source_type type = {.next = next, .close = end};
    struct source_input *s = mem_zalloc(sizeof(*s));
    s->source = (struct source){.type = &type, .on_wake = on_wake, .arg = arg};
    s->is_lines = is_lines;
    input_start(&s->input, loop, fd, on_read, s);
    return &s->source;
}
