/* One request to a relay on this machine, on a blocking socket, through TLS where that is all it
 * speaks; see health_check.h. */
#include "relay/health_check.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/app.h"

enum { TIMEOUT_S = 3, ANSWER_MAX = 4096 };

static const char accepted[] = "HTTP/1.1 200 ";

/* A call on a socket with a timeout returns EINTR after the process was stopped and went on, and on
 * Linux where io_uring is in the process, without any signal: connect(2) is then called again, and
 * waits on, or finds that it has happened. */
static bool connect_retrying(int fd, const struct sockaddr *address, socklen_t len) {
    int rc;
    do
        rc = connect(fd, address, len);
    while (rc != 0 && errno == EINTR);
    return rc == 0 || errno == EISCONN;
}

/* Returns a connected socket on which nothing waits for longer than the timeout, or -1 and errno.
 */
static int connect_one(const struct sockaddr *address, socklen_t len) {
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd = socket(address->sa_family, SOCK_STREAM, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
        connect_retrying(fd, address, len))
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

static int connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    return connect_one((const struct sockaddr *)&address, sizeof(address));
}

/* Where it listens on all addresses (no host), this machine's own are asked. */
static int connect_tcp(const char *host, unsigned port) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    char service[12];
    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next)
        fd = connect_one(a->ai_addr, a->ai_addrlen);
    int error = errno;
    freeaddrinfo(found);
    errno = error;
    return fd;
}

struct peer {
    int fd;
    SSL *ssl; /* NULL: plain */
};

static bool connect_peer(const struct listen_address *where, struct peer *p) {
    *p = (struct peer){.fd = where->kind == LISTEN_UNIX ? connect_unix(where->path)
                                                        : connect_tcp(where->host, where->port)};
    return p->fd >= 0;
}

static void close_peer(struct peer *p) {
    int error = errno;
    SSL_free(p->ssl);
    if (p->fd >= 0)
        close(p->fd);
    errno = error;
}

/* Its certificate may be for any name; that it is our own relay, the address says. */
static bool begin_tls(struct peer *p) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    p->ssl = ctx != NULL ? SSL_new(ctx) : NULL;
    SSL_CTX_free(ctx);
    errno = EPROTO;
    return p->ssl != NULL && SSL_set_fd(p->ssl, p->fd) == 1 && SSL_connect(p->ssl) == 1;
}

/* As send() and recv(). A timeout of the socket is EAGAIN in either. */
static ssize_t tls_result(const struct peer *p, int n) {
    if (n > 0)
        return n;
    int error = SSL_get_error(p->ssl, n);
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error == SSL_ERROR_SSL)
        errno = EPROTO;
    return -1;
}

static ssize_t send_some(const struct peer *p, const char *bytes, size_t len) {
    return p->ssl == NULL ? send(p->fd, bytes, len, 0)
                          : tls_result(p, SSL_write(p->ssl, bytes, (int)len));
}

static ssize_t receive_some(const struct peer *p, char *bytes, size_t len) {
    return p->ssl == NULL ? recv(p->fd, bytes, len, 0)
                          : tls_result(p, SSL_read(p->ssl, bytes, (int)len));
}

static bool send_all(const struct peer *p, const char *bytes, size_t len) {
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send_some(p, bytes + sent, len - sent);
        if (n < 0 && errno != EINTR)
            return false;
        sent += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Everything up to the end that the relay makes; as much of it as anybody would read. */
static bool receive_all(const struct peer *p, struct buf *answer) {
    char piece[1024];
    while (answer->len < ANSWER_MAX) {
        ssize_t n = receive_some(p, piece, sizeof(piece));
        if (n == 0)
            return true;
        if (n > 0)
            buf_append(answer, piece, (size_t)n);
        else if (errno != EINTR)
            return false;
    }
    return true;
}

/* Returns whether there is an answer; if not, errno says why. */
static bool ask(const struct listen_address *where, const char *path, struct buf *answer) {
    static const char line[] = "PROXY UNKNOWN\r\n"; /* it comes for itself */
    struct buf request = BUF_INIT;
    struct peer p;
    if (!connect_peer(where, &p) || (where->proxied && !send_all(&p, line, strlen(line))) ||
        (where->tls && !begin_tls(&p))) {
        close_peer(&p);
        return false;
    }
    buf_printf(&request, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    bool ok = send_all(&p, request.data, request.len) && receive_all(&p, answer);
    int error = ok ? ECONNRESET : errno;
    close_peer(&p);
    buf_fini(&request);
    errno = error;
    return ok && answer->len > 0;
}

/* Print what the relay said. Returns whether that was 200. */
static bool tell(const char *address, const char *path, const struct buf *answer) {
    const char *end = strstr(answer->data, "\r\n\r\n");
    const char *body = end != NULL ? end + 4 : "";
    if (strncmp(answer->data, accepted, strlen(accepted)) == 0) {
        fputs(body, stdout);
        return true;
    }
    fprintf(stderr, "sse-relay: %s of the relay at %s: %.*s\n%s", path, address,
            (int)strcspn(answer->data, "\r\n"), answer->data, body);
    return false;
}

/* The more an address asks for, the less it is asked. */
static int demands(const struct listen_address *a) {
    return 2 * a->proxied + a->tls;
}

/* The admin address; else one that wants neither the PROXY protocol nor TLS, and perhaps a
 * certificate, where there is one. */
static const struct listen_address *whom_to_ask(const struct config *config) {
    const struct listen_address *best = &config->listen.items[0];
    if (config->admin_listen.kind != LISTEN_NONE)
        return &config->admin_listen;
    for (size_t i = 1; i < config->listen.len; i++)
        if (demands(&config->listen.items[i]) < demands(best))
            best = &config->listen.items[i];
    return best;
}

static void tell_silence(const struct config *config, const struct listen_address *where) {
    const char *why = errno == EAGAIN ? "it says nothing" : strerror(errno);
    const char *advice = "";
    if (where->proxied)
        advice = "; it takes the PROXY protocol, from --trusted-proxies alone, so give it an "
                 "address that does not: --admin-listen";
    else if (where->tls && where != &config->admin_listen && config->tls_client_ca != NULL)
        advice = "; it asks clients for a certificate (--tls-client-ca), so give it an address "
                 "that does not: --admin-listen";
    fprintf(stderr, "sse-relay: no answer from a relay at %s: %s%s\n", where->text, why, advice);
}

int health_check(const struct config *config, const char *path) {
    const struct listen_address *where = whom_to_ask(config);
    struct buf answer = BUF_INIT;
    signal(SIGPIPE, SIG_IGN);
    bool ok = ask(where, path, &answer);
    if (!ok)
        tell_silence(config, where);
    else
        ok = tell(where->text, path, &answer);
    buf_fini(&answer);
    return ok ? APP_EXIT_OK : APP_EXIT_FAILED;
}
