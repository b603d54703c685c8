/* The incremental reader; see stream.h. The head and the event stream are both lines, so both go
 * through feed_lines(); the chunked coding in between is a small machine of its own. */
#include "tests/bench/stream.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINE_MAX_BYTES = PAYLOAD_MAX_BYTES + 64, CHUNK_MAX_BYTES = 1 << 30 };

typedef void (*line_cb)(struct stream *s, const struct stream_handlers *h, const char *line,
                        size_t length);

void stream_init(struct stream *s) {
    *s = (struct stream){0};
}

void stream_init_body(struct stream *s, int status) {
    *s = (struct stream){.phase = STREAM_BODY, .status = status};
}

void stream_fini(struct stream *s) {
    free(s->carry);
    s->carry = NULL;
}

static void carry_append(struct stream *s, const char *bytes, size_t length) {
    size_t need = s->carry_used + length;
    if (need > LINE_MAX_BYTES) {
        s->phase = STREAM_BAD;
        return;
    }
    if (need > s->carry_size) {
        s->carry_size = need < 256 ? 256 : need * 2;
        s->carry = realloc(s->carry, s->carry_size);
        if (s->carry == NULL)
            abort();
    }
    memcpy(s->carry + s->carry_used, bytes, length);
    s->carry_used = need;
}

/* Call @on_line for each complete line, without its end; keep the rest. Stops early when a line
 * changed the phase. Returns the bytes consumed. */
static size_t feed_lines(struct stream *s, const struct stream_handlers *h, const char *bytes,
                         size_t length, line_cb on_line) {
    const char *at = bytes, *end = bytes + length;
    enum stream_phase phase = s->phase;
    while (at < end && s->phase == phase) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *line = at;
        size_t line_length = (size_t)((lf != NULL ? lf : end) - at);
        at = lf != NULL ? lf + 1 : end;
        if (lf == NULL || s->carry_used > 0) {
            carry_append(s, line, line_length);
            if (lf == NULL || s->phase == STREAM_BAD)
                break;
            line = s->carry;
            line_length = s->carry_used;
            s->carry_used = 0;
        }
        if (line_length > 0 && line[line_length - 1] == '\r')
            line_length--;
        on_line(s, h, line, line_length);
    }
    return (size_t)(at - bytes);
}

/* Whether the line is `name: value`; without regard to case. */
static bool header_is(const char *line, size_t length, const char *name, const char *value) {
    size_t n = strlen(name);
    if (length <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return false;
    line += n + 1;
    length -= n + 1;
    for (; length > 0 && *line == ' '; line++)
        length--;
    return length == strlen(value) && strncasecmp(line, value, length) == 0;
}

static void head_line(struct stream *s, const struct stream_handlers *h, const char *line,
                      size_t length) {
    if (s->status == 0) {
        bool http = length >= 12 && memcmp(line, "HTTP/1.", 7) == 0 && line[8] == ' ';
        for (size_t i = 9; http && i < 12; i++)
            http = line[i] >= '0' && line[i] <= '9';
        if (http)
            s->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
        else
            s->phase = STREAM_BAD;
    } else if (header_is(line, length, "transfer-encoding", "chunked")) {
        s->chunked = true;
    } else if (length == 0) {
        s->phase = s->chunked ? STREAM_CHUNK_SIZE : STREAM_BODY;
        h->on_head(h->context, s->status);
    }
}

/* The value of a field whose line begins with `name:`, or NULL. */
static const char *field(const char *line, size_t *length, const char *name, size_t name_length) {
    if (*length <= name_length || memcmp(line, name, name_length) != 0 || line[name_length] != ':')
        return NULL;
    size_t skip = name_length + 1;
    if (skip < *length && line[skip] == ' ')
        skip++;
    *length -= skip;
    return line + skip;
}

static void event_line(struct stream *s, const struct stream_handlers *h, const char *line,
                       size_t length) {
    struct stream_event *event = &s->event;
    const char *value;
    if (length == 0) {
        if (s->data_lines > 0)
            h->on_event(h->context, event);
        s->data_lines = 0;
        event->name[0] = '\0';
    } else if ((value = field(line, &length, "data", 4)) != NULL) {
        event->intact =
            payload_read(value, length, h->payload_bytes, &event->payload) && s->data_lines == 0;
        s->data_lines++;
    } else if ((value = field(line, &length, "event", 5)) != NULL) {
        size_t n = length < sizeof(event->name) ? length : sizeof(event->name) - 1;
        memcpy(event->name, value, n);
        event->name[n] = '\0';
    }
}

/* One byte of a chunk's size line. */
static void chunk_size_byte(struct stream *s, char byte) {
    unsigned c = (unsigned char)byte;
    unsigned lower = c | 32;
    if (c == '\n')
        s->phase = s->chunk_left > 0 ? STREAM_CHUNK_BODY : STREAM_ENDED;
    else if (c - '0' <= 9)
        s->chunk_left = s->chunk_left * 16 + (c - '0');
    else if (lower - 'a' <= 5)
        s->chunk_left = s->chunk_left * 16 + (lower - 'a' + 10);
    else if (c == ';' || c == '\r')
        s->phase = STREAM_CHUNK_EXTENSION;
    else
        s->phase = STREAM_BAD;
    if (s->chunk_left > CHUNK_MAX_BYTES)
        s->phase = STREAM_BAD;
}

/* Take bytes as far as the phase goes; returns how many. */
static size_t feed_phase(struct stream *s, const struct stream_handlers *h, const char *bytes,
                         size_t length) {
    size_t used = 1;
    switch (s->phase) {
    case STREAM_HEAD:
        return feed_lines(s, h, bytes, length, head_line);
    case STREAM_BODY:
        return feed_lines(s, h, bytes, length, event_line);
    case STREAM_CHUNK_SIZE:
        chunk_size_byte(s, *bytes);
        break;
    case STREAM_CHUNK_EXTENSION:
        if (*bytes == '\n')
            s->phase = s->chunk_left > 0 ? STREAM_CHUNK_BODY : STREAM_ENDED;
        break;
    case STREAM_CHUNK_BODY:
        used = s->chunk_left < length ? (size_t)s->chunk_left : length;
        used = feed_lines(s, h, bytes, used, event_line);
        s->chunk_left -= used;
        if (s->chunk_left == 0 && s->phase != STREAM_BAD)
            s->phase = STREAM_CHUNK_END;
        break;
    case STREAM_CHUNK_END:
        if (*bytes == '\n')
            s->phase = STREAM_CHUNK_SIZE;
        else if (*bytes != '\r')
            s->phase = STREAM_BAD;
        break;
    case STREAM_ENDED:
    case STREAM_BAD:
        return length;
    }
    return used;
}

bool stream_feed(struct stream *s, const struct stream_handlers *h, const char *bytes,
                 size_t length) {
    while (length > 0) {
        size_t used = feed_phase(s, h, bytes, length);
        bytes += used;
        length -= used;
    }
    return s->phase < STREAM_ENDED;
}
