/* The supervisor: see supervisor.h.
 *
 * Each child's standard output is a pipe into this process, so one poll(2) sees everything: the
 * lifeline's end, what redis-server says (kept for the report when it ends), and that a child ended
 * (its pipe does). No signal handler, and no timer but poll's. */
#include "relay/embedded/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "relay/base/buf.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"

enum { REDIS, CLOCK, LETTERS, CHILDREN };

enum {
    TRY_CONNECT_MS = 20,
    RESTART_MS = 2000, /* before a publisher that ended is started again */
    TAIL_BYTES = 1000, /* of what a child wrote, kept for the report ... */
    TAIL_LINES = 3,    /* ... which shows this much of it */
    ARGS_MAX = 24
};

struct child {
    const char *argv[ARGS_MAX]; /* none: not asked for */
    pid_t pid;                  /* -1: does not run */
    bool was_started;           /* before: what it complains of has been shown */
    int out_fd;                 /* its standard output; -1 */
    uint64_t start_at_ms;
    struct buf tail; /* the end of what it wrote */
};

struct supervisor {
    const struct supervisor_plan *plan;
    struct child children[CHILDREN];
    bool ready; /* connections to Redis are accepted */
    uint64_t ready_by_ms;
};

int supervisor_pipe(int fds[2]) {
    int raw[2];
    if (pipe(raw) != 0)
        return RELAY_EIO;
    fds[0] = fcntl(raw[0], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    fds[1] = fcntl(raw[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int reason = errno;
    close(raw[0]);
    close(raw[1]);
    if (fds[0] >= 0 && fds[1] >= 0)
        return RELAY_OK;
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    errno = reason;
    return RELAY_EIO;
}

/* Tell the relay; nobody may be there to read it. */
static void report(const struct supervisor *s, enum supervisor_report what, const char *text) {
    struct buf message = BUF_INIT;
    buf_printf(&message, "%c%s", what, text);
    while (write(s->plan->report_fd, message.data, message.len) < 0 && errno == EINTR)
        ;
    buf_fini(&message);
}

static void plan_child(struct child *c, const char *const *argv, size_t argc) {
    memcpy(c->argv, argv, argc * sizeof(*argv));
}

#define PLAN_CHILD(child, ...)                                                                     \
    plan_child(child, (const char *const[]){__VA_ARGS__},                                          \
               sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void plan_children(struct supervisor *s) {
    const struct supervisor_plan *p = s->plan;
    for (int i = 0; i < CHILDREN; i++)
        s->children[i] = (struct child){.pid = -1, .out_fd = -1};
    if (p->redis != NULL)
        PLAN_CHILD(&s->children[REDIS], p->redis, "--port", "0", "--unixsocket", p->socket,
                   "--unixsocketperm", "700", "--dir", p->directory, "--save", "", "--appendonly",
                   "no", "--maxmemory-policy", "noeviction", "--daemonize", "no", "--logfile", "");
    if (p->publish == NULL)
        return;
    const char *prefix = p->prefix != NULL ? "--prefix" : NULL;
    PLAN_CHILD(&s->children[CLOCK], p->publish, "clock", "--every", "1s", "time", prefix,
               p->prefix);
    PLAN_CHILD(&s->children[LETTERS], p->publish, "letters", "--every", "500ms", "letters", prefix,
               p->prefix);
}

static void set_signals(void (*handler)(int)) {
    static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE};
    struct sigaction action = {.sa_handler = handler};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
}

/* In the child: never returns. */
static void run_child(const struct supervisor *s, const struct child *c, int out_fd, pid_t parent) {
    bool is_redis = c == &s->children[REDIS];
    dup2(out_fd, STDOUT_FILENO);
    if (is_redis || c->was_started)
        dup2(out_fd, STDERR_FILENO);
    if (!is_redis)
        setenv("REDIS_URL", s->plan->redis_url, 1);
    set_signals(SIG_DFL);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* where even the supervisor is killed */
#endif
    if (getppid() == parent)
        execv(c->argv[0], (char *const *)c->argv);
    dprintf(STDERR_FILENO, "%s cannot be run: %s\n", c->argv[0], strerror(errno));
    _exit(127);
}

static int start_child(struct supervisor *s, struct child *c) {
    int fds[2];
    if (supervisor_pipe(fds) != RELAY_OK)
        return RELAY_EIO;
    pid_t self = getpid();
    c->pid = fork();
    if (c->pid == 0)
        run_child(s, c, fds[1], self);
    close(fds[1]);
    if (c->pid > 0) {
        c->was_started = true;
        c->out_fd = fds[0];
        return RELAY_OK;
    }
    close(fds[0]);
    return RELAY_EIO;
}

/* Read what @c wrote and keep the end of it. False: its output has ended. */
static bool drain(struct child *c) {
    char *end = buf_reserve(&c->tail, TAIL_BYTES);
    ssize_t n = read(c->out_fd, end, TAIL_BYTES);
    if (n <= 0)
        return n < 0 && (errno == EINTR || errno == EAGAIN);
    c->tail.len += (size_t)n;
    end[n] = '\0';
    if (c->tail.len > TAIL_BYTES)
        buf_consume(&c->tail, c->tail.len - TAIL_BYTES);
    return true;
}

/* Reap a child whose output has ended: it ends too, or is made to. Returns its status. */
static int reap(struct child *c) {
    int status = 0;
    kill(c->pid, SIGKILL);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(c->out_fd);
    c->out_fd = -1;
    c->pid = -1;
    return status;
}

/* End a child, by force where it does not end by itself within SUPERVISOR_END_MS. */
static void end_child(struct child *c) {
    if (c->pid < 0)
        return;
    uint64_t deadline = clock_mono_ms() + SUPERVISOR_END_MS;
    kill(c->pid, SIGTERM);
    for (uint64_t now = clock_mono_ms(); now < deadline; now = clock_mono_ms()) {
        struct pollfd output = {.fd = c->out_fd, .events = POLLIN};
        if (poll(&output, 1, (int)(deadline - now)) > 0 && !drain(c))
            break;
    }
    reap(c);
}

/* " (…)" with the last lines that redis-server wrote; nothing where it wrote none. */
static void put_tail(const struct child *c, struct buf *out) {
    size_t len = c->tail.len;
    while (len > 0 && c->tail.data[len - 1] == '\n')
        len--;
    size_t start = len;
    for (int lines = 0; start > 0; start--)
        if (c->tail.data[start - 1] == '\n' && ++lines == TAIL_LINES)
            break;
    if (len == 0)
        return;
    buf_puts(out, " (");
    for (size_t i = start; i < len; i++)
        if (c->tail.data[i] != '\n')
            buf_putc(out, c->tail.data[i]);
        else
            buf_puts(out, "; ");
    buf_putc(out, ')');
}

static void report_timeout(const struct supervisor *s) {
    struct buf text = BUF_INIT;
    buf_printf(&text, "redis-server did not accept connections within %d s",
               SUPERVISOR_READY_MS / 1000);
    put_tail(&s->children[REDIS], &text);
    report(s, SUPERVISOR_TIMEOUT, text.data);
    buf_fini(&text);
}

static void report_end(const struct supervisor *s, int status) {
    struct buf text = BUF_INIT;
    if (WIFSIGNALED(status))
        buf_printf(&text, "redis-server was ended by signal %d", WTERMSIG(status));
    else
        buf_printf(&text, "redis-server ended with exit code %d", WEXITSTATUS(status));
    put_tail(&s->children[REDIS], &text);
    report(s, SUPERVISOR_ENDED, text.data);
    buf_fini(&text);
}

static bool redis_accepts(const struct supervisor *s) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", s->plan->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool accepted = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    if (fd >= 0)
        close(fd);
    return accepted;
}

/* Look whether Redis is there, until it is. False: it took too long. */
static bool become_ready(struct supervisor *s) {
    if (s->plan->redis == NULL || redis_accepts(s)) {
        s->ready = true;
        report(s, SUPERVISOR_READY, "");
    } else if (clock_mono_ms() >= s->ready_by_ms) {
        report_timeout(s);
        return false;
    }
    return true;
}

/* Start the publishers that are due. Returns how long poll(2) may wait. */
static int start_due(struct supervisor *s) {
    uint64_t now = clock_mono_ms();
    int wait_ms = -1;
    if (!s->ready)
        return TRY_CONNECT_MS;
    for (struct child *c = &s->children[CLOCK]; c <= &s->children[LETTERS]; c++) {
        if (c->argv[0] == NULL || c->pid >= 0)
            continue;
        if (now >= c->start_at_ms && start_child(s, c) != RELAY_OK)
            c->start_at_ms = now + RESTART_MS;
        if (c->pid < 0 && (wait_ms < 0 || c->start_at_ms - now < (uint64_t)wait_ms))
            wait_ms = (int)(c->start_at_ms - now);
    }
    return wait_ms;
}

/* Take what the children wrote. False: redis-server has ended. */
static bool serve_children(struct supervisor *s, const struct pollfd *polled) {
    for (int i = 0; i < CHILDREN; i++) {
        struct child *c = &s->children[i];
        if (polled[i].revents == 0 || drain(c))
            continue;
        int status = reap(c);
        c->start_at_ms = clock_mono_ms() + RESTART_MS;
        if (i == REDIS) {
            report_end(s, status);
            return false;
        }
    }
    return true;
}

/* One round of the loop. False: it is time to end. */
static bool turn(struct supervisor *s) {
    if (!s->ready && !become_ready(s))
        return false;
    int wait_ms = start_due(s);
    struct pollfd polled[CHILDREN + 1];
    for (int i = 0; i < CHILDREN; i++)
        polled[i] = (struct pollfd){.fd = s->children[i].out_fd, .events = POLLIN};
    polled[CHILDREN] = (struct pollfd){.fd = s->plan->lifeline_fd, .events = POLLIN};
    int n = poll(polled, CHILDREN + 1, wait_ms);
    if (n <= 0)
        return n == 0 || errno == EINTR;
    return polled[CHILDREN].revents == 0 && serve_children(s, polled);
}

/* A session of its own, so that Ctrl-C reaches neither this process nor its children; the signals
 * that would end this process before its children are ignored; nobody waits for its output. */
static void detach(void) {
    setsid();
    set_signals(SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null_fd = open("/dev/null", O_RDWR);
    if (null_fd < 0)
        return;
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    if (null_fd > STDERR_FILENO)
        close(null_fd);
}

void supervisor_run(const struct supervisor_plan *plan) {
    struct supervisor s = {.plan = plan};
    detach();
    plan_children(&s);
    s.ready_by_ms = clock_mono_ms() + SUPERVISOR_READY_MS;
    if (plan->redis == NULL || start_child(&s, &s.children[REDIS]) == RELAY_OK)
        while (turn(&s))
            ;
    else
        report(&s, SUPERVISOR_ENDED, "redis-server could not be started: no process or pipe left");
    for (int i = CHILDREN - 1; i >= REDIS; i--)
        end_child(&s.children[i]);
    if (plan->directory != NULL) {
        unlink(plan->socket);
        rmdir(plan->directory);
    }
    _exit(0);
}
