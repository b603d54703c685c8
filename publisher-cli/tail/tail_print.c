/* Events on a terminal, in a pipe, or as JSON; see tail_print.h. */
#include "publisher-cli/tail/tail_print.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "publisher-cli/base/terminal.h"
#include "relay/base/err.h"

void tail_print_init(struct tail_print *p, const struct options *o, FILE *out, FILE *err) {
    *p = (struct tail_print){.out = out,
                             .err = err,
                             .is_json = o->output == OUTPUT_JSON,
                             .has_topics = o->topics_count > 1,
                             .is_terminal = terminal_is(out),
                             .has_colours = terminal_has_colours(out)};
}

void tail_print_fini(struct tail_print *p) {
    buf_fini(&p->text);
}

/* ---- text ---- */

static void put_text(struct tail_print *p, const char *text, size_t len) {
    if (p->is_terminal)
        terminal_put_shown(&p->text, text, len);
    else
        buf_append(&p->text, text, len);
}

static void put_word(struct tail_print *p, enum colour colour, const json_t *word) {
    buf_puts(&p->text, terminal_colour(p->has_colours, colour));
    put_text(p, json_string_value(word), json_string_length(word));
    buf_puts(&p->text, terminal_colour(p->has_colours, COLOUR_NONE));
    buf_putc(&p->text, '\t');
}

static void put_line(struct tail_print *p, const json_t *topic, const json_t *name,
                     const char *line, size_t len) {
    if (p->has_topics)
        put_word(p, COLOUR_CYAN, topic);
    if (p->is_terminal && json_string_length(name) > 0)
        put_word(p, COLOUR_GREEN, name);
    put_text(p, line, len);
    buf_putc(&p->text, '\n');
}

static void put_data(struct tail_print *p, const json_t *topic, const json_t *name,
                     const json_t *data) {
    const char *line = json_string_value(data), *end = line + json_string_length(data), *stop;
    while ((stop = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        put_line(p, topic, name, line, (size_t)(stop - line));
        line = stop + 1;
    }
    put_line(p, topic, name, line, (size_t)(end - line));
}

/* ---- JSON ---- */

/* A JSON text on one line: a line feed stands between two tokens, if anywhere. */
static void put_on_one_line(struct buf *to, const char *json, size_t len) {
    size_t at = to->len;
    buf_append(to, json, len);
    for (; at < to->len; at++)
        if (to->data[at] == '\n')
            to->data[at] = ' ';
}

/* An object, or NULL. */
static json_t *load(const struct event_stream_event *event) {
    json_t *json = json_loadb(event->data, event->data_len, JSON_ALLOW_NUL, NULL);
    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

int tail_print_event(struct tail_print *p, const struct event_stream_event *event) {
    json_t *json = load(event);
    json_t *topic = json_object_get(json, "topic"), *data = json_object_get(json, "data");
    int status = RELAY_EPROTO;
    if (json_is_string(topic) && json_is_string(data)) {
        status = RELAY_OK;
        if (p->is_json) {
            put_on_one_line(&p->text, event->data, event->data_len);
            buf_putc(&p->text, '\n');
        } else {
            put_data(p, topic, json_object_get(json, "event"), data);
        }
    }
    json_decref(json);
    return status;
}

static void warn(struct tail_print *p, const json_t *topics, const json_t *reason) {
    struct buf list = BUF_INIT;
    for (size_t i = 0; i < json_array_size(topics); i++) {
        const json_t *topic = json_array_get(topics, i);
        buf_puts(&list, i > 0 ? ", " : "");
        if (json_is_string(topic))
            terminal_put_shown(&list, json_string_value(topic), json_string_length(topic));
    }
    buf_puts(&list, ": ");
    terminal_put_shown(&list, json_string_value(reason), json_string_length(reason));
    complain(p->err, "events were missed on %s", list.data);
    buf_fini(&list);
}

int tail_print_reset(struct tail_print *p, const struct event_stream_event *event, const char *id) {
    json_t *json = load(event);
    json_t *topics = json_object_get(json, "topics"), *reason = json_object_get(json, "reason");
    int status = RELAY_EPROTO;
    if (json_is_array(topics) && json_is_string(reason)) {
        status = RELAY_OK;
        warn(p, topics, reason);
        if (p->is_json) {
            buf_puts(&p->text, "{\"event\":\"relay.reset\",\"id\":");
            buf_put_json(&p->text, id, strlen(id));
            buf_puts(&p->text, ",\"data\":");
            put_on_one_line(&p->text, event->data, event->data_len);
            buf_puts(&p->text, "}\n");
        }
    }
    json_decref(json);
    return status;
}

/* Not through @out's own buffer, which would be written when the program ends, a signal or not; and
 * in pieces that a pipe takes whole or not at all, so that a signal ends the wait for a slow
 * reader. */
static bool write_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, bytes, len < PIPE_BUF ? len : PIPE_BUF);
        if (n < 0 && errno == EAGAIN &&
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1) > 0)
            continue; /* somebody made it non-blocking */
        if (n < 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

int tail_print_flush(struct tail_print *p) {
    int fd = fileno(p->out);
    size_t len = p->text.len;
    if (len == 0)
        return RELAY_OK;
    bool is_written =
        fd >= 0 ? write_all(fd, p->text.data, len) : fwrite(p->text.data, 1, len, p->out) == len;
    buf_reset(&p->text);
    return is_written ? RELAY_OK : RELAY_EIO;
}
