/* The floor: the least that a server in user space can do for a delivery. A bare loop that accepts
 * subscribers and sends each of them every event with one send(2): no queue, no parsing beyond the
 * length of a body, no topics, no heartbeats, no limits. The benchmark holds real servers against
 * it.
 *
 *   floor HOST:PORT                        GET anything subscribes, POST anything publishes its
 * body floor HOST:PORT --tls HOST:PORT CERT KEY      the same by TLS at the second address: there,
 * an event is one SSL_write() for each subscriber
 *
 * Only for loopback and the load generator beside it: it trusts its clients. A subscriber that does
 * not read stops everybody else, and the loop says on stderr how often it waited for one. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/net.h"

enum { BACKLOG = 4096, EPOLL_EVENTS = 256, REQUEST_BYTES = 128 * 1024 };

struct client {
    int fd;
    SSL *ssl;      /* NULL: the socket alone */
    int index;     /* among the subscribers; -1: not one of them */
    size_t used;   /* bytes of a request that is not complete yet */
    char *request; /* NULL until a request arrives in pieces, or several at once */
};

/* Stands for a listener in epoll, where clients are told from it by their address. */
struct listening {
    struct client client;
    SSL_CTX *ctx; /* NULL: plain */
};

struct loop {
    int epoll;
    struct listening plain, secure;
    struct client **subscribers; /* in no particular order */
    int count, size;
    unsigned long waited;
    char buffer[REQUEST_BYTES];
    char event[REQUEST_BYTES];
};

static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                  "Cache-Control: no-cache\r\nConnection: close\r\n\r\n:\n\n";
static const char publish_head[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* What the kernel would say. Errors are cleared, since the next client is asked after the same. */
static ssize_t tls_failed(const struct client *c, int n) {
    int error = SSL_get_error(c->ssl, n);
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    ERR_clear_error();
    return -1;
}

/* As send(2) and read(2) on a socket that does not block. */
static ssize_t put(const struct client *c, const char *bytes, size_t length) {
    if (c->ssl == NULL)
        return send(c->fd, bytes, length, MSG_NOSIGNAL);
    int n = SSL_write(c->ssl, bytes, (int)length);
    return n > 0 ? n : tls_failed(c, n);
}

static ssize_t get(const struct client *c, char *bytes, size_t length) {
    if (c->ssl == NULL)
        return read(c->fd, bytes, length);
    int n = SSL_read(c->ssl, bytes, (int)length);
    return n > 0 ? n : tls_failed(c, n);
}

static void send_all(struct loop *l, const struct client *c, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t n = put(c, bytes, length);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd pfd = {.fd = c->fd, .events = POLLOUT};
            l->waited++;
            poll(&pfd, 1, -1);
        } else if (n < 0) {
            return; /* its end will be read in its turn */
        } else {
            bytes += n;
            length -= (size_t)n;
        }
    }
}

static void begin_tls(struct client *c, SSL_CTX *ctx) {
    c->ssl = SSL_new(ctx);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
        abort();
    SSL_set_accept_state(c->ssl);
}

