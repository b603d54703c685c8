/* A text/event-stream to events; see event_stream.h. */
#include "publisher-cli/tail/event_stream.h"

#include <string.h>

#include "relay/base/err.h"
#include "relay/base/utf8.h"

static const char byte_order_mark[] = "\xef\xbb\xbf";
static const char replacement[] = "\xef\xbf\xbd";

/* Part of a line; not ended by a NUL. */
struct text {
    const char *bytes;
    size_t len;
};

void event_stream_init(struct event_stream *s, size_t limit_bytes,
                       const struct event_stream_callbacks *callbacks, void *arg) {
    *s = (struct event_stream){.callbacks = callbacks, .arg = arg, .limit_bytes = limit_bytes};
}

void event_stream_fini(struct event_stream *s) {
    buf_fini(&s->line);
    buf_fini(&s->name);
    buf_fini(&s->data);
    buf_fini(&s->id);
    buf_fini(&s->last_id);
}

static void set(struct buf *to, const char *bytes, size_t len) {
    buf_reset(to);
    buf_append(to, bytes, len);
}

void event_stream_begin_at(struct event_stream *s, const char *id) {
    set(&s->last_id, id, strlen(id));
    set(&s->id, id, strlen(id));
}

void event_stream_restart(struct event_stream *s) {
    buf_reset(&s->line);
    buf_reset(&s->name);
    buf_reset(&s->data);
    set(&s->id, s->last_id.data, s->last_id.len);
    s->is_inside = s->is_after_cr = s->is_broken = false;
}

const char *event_stream_last_id(const struct event_stream *s) {
    return s->last_id.len > 0 ? s->last_id.data : "";
}

/* ---- fields ---- */

/* Append @t, each part of it that is no UTF-8 as U+FFFD. utf8_scan() says how far it is. */
static void put_text(struct buf *to, struct text t) {
    while (t.len > 0) {
        size_t bad, good = utf8_scan(t.bytes, t.len, &bad);
        buf_append(to, t.bytes, good);
        if (bad > 0)
            buf_puts(to, replacement);
        t.bytes += good + bad;
        t.len -= good + bad;
    }
}

static bool is(struct text t, const char *word) {
    return t.len == strlen(word) && memcmp(t.bytes, word, t.len) == 0;
}

static void read_retry(struct event_stream *s, struct text value) {
    uint64_t ms = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.bytes[i] < '0' || value.bytes[i] > '9')
            return;
        uint64_t digit = (uint64_t)(value.bytes[i] - '0');
        ms = ms > (UINT64_MAX - digit) / 10 ? UINT64_MAX : ms * 10 + digit;
    }
    if (value.len > 0)
        s->callbacks->on_retry(s->arg, ms);
}

static void read_field(struct event_stream *s, struct text name, struct text value) {
    if (is(name, "data")) {
        put_text(&s->data, value);
        buf_putc(&s->data, '\n');
        s->is_broken = s->data.len - 1 > s->limit_bytes;
    } else if (is(name, "event")) {
        buf_reset(&s->name);
        put_text(&s->name, value);
    } else if (is(name, "id") && (value.len == 0 || memchr(value.bytes, 0, value.len) == NULL)) {
        buf_reset(&s->id);
        put_text(&s->id, value);
    } else if (is(name, "retry")) {
        read_retry(s, value);
    }
}

/* ---- lines ---- */

static void dispatch(struct event_stream *s) {
    set(&s->last_id, s->id.data, s->id.len);
    if (s->data.len > 0) {
        s->data.data[--s->data.len] = '\0';
        s->callbacks->on_event(s->arg, &(struct event_stream_event){
                                           .name = s->name.len > 0 ? s->name.data : "",
                                           .name_len = s->name.len,
                                           .data = s->data.data,
                                           .data_len = s->data.len,
                                       });
    }
    buf_reset(&s->name);
    buf_reset(&s->data);
}

static void take_line(struct event_stream *s, struct text line) {
    if (!s->is_inside && line.len >= 3 && memcmp(line.bytes, byte_order_mark, 3) == 0)
        line = (struct text){line.bytes + 3, line.len - 3};
    s->is_inside = true;
    if (line.len == 0) {
        dispatch(s);
        return;
    }
    const char *colon = memchr(line.bytes, ':', line.len);
    struct text name = line, value = {"", 0};
    if (colon != NULL) {
        name.len = (size_t)(colon - line.bytes);
        value = (struct text){colon + 1, line.len - name.len - 1};
        if (value.len > 0 && value.bytes[0] == ' ')
            value = (struct text){value.bytes + 1, value.len - 1};
    }
    read_field(s, name, value); /* a comment has a name that is empty */
}

/* The line ends behind these bytes, or goes on where @is_end is false. Without a copy where it came
 * in one piece. */
static void take_piece(struct event_stream *s, struct text piece, bool is_end) {
    if (s->line.len + piece.len > s->limit_bytes) {
        s->is_broken = true;
        return;
    }
    if (is_end && s->line.len == 0) {
        take_line(s, piece);
        return;
    }
    buf_append(&s->line, piece.bytes, piece.len);
    if (is_end) {
        take_line(s, (struct text){s->line.data, s->line.len});
        buf_reset(&s->line);
    }
}

/* The first @c from @at on, or @end. */
static const char *find(const char *at, const char *end, char c) {
    const char *found = at < end ? memchr(at, c, (size_t)(end - at)) : NULL;
    return found != NULL ? found : end;
}

/* Each kind of line end is looked for only once the last one of it was passed, or bytes with one
 * kind alone would take their square in time. */
int event_stream_feed(struct event_stream *s, const char *bytes, size_t len) {
    const char *at = bytes, *end = bytes + len;
    const char *lf = find(at, end, '\n'), *cr = find(at, end, '\r');
    while (at < end && !s->is_broken) {
        if (s->is_after_cr && *at == '\n') {
            s->is_after_cr = false;
            lf = find(++at, end, '\n');
            continue;
        }
        const char *stop = lf < cr ? lf : cr;
        s->is_after_cr = stop == cr && stop != end;
        take_piece(s, (struct text){at, (size_t)(stop - at)}, stop != end);
        at = stop != end ? stop + 1 : end;
        if (lf < at)
            lf = find(at, end, '\n');
        if (cr < at)
            cr = find(at, end, '\r');
    }
    return s->is_broken ? RELAY_EOVERFLOW : RELAY_OK;
}
