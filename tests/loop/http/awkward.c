/* A transport that behaves badly; see awkward.h. */
#include "tests/loop/http/awkward.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"

enum { DESCRIPTORS = 4096, INSIDE_BYTES = 16 * 1024, REFUSED_BYTES = 4096 };

struct awkward {
    unsigned reads, writes;
    char inside[INSIDE_BYTES]; /* read from the socket, and not handed out */
    size_t at, len;
    unsigned read_needs, write_needs;
    bool holds_writes;
    char refused[REFUSED_BYTES]; /* the first bytes of what was refused last */
    size_t refused_len;
    bool asked_to_shut;
};

static struct awkward *all[DESCRIPTORS];

static struct awkward *of(const struct transport *t) {
    return all[t->fd];
}

static bool is_ready(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) == 1;
}

static size_t at_most(size_t n, size_t limit) {
    return n < limit ? n : limit;
}

static ssize_t failed(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK ? TRANSPORT_AGAIN : TRANSPORT_FAILED;
}

static ssize_t awkward_read(struct transport *t, void *bytes, size_t len) {
    static const size_t pieces[] = {1, 7, 100, INSIDE_BYTES, 3000};
    struct awkward *a = of(t);
    a->read_needs = TRANSPORT_READ;
    if (a->reads++ % 3 == 1 && is_ready(t->fd, POLLOUT)) {
        a->read_needs = TRANSPORT_WRITE;
        return TRANSPORT_AGAIN;
    }
    if (a->at == a->len) {
        ssize_t n = recv(t->fd, a->inside, sizeof(a->inside), 0);
        if (n <= 0)
            return n == 0 ? 0 : failed();
        a->at = 0;
        a->len = (size_t)n;
    }
    size_t n = at_most(at_most(a->len - a->at, len), pieces[a->reads % 5]);
    if (!is_ready(t->fd, POLLOUT)) /* nothing would tell of what stays inside */
        n = at_most(a->len - a->at, len);
    memcpy(bytes, a->inside + a->at, n);
    a->at += n;
    return (ssize_t)n;
}

/* Copy the first @max bytes of @iov; returns how many there are. */
static size_t first_bytes(const struct iovec *iov, int count, char *to, size_t max) {
    size_t len = 0;
    for (int i = 0; i < count && len < max; i++) {
        size_t n = at_most(iov[i].iov_len, max - len);
        memcpy(to + len, iov[i].iov_base, n);
        len += n;
    }
    return len;
}

static ssize_t refuse(struct awkward *a, const struct iovec *iov, int count, unsigned needs) {
    a->write_needs = needs;
    a->refused_len = first_bytes(iov, count, a->refused, sizeof(a->refused));
    return TRANSPORT_AGAIN;
}

static ssize_t awkward_writev(struct transport *t, const struct iovec *iov, int count) {
    static const size_t pieces[] = {1, 5, 60000, 1000, 200000};
    static char bytes[200000];
    struct awkward *a = of(t);
    size_t len = first_bytes(iov, count, bytes, pieces[a->writes % 5]);
    char again[REFUSED_BYTES];
    assert_true(first_bytes(iov, count, again, a->refused_len) == a->refused_len);
    assert_memory_equal(again, a->refused, a->refused_len);
    if (a->holds_writes && !is_ready(t->fd, POLLIN))
        return refuse(a, iov, count, TRANSPORT_READ);
    a->holds_writes = false;
    if (a->writes++ % 4 == 2)
        return refuse(a, iov, count, TRANSPORT_WRITE);
    ssize_t n = send(t->fd, bytes, len, MSG_NOSIGNAL);
    if (n < 0 && failed() == TRANSPORT_AGAIN)
        return refuse(a, iov, count, TRANSPORT_WRITE);
    a->refused_len = 0;
    return n < 0 ? TRANSPORT_FAILED : n;
}

static bool has_inside(const struct awkward *a) {
    return a->at < a->len;
}

static unsigned awkward_poll_for(const struct transport *t, unsigned wanted) {
    const struct awkward *a = of(t);
    unsigned events = wanted & TRANSPORT_WRITE ? a->write_needs : 0;
    if (wanted & TRANSPORT_READ)
        events |= has_inside(a) ? TRANSPORT_WRITE : a->read_needs;
    return events;
}

static unsigned awkward_ready(const struct transport *t, unsigned polled) {
    const struct awkward *a = of(t);
    unsigned can = has_inside(a) || (polled & a->read_needs) ? TRANSPORT_READ : 0;
    return can | (polled & a->write_needs ? TRANSPORT_WRITE : 0);
}

static int awkward_shut_down(struct transport *t) {
    struct awkward *a = of(t);
    a->write_needs = TRANSPORT_WRITE;
    if (!a->asked_to_shut) {
        a->asked_to_shut = true;
        return TRANSPORT_AGAIN;
    }
    shutdown(t->fd, SHUT_WR);
    return 0;
}

static void awkward_close(struct transport *t) {
    free(of(t));
    all[t->fd] = NULL;
    close(t->fd);
}

static const struct transport_ops awkward_ops = {.read = awkward_read,
                                                 .writev = awkward_writev,
                                                 .poll_for = awkward_poll_for,
                                                 .ready = awkward_ready,
                                                 .shut_down = awkward_shut_down,
                                                 .close = awkward_close};

void awkward_take_over(struct transport *t) {
    if (t->ops == &awkward_ops)
        return;
    assert_in_range(t->fd, 0, DESCRIPTORS - 1);
    struct awkward *a = calloc(1, sizeof(*a));
    assert_non_null(a);
    a->read_needs = TRANSPORT_READ;
    a->write_needs = TRANSPORT_WRITE;
    all[t->fd] = a;
    t->ops = &awkward_ops;
}

void awkward_hold_writes(struct transport *t) {
    of(t)->holds_writes = true;
}