static void accept_all(struct loop *l, const struct listening *listening) {
    int fd, on = 1;
    while ((fd = accept4(listening->client.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = malloc(sizeof(*c));
        if (c == NULL)
            abort();
        *c = (struct client){.fd = fd, .index = -1};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (listening->ctx != NULL)
            begin_tls(c, listening->ctx);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            die("epoll_ctl");
    }
}

static void subscribe(struct loop *l, struct client *c) {
    if (l->count == l->size) {
        l->size = l->size > 0 ? l->size * 2 : 1024;
        l->subscribers = realloc(l->subscribers, (size_t)l->size * sizeof(*l->subscribers));
        if (l->subscribers == NULL)
            abort();
    }
    c->index = l->count;
    l->subscribers[l->count++] = c;
    send_all(l, c, stream_head, sizeof(stream_head) - 1);
}

static void hang_up(struct loop *l, struct client *c) {
    if (c->index >= 0) {
        struct client *last = l->subscribers[--l->count];
        l->subscribers[c->index] = last;
        last->index = c->index;
    }
    SSL_free(c->ssl);
    close(c->fd);
    free(c->request);
    free(c);
}

static void fan_out(struct loop *l, const char *data, size_t length) {
    memcpy(l->event, "data: ", 6);
    memcpy(l->event + 6, data, length);
    memcpy(l->event + 6 + length, "\n\n", 2);
    for (int i = 0; i < l->count; i++)
        send_all(l, l->subscribers[i], l->event, length + 8);
}

/* Serve one request at the start of the bytes; returns its length, 0 while it is incomplete. */
static size_t serve(struct loop *l, struct client *c, const char *bytes, size_t length) {
    const char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end - bytes) + 4;
    if (bytes[0] == 'G') {
        subscribe(l, c);
        return head;
    }
    static const char name[] = "Content-Length: ";
    const char *field = memmem(bytes, head, name, sizeof(name) - 1);
    size_t body = field != NULL ? strtoul(field + sizeof(name) - 1, NULL, 10) : 0;
    if (body > REQUEST_BYTES / 2) {
        fprintf(stderr, "floor: a body of %zu bytes is too large\n", body);
        exit(1);
    }
    if (head + body > length)
        return 0;
    fan_out(l, bytes + head, body);
    send_all(l, c, publish_head, sizeof(publish_head) - 1);
    return head + body;
}

/* Read once, and serve what is complete. What is left waits in a buffer of the client's own. */
static void client_readable(struct loop *l, struct client *c) {
    char *bytes = c->request != NULL ? c->request : l->buffer;
    ssize_t n = get(c, bytes + c->used, REQUEST_BYTES - c->used);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        hang_up(l, c);
        return;
    }
    size_t length = c->used + (size_t)n, done = 0, served;
    while (done < length && (served = serve(l, c, bytes + done, length - done)) > 0)
        done += served;
    c->used = length - done;
    if (c->used == 0)
        return;
    if (c->request == NULL && (c->request = malloc(REQUEST_BYTES)) == NULL)
        abort();
    memmove(c->request, bytes + done, c->used);
}

static void listen_on(struct loop *l, struct listening *listening, const char *text) {
    struct address a;
    int on = 1;
    if (!address_parse(&a, text)) {
        fprintf(stderr, "floor: want A.B.C.D:PORT, not %s\n", text);
        exit(2);
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    listening->client.fd = fd;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&a.sockaddr, a.length) != 0 || listen(fd, BACKLOG) != 0)
        die(text);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listening->client};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll");
}

static SSL_CTX *server_context(const char *cert, const char *key) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "floor: cannot use %s with %s\n", cert, key);
        exit(2);
    }
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets do */
    return ctx;
}

static volatile sig_atomic_t ended;

static void on_signal(int number) {
    (void)number;
    ended = 1;
}

int main(int argc, char **argv) {
    static struct loop l;
    struct rlimit limit;
    bool secure = argc == 6 && strcmp(argv[2], "--tls") == 0;
    if (argc != 2 && !secure) {
        fputs("usage: floor HOST:PORT [--tls HOST:PORT CERT KEY]\n", stderr);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(2) */
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l.epoll < 0)
        die("epoll");
    listen_on(&l, &l.plain, argv[1]);
    if (secure) {
        l.secure.ctx = server_context(argv[4], argv[5]);
        listen_on(&l, &l.secure, argv[3]);
    }
    struct epoll_event events[EPOLL_EVENTS];
    while (!ended) {
        int n = epoll_wait(l.epoll, events, EPOLL_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (c == &l.plain.client)
                accept_all(&l, &l.plain);
            else if (c == &l.secure.client)
                accept_all(&l, &l.secure);
            else
                client_readable(&l, c);
        }
    }
    fprintf(stderr, "floor: waited %lu times for a subscriber that did not read\n", l.waited);
    return 0;
}
