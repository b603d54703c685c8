/* Listening sockets, made before the workers start.
 *
 * On Linux each worker has a socket of its own on the same address (SO_REUSEPORT), and the kernel
 * spreads the connections. The first socket is bound without the flag and gets it afterwards: so a
 * second relay, whose first bind is without it as well, is refused. Where SO_REUSEPORT does not
 * spread (macOS), and for unix:, there is one socket and one acceptor that hands connections round.
 * Sockets are non-blocking and close-on-exec; TCP_NODELAY, SO_SNDBUF and TCP_USER_TIMEOUT are set
 * on the listener, from which accepted sockets inherit them (Linux; elsewhere
 * listener_tune_accepted()). Main thread. */
#ifndef RELAY_HTTP_LISTENER_H
#define RELAY_HTTP_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/buf.h"

struct listener_options {
    const char *host; /* TCP: a name or an address, without brackets; NULL or "": all addresses */
    unsigned port;    /* 0: the system chooses, once for all sockets */
    const char *path; /* unix: a path; NULL for TCP */
    int sockets;      /* wanted: one per worker */
    int send_buffer_bytes;    /* 0: the system's */
    unsigned user_timeout_ms; /* 0: the system's */
};

struct listener {
    int *fds;
    int fds_len;   /* `sockets`, or 1 where one acceptor hands connections round */
    bool loopback; /* bound to a loopback address: the Host is checked */
    char *path;    /* unix: removed by listener_fini() */
    char url[300]; /* "http://127.0.0.1:8080/" or "unix:/path", with the port that was chosen */
};

/* Bind and listen. A name that resolves to several addresses listens on the first that works. A
 * stale socket file (nobody accepts on it) is replaced; a living one, or a file that is no socket,
 * is an error.
 *
 * Returns RELAY_OK, or RELAY_EADDRINUSE or RELAY_EIO with a sentence in @why that names the address
 * and says what to do. */
int listener_open(struct listener *l, const struct listener_options *options, struct buf *why);

/* Accept one connection: non-blocking, close-on-exec. Returns the fd, or -1 with errno. Any thread.
 */
int listener_accept(int listen_fd);

/* Let the kernel complete no more handshakes on this socket, so that what is accepted from now
 * until EAGAIN is all there will be (a filter that drops every packet on Linux; elsewhere nothing).
 */
void listener_quiesce(int listen_fd);

/* Close all sockets that are still >= 0 and remove the socket file. */
void listener_fini(struct listener *l);

#endif
