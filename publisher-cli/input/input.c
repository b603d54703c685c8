/* A file descriptor that is read by a loop; see input.h. */
#include "publisher-cli/input/input.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void read_once(struct input *in) {
    ssize_t len = read(in->fd, in->bytes, sizeof(in->bytes));
    if (len < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (len <= 0) {
        if (len < 0)
            len = uv_translate_sys_error(errno);
        input_pause(in);
        in->is_over = true;
    }
    in->on_read(in->arg, in->bytes, len);
}

/* @status is not looked at: read(2) has the better error. */
static void on_poll(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    read_once(poll->data);
}

static void on_idle(uv_idle_t *idle) {
    read_once(idle->data);
}

/* libuv makes what it polls non-blocking. The flag belongs to everybody who shares the terminal,
 * and one read of what is readable does not block, so it is taken back. */
static bool poll_init(struct input *in, uv_loop_t *loop) {
    int flags = fcntl(in->fd, F_GETFL);
    if (uv_guess_handle(in->fd) == UV_FILE || uv_poll_init(loop, &in->in.poll, in->fd) != 0)
        return false;
    fcntl(in->fd, F_SETFL, flags);
    return true;
}

void input_start(struct input *in, uv_loop_t *loop, int fd, input_read_cb on_read, void *arg) {
    in->fd = fd;
    in->on_read = on_read;
    in->arg = arg;
    in->is_over = false;
    in->is_polled = poll_init(in, loop);
    if (!in->is_polled)
        uv_idle_init(loop, &in->in.idle);
    in->in.handle.data = in;
}

void input_resume(struct input *in) {
    if (in->is_over)
        return;
    if (in->is_polled)
        uv_poll_start(&in->in.poll, UV_READABLE, on_poll);
    else
        uv_idle_start(&in->in.idle, on_idle);
}

void input_pause(struct input *in) {
    if (in->is_polled)
        uv_poll_stop(&in->in.poll);
    else
        uv_idle_stop(&in->in.idle);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct input *in = handle->data;
    in->on_closed(in->arg);
}

void input_close(struct input *in, void (*on_closed)(void *arg)) {
    in->on_closed = on_closed;
    uv_close(&in->in.handle, on_handle_closed);
}
