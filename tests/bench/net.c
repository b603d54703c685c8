/* Connecting, from many addresses; see net.h. */
#include "tests/bench/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* The ports below are servers' and those above ephemeral or unused on common systems. */
enum { PORT_FIRST = 10000, PORT_LAST = 59999, ATTEMPTS = 1000 };

static bool parse_unix(struct address *a, const char *path) {
    struct sockaddr_un *un = (struct sockaddr_un *)&a->sockaddr;
    if (strlen(path) >= sizeof(un->sun_path))
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    a->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    return true;
}

static bool parse_inet(struct address *a, const char *text) {
    struct sockaddr_in *in = (struct sockaddr_in *)&a->sockaddr;
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port == 0 || port > 65535 || inet_pton(AF_INET, host, &in->sin_addr) != 1)
        return false;
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    a->length = sizeof(*in);
    return true;
}

bool address_parse(struct address *a, const char *text) {
    memset(a, 0, sizeof(*a));
    if (strlen(text) >= sizeof(a->text))
        return false;
    memcpy(a->text, text, strlen(text) + 1);
    return strncmp(text, "unix:", 5) == 0 ? parse_unix(a, text + 5) : parse_inet(a, text);
}

void source_init(struct source *s, unsigned block) {
    uint64_t seed = now_ns() / 1000;
    s->address = 127u << 24 | (block & 255) << 16 | (uint32_t)(seed % 200 + 1) << 8 | 1;
    s->port = (uint16_t)(PORT_FIRST + seed % (PORT_LAST - PORT_FIRST));
}

/* The next address and port; the address changes when its ports are through. */
static struct sockaddr_in source_next(struct source *s) {
    if (s->port++ == PORT_LAST) {
        s->port = PORT_FIRST;
        s->address++;
    }
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(s->port)};
    in.sin_addr.s_addr = htonl(s->address);
    return in;
}

static bool is_loopback(const struct address *a) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sockaddr;
    return a->sockaddr.ss_family == AF_INET && ntohl(in->sin_addr.s_addr) >> 24 == 127;
}

static int connect_once(const struct address *a, struct source *source) {
    int fd = socket(a->sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    if (a->sockaddr.ss_family == AF_INET)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    bool ok = true;
    if (source != NULL) {
        struct sockaddr_in from = source_next(source);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        ok = bind(fd, (const struct sockaddr *)&from, sizeof(from)) == 0;
    }
    if (ok && connect(fd, (const struct sockaddr *)&a->sockaddr, a->length) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int net_connect(const struct address *a, struct source *source) {
    if (!is_loopback(a))
        source = NULL;
    int fd = connect_once(a, source);
    for (int i = 0; i < ATTEMPTS && fd < 0 && source != NULL; i++) {
        if (errno != EADDRINUSE && errno != EADDRNOTAVAIL)
            break;
        fd = connect_once(a, source);
    }
    return fd;
}

void net_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        abort();
}
