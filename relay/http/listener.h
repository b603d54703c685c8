/* Listening sockets, made before the workers start.
 *
 * On Linux each worker has a socket of its own on the same address (SO_REUSEPORT), and the kernel
 * spreads the connections. The first socket is bound without the flag and gets it afterwards: so a
 * second relay, whose first bind is without it as well, is refused. Where SO_REUSEPORT does not
 * spread (macOS), and for unix:, there is one socket and one acceptor that hands connections round.
 * Sockets are non-blocking and close-on-exec; TCP_NODELAY, SO_SNDBUF and TCP_USER_TIMEOUT are set
 * on the listener, from which accepted sockets inherit them. Main thread, but for accepting. */
#ifndef RELAY_HTTP_LISTENER_H
#define RELAY_HTTP_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "relay/base/buf.h"

struct listener_options {
    const char *host;  /* TCP: a name or an address, without brackets; NULL or "": all addresses, of
                          IPv6 and IPv4. An IPv6 address, "::" too, takes no IPv4. */
    unsigned port;     /* 0: the system chooses, once for all sockets */
    const char *path;  /* unix: a path; NULL for TCP */
    bool tls, proxied; /* what the URL begins with; nothing else here knows of them */
    int sockets;       /* wanted: one per worker */
    int send_buffer_bytes;    /* 0: the system's */
    unsigned user_timeout_ms; /* 0: the system's */
};

struct listener {
    int *fds;
    int fds_len;   /* `sockets`, or 1 where one acceptor hands connections round */
    bool loopback; /* bound to a loopback address: the Host is checked */
    char *path;    /* unix: removed by listener_fini(), where it is still the file we made */
    dev_t path_device;
    ino_t path_inode;
    char url[300]; /* "http://127.0.0.1:8080/", with https where TLS is spoken, or "unix:/path",
                      with the port that was chosen; "proxy+" before it where each connection
                      begins with a PROXY header */
};

/* Bind and listen. A name that resolves to several addresses listens on the first that works; one
 * that is in use ends the search, or two relays could share a name. A stale socket file (nobody
 * accepts on it) is replaced; a living one, or a file that is no socket, is an error.
 *
 * Returns RELAY_OK (end with listener_fini()), or RELAY_EADDRINUSE or RELAY_EIO, with a sentence in
 * @why that names the address and ends in what to choose (the
 * caller knows with which option), and nothing open. */
int listener_open(struct listener *l, const struct listener_options *options, struct buf *why);

/* Accept one connection: non-blocking, close-on-exec. Returns the fd, or -1 with errno: EAGAIN
 * where none waits. Any thread. */
int listener_accept(int listen_fd);

/* Let the kernel complete no more connections on this socket, so that what is accepted from now
 * until EAGAIN is all there will be; those who come later are refused once it is closed. The caller
 * stops polling it: a unix socket stays readable. Linux; elsewhere nothing. Any thread. */
void listener_quiesce(int listen_fd);

/* Close all sockets that are still >= 0 and remove the socket file. */
void listener_fini(struct listener *l);

#endif
