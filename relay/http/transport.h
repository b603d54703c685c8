/* The bytes of one connection, plain or through TLS (tls_transport.h): what is spoken on a
 * connection sits on one, and cannot tell which.
 *
 * It owns the socket's descriptor and knows no loop. Whoever polls asks transport_poll_for() what
 * to poll for, and transport_ready() what that means once it came. So a transport may need the
 * socket to be writable in order to read, or the other way round. It may also hold bytes that the
 * socket will not tell of: then it asks to be polled for writing, which a socket nearly always is
 * ready for. Since one whose client takes nothing is not, no more should stay inside than did not
 * fit into the read. Embedded; one thread. */
#ifndef RELAY_HTTP_TRANSPORT_H
#define RELAY_HTTP_TRANSPORT_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* What can be wanted of a transport, and what a socket is polled for: a set of bits. */
enum { TRANSPORT_READ = 1, TRANSPORT_WRITE = 2 };

/* Instead of a number of bytes. */
enum {
    TRANSPORT_AGAIN = -1, /* not now: poll */
    TRANSPORT_FAILED = -2 /* the connection is of no use any more */
};

struct transport;

struct transport_ops {
    ssize_t (*read)(struct transport *t, void *bytes, size_t len);
    ssize_t (*writev)(struct transport *t, const struct iovec *iov, int n);
    unsigned (*poll_for)(const struct transport *t, unsigned wanted);
    unsigned (*ready)(const struct transport *t, unsigned polled);
    int (*shut_down)(struct transport *t);
    void (*close)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    int fd;
    void *own; /* what the implementation holds beside it; NULL: nothing */
};

/* Bytes as they are. The fd is taken over. */
void transport_init_plain(struct transport *t, int fd);

/* Up to @len > 0 bytes. Returns how many, 0 at the peer's end, AGAIN or FAILED. */
static inline ssize_t transport_read(struct transport *t, void *bytes, size_t len) {
    return t->ops->read(t, bytes, len);
}

/* Returns how many bytes were taken, at least one, or AGAIN or FAILED. Fewer than were offered does
 * not mean that the next call would say AGAIN. After AGAIN, or fewer, the next bytes offered have
 * to be those that were not taken, all of them; they may have moved, and more may stand behind
 * them. */
static inline ssize_t transport_writev(struct transport *t, const struct iovec *iov, int n) {
    return t->ops->writev(t, iov, n);
}

/* What the socket has to be polled for, so that one of @wanted can go on. */
static inline unsigned transport_poll_for(const struct transport *t, unsigned wanted) {
    return t->ops->poll_for(t, wanted);
}

/* What is worth to be tried, now that the socket was found ready for @polled. */
static inline unsigned transport_ready(const struct transport *t, unsigned polled) {
    return t->ops->ready(t, polled);
}

/* Tell the peer that nothing of ours follows. Returns 0, or AGAIN: call again when it can write.
 * (What goes wrong in it is seen by the next read.) */
static inline int transport_shut_down(struct transport *t) {
    return t->ops->shut_down(t);
}

/* At once; the peer may not get what it has not got yet. The last call. */
static inline void transport_close(struct transport *t) {
    t->ops->close(t);
}

#endif
