/* Listening sockets; see listener.h.
 *
 * Happy path: the name is resolved; the first socket is bound, which is where another relay's claim
 * to the address shows; its port is read back; it listens; the others join it. A failure at any
 * step closes what was opened, and the sentence says which address it was about. */
#include "relay/http/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/filter.h>
#endif

#include "relay/base/err.h"
#include "relay/base/mem.h"

enum { LISTEN_BACKLOG = 4096 }; /* the kernel cuts it to its own limit */

/* What is bound. */
struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un path;
        struct sockaddr_storage room;
    } u;
    socklen_t len;
    bool dual_stack; /* an IPv6 socket that takes IPv4 as well */
};

/* Close @fd, keep the errno that says why, return -1. */
static int close_failed(int fd) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

#ifdef SOCK_NONBLOCK
static int new_socket(int family) {
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int accept_one(int listen_fd) {
    return accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
#else
static int set_flags(int fd) {
    if (fd >= 0 && (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0))
        return close_failed(fd);
    return fd;
}

static int new_socket(int family) {
    return set_flags(socket(family, SOCK_STREAM, 0));
}

static int accept_one(int listen_fd) {
    return set_flags(accept(listen_fd, NULL, NULL));
}
#endif

static int set_option(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof(value));
}

/* Options that cost nothing but speed where they are refused. */
static void tune(int fd, const struct listener_options *o) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (o->send_buffer_bytes > 0)
        set_option(fd, SOL_SOCKET, SO_SNDBUF, o->send_buffer_bytes);
#ifdef TCP_USER_TIMEOUT
    if (o->user_timeout_ms > 0)
        set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)o->user_timeout_ms);
#endif
}

/* With @join the socket shares the address with those that were bound before it. */
static int bind_tcp(const struct address *a, const struct listener_options *o, bool join) {
    int fd = new_socket(a->u.any.sa_family);
    if (fd < 0)
        return -1;
    tune(fd, o);
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0 ||
        (join && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) != 0) ||
        (a->u.any.sa_family == AF_INET6 &&
         set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !a->dual_stack) != 0) ||
        bind(fd, &a->u.any, a->len) != 0)
        return close_failed(fd);
    return fd;
}

/* Sockets that the kernel spreads connections over: Linux alone does. */
static int sockets_for(const struct listener_options *o) {
#ifdef __linux__
    return o->path != NULL || o->sockets < 1 ? 1 : o->sockets;
#else
    (void)o;
    return 1;
#endif
}

static void close_all(struct listener *l) {
    for (int i = 0; i < l->fds_len; i++) {
        if (l->fds[i] >= 0)
            close_failed(l->fds[i]);
    }
    l->fds_len = 0;
}

/* Take @fd in and let it listen; -1 closes it. */
static int add_listening(struct listener *l, int fd) {
    if (fd < 0)
        return -1;
    if (listen(fd, LISTEN_BACKLOG) != 0)
        return close_failed(fd);
    l->fds[l->fds_len++] = fd;
    return 0;
}

/* Open all sockets on @a, whose port is filled in. Returns 0, or -1 with errno and none open. */
static int open_tcp(struct listener *l, struct address *a, const struct listener_options *o) {
    int wanted = sockets_for(o);
    int first = bind_tcp(a, o, false);
    if (first < 0)
        return -1;
    if (getsockname(first, &a->u.any, &a->len) != 0 ||
        (wanted > 1 && set_option(first, SOL_SOCKET, SO_REUSEPORT, 1) != 0))
        return close_failed(first);
    int err = add_listening(l, first);
    while (err == 0 && l->fds_len < wanted)
        err = add_listening(l, bind_tcp(a, o, true));
    if (err != 0)
        close_all(l);
    return err;
}

static bool is_loopback(const struct address *a) {
    if (a->u.any.sa_family == AF_INET)
        return ntohl(a->u.v4.sin_addr.s_addr) >> 24 == 127;
    return a->u.any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->u.v6.sin6_addr);
}

