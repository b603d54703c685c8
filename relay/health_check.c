/* One request to a relay on this machine, on a blocking socket; see health_check.h. */
#include "relay/health_check.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/app.h"

enum { TIMEOUT_S = 3, ANSWER_MAX = 4096 };

static const char accepted[] = "HTTP/1.1 200 ";

/* Returns a connected socket on which nothing waits for longer than the timeout, or -1 and errno.
 */
static int connect_one(const struct sockaddr *address, socklen_t len) {
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd = socket(address->sa_family, SOCK_STREAM, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
        connect(fd, address, len) == 0)
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

static bool send_all(int fd, const struct buf *request) {
    for (size_t sent = 0; sent < request->len;) {
        ssize_t n = send(fd, request->data + sent, request->len - sent, 0);
        if (n < 0 && errno != EINTR)
            return false;
        sent += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Everything up to the end that the relay makes; as much of it as anybody would read. */
static bool receive_all(int fd, struct buf *answer) {
    char piece[1024];
    while (answer->len < ANSWER_MAX) {
        ssize_t n = recv(fd, piece, sizeof(piece), 0);
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
    struct buf request = BUF_INIT;
    int fd = where->kind == LISTEN_UNIX ? connect_unix(where->path)
                                        : connect_tcp(where->host, where->port);
    if (fd < 0)
        return false;
    buf_printf(&request, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    bool ok = send_all(fd, &request) && receive_all(fd, answer);
    int error = ok ? ECONNRESET : errno;
    close(fd);
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

int health_check(const struct config *config, const char *path) {
    const struct listen_address *where =
        config->admin_listen.kind != LISTEN_NONE ? &config->admin_listen : &config->listen.items[0];
    struct buf answer = BUF_INIT;
    signal(SIGPIPE, SIG_IGN);
    bool ok = ask(where, path, &answer);
    if (!ok)
        fprintf(stderr, "sse-relay: no answer from a relay at %s: %s\n", where->text,
                errno == EAGAIN ? "it says nothing" : strerror(errno));
    else
        ok = tell(where->text, path, &answer);
    buf_fini(&answer);
    return ok ? APP_EXIT_OK : APP_EXIT_FAILED;
}
