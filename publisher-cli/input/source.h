/* Where events come from: the arguments, files, a clock.
 *
 * The publisher asks for the next event when it has room for one, so a source never runs ahead of
 * Redis. A source that has none yet says so, and calls on_wake (from the loop, never from inside
 * source_next()) when it is worth asking again. Another kind of input is another source; one that
 * holds back what another gives (a pace, a recording's timing) wraps it.
 *
 * new/close: heap; one loop, one thread. source_close() ends all callbacks; the source frees itself
 * once its handles are closed. */
#ifndef PUBLISHER_CLI_INPUT_SOURCE_H
#define PUBLISHER_CLI_INPUT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "publisher-cli/input/files.h"
#include "publisher-cli/input/given.h"
#include "publisher-cli/options/options.h"

enum source_state {
    SOURCE_EVENT,  /* here is one */
    SOURCE_BAD,    /* here is one that cannot be an event: item->why; what follows it may be */
    SOURCE_PASSED, /* here was one that is left out; ask again */
    SOURCE_WAIT,   /* none yet: on_wake will tell */
    SOURCE_END,    /* none will come */
    SOURCE_FAILED  /* none will come, since reading failed: item->why */
};

/* One event; its texts are valid until the next call of source_next() or source_close(). The data
 * is not checked yet. */
struct source_item {
    struct given_event given;
    struct place place;
    const char *what; /* it is, where it has no place in a file: "DATA" */
    const char *why;  /* of SOURCE_BAD and SOURCE_FAILED: the end of a sentence; and a sentence */
};

struct source;

/* What a kind of source does; `struct source` is the first member of its own struct. */
struct source_type {
    enum source_state (*next)(struct source *s, struct source_item *item);
    double (*done)(const struct source *s); /* NULL: not known */
    void (*close)(struct source *s);
};

struct source {
    const struct source_type *type;
    void (*on_wake)(void *arg);
    void *arg;
};

static inline enum source_state source_next(struct source *s, struct source_item *item) {
    *item = (struct source_item){.what = ""};
    return s->type->next(s, item);
}

/* The share of all events that was handed out, of 1; below 0 where that is not known. */
static inline double source_done(const struct source *s) {
    return s->type->done != NULL ? s->type->done(s) : -1;
}

/* Nulls the caller's pointer; does nothing where it is NULL. */
static inline void source_close(struct source **s) {
    if (*s != NULL)
        (*s)->type->close(*s);
    *s = NULL;
}

/* ---- what the options ask for ---- */

/* Whether events are lines of files, which have numbers. */
bool source_has_lines(const struct options *o);

/* Look at the files before anything is read, as files_check(). */
int source_check(const struct options *o, int in_fd, struct buf *why);

struct source *source_open(const struct options *o, uv_loop_t *loop, int in_fd,
                           void (*on_wake)(void *), void *arg);

/* ---- the kinds ---- */

/* One event with @data, which is borrowed, @repeat times. They are numbered, where they are more
 * than one. */
struct source *source_text_new(const char *data, uint64_t repeat, void (*on_wake)(void *),
                               void *arg);

/* All of @fd as one event, without the line end at its end, @repeat times; where it has no byte at
 * all that is SOURCE_BAD, unless it @may_be_empty. @fd is not closed. */
struct source *source_whole_new(uv_loop_t *loop, int fd, bool may_be_empty, uint64_t repeat,
                                void (*on_wake)(void *), void *arg);

/* Each line as one event: the line is its data, empty or not. options->limit_bytes is set here. */
struct source *source_lines_new(uv_loop_t *loop, const struct files_options *options,
                                void (*on_wake)(void *), void *arg);

/* Each line as one event: the line is an object as in event_line.h; lines of white space are
 * nothing. With @is_recording, the relay's own events are left out. */
struct source *source_ndjson_new(uv_loop_t *loop, const struct files_options *options,
                                 bool is_recording, void (*on_wake)(void *), void *arg);

/* The time in UTC (RFC 3339), or one random letter: one now, and then one as each multiple of
 * @every_ms since 1970 begins. The time is that of the multiple. Where nobody asked for some time,
 * those that passed are left out. */
struct source *source_clock_new(uv_loop_t *loop, uint64_t every_ms, void (*on_wake)(void *),
                                void *arg);
struct source *source_letters_new(uv_loop_t *loop, uint64_t every_ms, void (*on_wake)(void *),
                                  void *arg);

/* What @inner gives, at most @rate events a second; @inner belongs to the new source. */
struct source *source_paced_new(uv_loop_t *loop, struct source *inner, double rate);

/* What @inner gives, each with the distance in time to the one before it that the recording has,
 * divided by @speed; what has no time, and what is older than the one before it, comes at once.
 * @inner belongs to the new source. */
struct source *source_timed_new(uv_loop_t *loop, struct source *inner, double speed);

#endif
