/* Where events come from: the arguments, standard input, a clock.
 *
 * The publisher asks for the next event when it has room for one, so a source never runs ahead of
 * Redis. A source that has none yet says so, and calls on_wake (from the loop, never from inside
 * source_next()) when it is worth asking again. Another kind of input is another source.
 *
 * new/close: heap; one loop, one thread. source_close() ends all callbacks; the source frees itself
 * once its handles are closed. */
#ifndef PUBLISHER_CLI_SOURCE_H
#define PUBLISHER_CLI_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "relay/wire/envelope.h"

enum source_state {
    SOURCE_EVENT,  /* here is one */
    SOURCE_WAIT,   /* none yet: on_wake will tell */
    SOURCE_END,    /* none will come */
    SOURCE_FAILED, /* none will come, since reading failed: item->why */
};

/* One event; its texts are valid until the next call of source_next() or source_close(). The data
 * is not checked yet. */
struct source_item {
    struct event event;
    const char *where; /* it came from, for messages: "DATA", "standard input", "line" */
    uint64_t line;     /* its number from 1 where it was a line, else 0 */
    const char *why;   /* of SOURCE_FAILED */
};

struct source;

/* What a kind of source does; `struct source` is the first member of its own struct. */
struct source_type {
    enum source_state (*next)(struct source *s, struct source_item *item);
    void (*close)(struct source *s);
};

struct source {
    const struct source_type *type;
    void (*on_wake)(void *arg);
    void *arg;
};

static inline enum source_state source_next(struct source *s, struct source_item *item) {
    *item = (struct source_item){.where = ""};
    return s->type->next(s, item);
}

/* Nulls the caller's pointer; does nothing where it is NULL. */
static inline void source_close(struct source **s) {
    if (*s != NULL)
        (*s)->type->close(*s);
    *s = NULL;
}

/* One event with @data, which is borrowed. */
struct source *source_text_new(const char *data, void (*on_wake)(void *), void *arg);

/* All of @fd as one event, without the line end at its end; or each of its lines, of LF or CRLF, as
 * one, empty ones too. Holds no more than one event and one read at a time. @fd is not closed. */
struct source *source_input_new(uv_loop_t *loop, int fd, bool is_lines, void (*on_wake)(void *),
                                void *arg);

/* The time in UTC (RFC 3339), or one random letter: one now, and then one every @every_ms. Where
 * nobody asked for some time, the moments that passed are left out. */
struct source *source_clock_new(uv_loop_t *loop, uint64_t every_ms, void (*on_wake)(void *),
                                void *arg);
struct source *source_letters_new(uv_loop_t *loop, uint64_t every_ms, void (*on_wake)(void *),
                                  void *arg);

#endif
