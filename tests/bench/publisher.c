/* Requests out, answers counted; see publisher.h. */
#include "tests/bench/publisher.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tests/bench/payload.h"

enum { HEAD_BYTES = 1024 };

static void die(const char *what) {
    fprintf(stderr, "sseload: publisher: %s\n", what);
    exit(1);
}

bool publisher_open(struct publisher *p, const struct publish_target *target) {
    *p = (struct publisher){.target = target};
    p->fd = net_connect(&target->address, NULL);
    if (p->fd < 0)
        return false;
    net_nonblocking(p->fd);
    p->request = malloc(HEAD_BYTES + target->payload_bytes + 2);
    if (p->request == NULL)
        abort();
    return true;
}

void publisher_close(struct publisher *p) {
    close(p->fd);
    free(p->request);
}

static size_t encode(struct publisher *p, uint64_t due_ns) {
    const struct publish_target *t = p->target;
    size_t bytes = t->payload_bytes;
    int head =
        t->redis ? snprintf(p->request, HEAD_BYTES, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n",
                            strlen(t->name), t->name, bytes)
                 : snprintf(p->request, HEAD_BYTES,
                            "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\n"
                            "Content-Length: %zu\r\n\r\n",
                            t->name, t->address.text, bytes);
    if (head < 0 || head >= HEAD_BYTES)
        die("the path or channel is too long");
    struct payload payload = {.seq = p->sent, .due_ns = due_ns};
    payload_write(p->request + head, bytes, &payload);
    if (t->redis)
        memcpy(p->request + head + bytes, "\r\n", 2);
    return (size_t)head + bytes + (t->redis ? 2 : 0);
}

static void note_answer(struct publisher *p, bool ok, const char *text, size_t length) {
    p->answered++;
    if (!ok && p->refused++ == 0)
        fprintf(stderr, "sseload: publisher: answered %.*s\n", (int)length, text);
}

/* Take one answer from the start of the input: its bytes, or 0 while it is incomplete. */
static size_t take_redis(struct publisher *p) {
    const char *lf = memchr(p->input, '\n', p->input_used);
    if (lf == NULL)
        return 0;
    note_answer(p, p->input[0] == ':', p->input, (size_t)(lf - p->input));
    return (size_t)(lf - p->input) + 1;
}

static size_t take_http(struct publisher *p) {
    const char *end = memmem(p->input, p->input_used, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end - p->input) + 4;
    size_t body = 0;
    const char *line = p->input;
    while ((line = memmem(line, (size_t)(end - line), "\r\n", 2)) != NULL) {
        line += 2;
        if (strncasecmp(line, "content-length:", 15) == 0)
            body = strtoul(line + 15, NULL, 10);
        else if (strncasecmp(line, "transfer-encoding:", 18) == 0)
            die("an answer in chunks is not understood");
    }
    if (head + body > p->input_used)
        return 0;
    note_answer(p, p->input_used > 9 && p->input[9] == '2', p->input, head + body);
    return head + body;
}

static void read_answers(struct publisher *p) {
    ssize_t n = read(p->fd, p->input + p->input_used, sizeof(p->input) - p->input_used);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        die(n == 0 ? "the server closed the connection" : strerror(errno));
    p->input_used += (size_t)n;
    size_t taken;
    while (p->input_used > 0 && (taken = p->target->redis ? take_redis(p) : take_http(p)) > 0) {
        p->input_used -= taken;
        memmove(p->input, p->input + taken, p->input_used);
    }
    if (p->input_used == sizeof(p->input))
        die("an answer is too large");
}

/* Poll until @deadline_ns; reads answers when there are any. */
static void poll_until(struct publisher *p, short events, uint64_t deadline_ns) {
    uint64_t now = now_ns();
    uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000u),
                               .tv_nsec = (long)(left % 1000000000u)};
    struct pollfd pfd = {.fd = p->fd, .events = events};
    if (ppoll(&pfd, 1, &timeout, NULL) > 0 && (pfd.revents & ~POLLOUT) != 0)
        read_answers(p);
}

void publisher_send(struct publisher *p, uint64_t due_ns) {
    size_t length = encode(p, due_ns);
    for (size_t done = 0; done < length;) {
        ssize_t n = write(p->fd, p->request + done, length - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            poll_until(p, POLLIN | POLLOUT, now_ns() + 1000000000u);
        else if (errno != EINTR)
            die(strerror(errno));
    }
    p->sent++;
}

void publisher_wait(struct publisher *p, uint64_t outstanding, uint64_t deadline_ns) {
    while (p->sent - p->answered > outstanding && now_ns() < deadline_ns)
        poll_until(p, POLLIN, deadline_ns);
}

void publisher_rest(struct publisher *p, uint64_t deadline_ns) {
    while (now_ns() < deadline_ns)
        poll_until(p, POLLIN, deadline_ns);
}
