/* A progress bar on a terminal: how far it is, how fast, how long it will take, what went wrong.
 *
 * Redrawn a few times a second on one line, which is cleared for anything else that is written to
 * the terminal, and at the end. init/close: embedded; one loop, one thread. */
#ifndef PUBLISHER_CLI_PUBLISH_PROGRESS_H
#define PUBLISHER_CLI_PUBLISH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <uv.h>

#include "relay/base/buf.h"

/* What it shows. */
struct progress_figures {
    uint64_t published;
    uint64_t errors;
    double done; /* the share of all, of 1; below 0: not known */
};

struct progress {
    FILE *err;
    void (*look)(void *arg, struct progress_figures *figures); /* fills them in */
    void *arg;
    uv_timer_t timer;
    bool is_started; /* else every call does nothing */
    bool is_shown;   /* the line stands there */
    uint64_t start_us;
    uint64_t last_us; /* when the rate was taken */
    uint64_t last_published;
    double rate; /* events a second, smoothed */
    struct buf line;
};

/* Show it on @err, if that is a terminal; @look is called from the loop, a few times a second. */
void progress_start(struct progress *p, uv_loop_t *loop, FILE *err,
                    void (*look)(void *arg, struct progress_figures *figures), void *arg);

/* Clear its line, before something else is written. */
void progress_hide(struct progress *p);

/* End it, cleared. May be called again. */
void progress_close(struct progress *p);

/* Append the line for a terminal of @width columns, never more: the bar goes first, then figures,
 * each of them whole. */
void progress_put(struct buf *out, const struct progress_figures *figures, double rate,
                  uint64_t elapsed_us, int width);

#endif
