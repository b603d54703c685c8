/* The lines of several files, one after the other, as often as asked for.
 *
 * A line ends at LF or CRLF, or at the end of its file. Holds what was read at once and one line of
 * at most limit_bytes: the rest of a longer one is read and thrown away. Lines are counted in their
 * file and over all, from 1. A name of "-" is the descriptor that was given as standard input.
 *
 * new/close: heap; one loop, one thread. on_wake comes from the loop, never from inside
 * files_next(), and not after files_close(). */
#ifndef PUBLISHER_CLI_INPUT_FILES_H
#define PUBLISHER_CLI_INPUT_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "relay/base/buf.h"

/* Where in the input something stands. */
struct place {
    const char *file; /* its name as it was given; NULL: not from a file */
    uint64_t line;    /* in the file, from 1 */
    uint64_t number;  /* over all files and repetitions, from 1; 0: not one of many */
};

struct files_options {
    const char *const *names; /* borrowed */
    size_t count;             /* 0: standard input alone */
    int in_fd;                /* which is standard input */
    size_t limit_bytes;       /* of a line, without its end */
    uint64_t repeat;          /* how often all are read */
    uint64_t first;           /* lines before this number are passed over; 0: none are */
};

enum files_state {
    FILES_LINE,     /* here is one */
    FILES_TOO_LONG, /* here is the beginning of one that is too long */
    FILES_WAIT,     /* none yet: on_wake will tell */
    FILES_END,      /* that was all */
    FILES_FAILED    /* that was all that could be read: line->why */
};

struct files_line {
    const char *text; /* without its end; valid until the next call */
    size_t len;
    struct place place; /* of FILES_END: how many lines there were */
    const char *why;    /* of FILES_FAILED: a sentence */
};

struct files; /* opaque; heap */

/* Look at all files before anything is read, so that a wrong name is told at once.
 *
 * Returns RELAY_OK, or RELAY_EINVAL and a sentence in @why: a file that is not there, that may not
 * be read, or that cannot be read again though it should be. */
int files_check(const struct files_options *o, struct buf *why);

/* Never fails: what cannot be read is told by files_next(). */
struct files *files_new(uv_loop_t *loop, const struct files_options *o, void (*on_wake)(void *),
                        void *arg);

enum files_state files_next(struct files *f, struct files_line *line);

/* The share of the bytes that was handed out, of 1; below 0 where their number is not known. */
double files_done(const struct files *f);

void files_close(struct files *f);

#endif
