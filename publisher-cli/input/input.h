/* A file descriptor that is read by a loop and can be paused: a pipe, a terminal, a socket, a file.
 *
 * Embedded; one loop, one thread. No callback fires from inside start, resume or close; none comes
 * after close but on_closed. The descriptor stays open and keeps its flags, which others share. */
#ifndef PUBLISHER_CLI_INPUT_INPUT_H
#define PUBLISHER_CLI_INPUT_INPUT_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

enum { INPUT_READ_BYTES = 64 * 1024 };

/* @len bytes came; 0 is the end; below it is libuv's code of a failure. After either of these two
 * nothing comes. */
typedef void (*input_read_cb)(void *arg, const char *bytes, ssize_t len);

struct input {
    union {
        uv_handle_t handle;
        uv_poll_t poll;
        uv_idle_t idle; /* a file is always readable, and cannot be polled */
    } in;
    bool is_polled;
    bool is_over; /* the end or a failure was reported */
    int fd;
    input_read_cb on_read;
    void (*on_closed)(void *arg);
    void *arg;
    char bytes[INPUT_READ_BYTES];
};

/* Start paused. Never fails: errors arrive at @on_read after input_resume(). */
void input_start(struct input *in, uv_loop_t *loop, int fd, input_read_cb on_read, void *arg);

/* Read on; and stop reading. Each may be called at any time and again. */
void input_resume(struct input *in);
void input_pause(struct input *in);

void input_close(struct input *in, void (*on_closed)(void *arg));

#endif
