/* A transport without anything between us and the socket; see transport.h. */
#include "relay/http/transport.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS; SIGPIPE is ignored by the process anyway */
#endif

static ssize_t outcome(ssize_t n) {
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? TRANSPORT_AGAIN : TRANSPORT_FAILED;
}

static ssize_t plain_read(struct transport *t, void *bytes, size_t len) {
    ssize_t n;
    do
        n = read(t->fd, bytes, len);
    while (n < 0 && errno == EINTR);
    return outcome(n);
}

static ssize_t send_several(int fd, const struct iovec *iov, int n) {
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov}; /* it is not written to */
    message.msg_iovlen = (__typeof__(message.msg_iovlen))n;
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* Nearly always one frame, for which send() is the cheaper call. */
static ssize_t plain_writev(struct transport *t, const struct iovec *iov, int count) {
    ssize_t n;
    do
        n = count == 1 ? send(t->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                       : send_several(t->fd, iov, count);
    while (n < 0 && errno == EINTR);
    return outcome(n);
}

static unsigned plain_same(const struct transport *t, unsigned bits) {
    (void)t;
    return bits;
}

static int plain_shut_down(struct transport *t) {
    shutdown(t->fd, SHUT_WR);
    return 0;
}

static void plain_close(struct transport *t) {
    close(t->fd);
}

static const struct transport_ops plain_ops = {.read = plain_read,
                                               .writev = plain_writev,
                                               .poll_for = plain_same,
                                               .ready = plain_same,
                                               .shut_down = plain_shut_down,
                                               .close = plain_close};

void transport_init_plain(struct transport *t, int fd) {
    *t = (struct transport){&plain_ops, fd, NULL};
}
