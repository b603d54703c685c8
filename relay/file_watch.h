/* Files that are read again when one of them has changed.
 *
 * They are looked at by their name every two seconds, and not watched through the kernel: the
 * secrets of Kubernetes change by exchanging a symbolic link two folders above, which a watch on
 * the file does not see, and a network's file system tells nothing. Main thread; embedded. */
#ifndef RELAY_FILE_WATCH_H
#define RELAY_FILE_WATCH_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "relay/config/config.h"

enum { FILE_WATCH_LISTS = 4 };

struct file_watch {
    const struct config_strings *lists[FILE_WATCH_LISTS]; /* of paths; NULL: none */
    uint64_t seen; /* what the files looked like when they were last read */
    uv_timer_t timer;
    void (*changed)(void *arg); /* has to read them, and to call file_watch_look() before that */
    void *arg;
};

/* Remember what the files look like. Before they are read: a change meanwhile is then seen by the
 * next look. Needs `lists` alone. */
void file_watch_look(struct file_watch *w);

/* One of them that is no regular file, or NULL. A pipe, as a shell's <(command) is one, was read to
 * its end: reading it again would wait for ever. */
const char *file_watch_pipe(const struct file_watch *w);

/* Call @changed from now on where they look different. `lists` are filled in. With @active false
 * the handle is made, and does nothing. */
void file_watch_start(struct file_watch *w, uv_loop_t *loop, bool active,
                      void (*changed)(void *arg), void *arg);

/* The loop has to run once more. May be called twice. */
void file_watch_close(struct file_watch *w);

#endif
