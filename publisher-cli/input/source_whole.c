/* The source that reads all there is as one event; see source.h. */
#include <stdlib.h>

#include "publisher-cli/input/input.h"
#include "publisher-cli/input/source.h"
#include "relay/base/buf.h"
#include "relay/base/mem.h"
#include "relay/wire/topic.h"

/* What is longer than this cannot become data by losing its line end: reading on is of no use. */
enum { GIVE_UP_BYTES = DATA_MAX_BYTES + 2 };

static const char name[] = "standard input";

struct source_whole {
    struct source source;
    struct input input;
    struct buf text;
    bool is_over; /* all was read, or as much as is of use */
    int error;    /* libuv's code of why no more can be read, or 0 */
    struct buf why;
    bool may_be_empty;
    uint64_t repeat;
    uint64_t taken;
};

static void on_read(void *arg, const char *bytes, ssize_t len) {
    struct source_whole *s = arg;
    if (len > 0)
        buf_append(&s->text, bytes, (size_t)len);
    s->is_over = len <= 0 || s->text.len > GIVE_UP_BYTES;
    s->error = len < 0 ? (int)len : 0;
    if (!s->is_over)
        return;
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

static enum source_state next(struct source *source, struct source_item *item) {
    struct source_whole *s = (struct source_whole *)source;
    if (!s->is_over) {
        input_resume(&s->input);
        return SOURCE_WAIT;
    }
    if (s->error != 0) {
        buf_reset(&s->why);
        buf_printf(&s->why, "cannot read %s: %s", name, uv_strerror(s->error));
        item->why = s->why.data;
        return SOURCE_FAILED;
    }
    if (s->taken == s->repeat)
        return SOURCE_END;
    s->taken++;
    item->what = name;
    item->place.number = s->repeat > 1 ? s->taken : 0;
    if (s->text.len == 0 && !s->may_be_empty) {
        item->why = "is empty (`-` takes it as an event with empty data, and --empty makes one)";
        return SOURCE_BAD;
    }
    item->given.event.data =
        s->text.len > 0 ? s->text.data : ""; /* nothing at all is an event too, where asked for */
    item->given.event.data_len = without_line_end(item->given.event.data, s->text.len);
    return SOURCE_EVENT;
}

static double done(const struct source *source) {
    const struct source_whole *s = (const struct source_whole *)source;
    return (double)s->taken / (double)s->repeat;
}

static void on_input_closed(void *arg) {
    struct source_whole *s = arg;
    buf_fini(&s->text);
    buf_fini(&s->why);
    free(s);
}

static void end(struct source *source) {
    struct source_whole *s = (struct source_whole *)source;
    input_close(&s->input, on_input_closed);
}

struct source *source_whole_new(uv_loop_t *loop, int fd, bool may_be_empty, uint64_t repeat,
                                void (*on_wake)(void *), void *arg) {
    static const struct source_type type = {.next = next, .done = done, .close = end};
    struct source_whole *s = mem_zalloc(sizeof(*s));
    s->source = (struct source){.type = &type, .on_wake = on_wake, .arg = arg};
    s->may_be_empty = may_be_empty;
    s->repeat = repeat;
    input_start(&s->input, loop, fd, on_read, s);
    return &s->source;
}