static void put_url(struct listener *l, const struct address *a, const struct listener_options *o) {
    char host[256], port[16];
    bool v6 = a->u.any.sa_family == AF_INET6;
    if (getnameinfo(&a->u.any, a->len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    snprintf(l->url, sizeof(l->url), v6 ? "%s%s://[%s]:%s/" : "%s%s://%s:%s/",
             o->proxied ? "proxy+" : "", o->tls ? "https" : "http", host, port);
}

/* All addresses: IPv6 with IPv4 in it, or IPv4 alone where the machine has no IPv6. */
static int open_everywhere(struct listener *l, struct address *a,
                           const struct listener_options *o) {
    memset(a, 0, sizeof(*a));
    a->u.v6.sin6_family = AF_INET6;
    a->u.v6.sin6_port = htons((uint16_t)o->port);
    a->len = sizeof(a->u.v6);
    a->dual_stack = true;
    if (open_tcp(l, a, o) == 0)
        return 0;
    if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL && errno != EINVAL)
        return -1;
    memset(a, 0, sizeof(*a));
    a->u.v4.sin_family = AF_INET;
    a->u.v4.sin_port = htons((uint16_t)o->port);
    a->len = sizeof(a->u.v4);
    return open_tcp(l, a, o);
}

/* The first address of @found that works. One that somebody else uses ends the search: with
 * localhost, two relays would otherwise share the name, one on 127.0.0.1 and one on ::1. */
static int open_first(struct listener *l, struct address *a, const struct listener_options *o,
                      const struct addrinfo *found) {
    int err = -1;
    errno = EADDRNOTAVAIL;
    for (; found != NULL && err != 0 && errno != EADDRINUSE; found = found->ai_next) {
        if (found->ai_addrlen > sizeof(a->u))
            continue;
        memset(a, 0, sizeof(*a));
        memcpy(&a->u, found->ai_addr, found->ai_addrlen);
        a->len = found->ai_addrlen;
        err = open_tcp(l, a, o);
    }
    return err;
}

/* Why nothing listens on @name, from errno. */
static int explain(const char *name, bool is_path, struct buf *why) {
    int err = errno;
    buf_printf(why, "cannot listen on %s: ", name);
    if (err == EADDRINUSE)
        buf_puts(why, "another program does already; stop it, or choose another address");
    else if (err == EEXIST)
        buf_puts(why, "there is a file of that name that is no socket; choose another path");
    else if (err == EACCES && !is_path)
        buf_puts(why, "permission denied; a port below 1024 needs privileges; choose another");
    else
        buf_printf(why, "%s; choose %s", strerror(err),
                   is_path ? "another path" : "an address of this machine");
    return err == EADDRINUSE ? RELAY_EADDRINUSE : RELAY_EIO;
}

static int listen_tcp(struct listener *l, const struct listener_options *o, struct buf *why) {
    struct address a;
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const char *host = o->host == NULL ? "" : o->host;
    char name[sizeof(l->url)], port[16];
    snprintf(name, sizeof(name), strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, o->port);
    snprintf(port, sizeof(port), "%u", o->port);
    int err;
    if (*host == '\0') {
        err = open_everywhere(l, &a, o);
    } else {
        int code = getaddrinfo(host, port, &hints, &found);
        if (code != 0) {
            buf_printf(why, "cannot listen on %s: %s; choose an address of this machine", name,
                       gai_strerror(code));
            return RELAY_EIO;
        }
        err = open_first(l, &a, o, found);
    }
    int result = err == 0 ? RELAY_OK : explain(name, false, why);
    if (found != NULL)
        freeaddrinfo(found);
    if (err == 0) {
        l->loopback = is_loopback(&a);
        put_url(l, &a, o);
    }
    return result;
}

/* Remove the socket file at @a when nobody accepts on it. Returns 0, or -1 with errno. */
static int remove_stale(const struct address *a) {
    struct stat st;
    if (lstat(a->u.path.sun_path, &st) != 0)
        return errno == ENOENT ? 0 : -1;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    int fd = new_socket(AF_UNIX);
    if (fd < 0)
        return -1;
    int err = connect(fd, &a->u.any, a->len);
    bool stale = err != 0 && errno == ECONNREFUSED;
    close(fd);
    if (stale)
        return unlink(a->u.path.sun_path);
    errno = EADDRINUSE;
    return -1;
}

static int bind_path(const struct address *a) {
    int fd = new_socket(AF_UNIX);
    if (fd < 0)
        return -1;
    if (bind(fd, &a->u.any, a->len) == 0 ||
        (errno == EADDRINUSE && remove_stale(a) == 0 && bind(fd, &a->u.any, a->len) == 0))
        return fd;
    return close_failed(fd);
}

static int open_path(struct listener *l, const char *path) {
    struct address a;
    struct stat st;
    memset(&a, 0, sizeof(a));
    if (strlen(path) >= sizeof(a.u.path.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    a.u.path.sun_family = AF_UNIX;
    memcpy(a.u.path.sun_path, path, strlen(path) + 1);
    a.len = sizeof(a.u.path);
    int fd = bind_path(&a);
    if (add_listening(l, fd) != 0)
        return -1;
    if (lstat(path, &st) == 0) {
        l->path = mem_strndup(path, strlen(path));
        l->path_device = st.st_dev;
        l->path_inode = st.st_ino;
    }
    return 0;
}

int listener_open(struct listener *l, const struct listener_options *options, struct buf *why) {
    memset(l, 0, sizeof(*l));
    l->fds = mem_zalloc((size_t)sockets_for(options) * sizeof(*l->fds));
    int err;
    if (options->path != NULL) {
        snprintf(l->url, sizeof(l->url), "%sunix:%s", options->proxied ? "proxy+" : "",
                 options->path);
        err = open_path(l, options->path) == 0 ? RELAY_OK : explain(l->url, true, why);
    } else {
        err = listen_tcp(l, options, why);
    }
    if (err != RELAY_OK)
        listener_fini(l);
    return err;
}

int listener_accept(int listen_fd) {
    int fd;
    do
        fd = accept_one(listen_fd);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0 && errno == EINVAL)
        errno = EAGAIN; /* a unix socket that was quiesced has no more to give */
    return fd;
}

void listener_quiesce(int listen_fd) {
    struct address a;
    a.len = sizeof(a.u);
    if (getsockname(listen_fd, &a.u.any, &a.len) != 0)
        return;
#ifdef __linux__
    /* shutdown() would reset what waits on a TCP socket; on a unix socket it refuses newcomers. */
    if (a.u.any.sa_family == AF_UNIX) {
        shutdown(listen_fd, SHUT_RD);
        return;
    }
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {1, &drop};
    setsockopt(listen_fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
#endif
}

void listener_fini(struct listener *l) {
    struct stat st;
    close_all(l);
    /* The path may belong to a successor by now. */
    if (l->path != NULL && lstat(l->path, &st) == 0 && st.st_dev == l->path_device &&
        st.st_ino == l->path_inode)
        unlink(l->path);
    free(l->path);
    free(l->fds);
    memset(l, 0, sizeof(*l));
}
