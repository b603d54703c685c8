/* The relay's side of the private Redis and the demo; see embedded.h, and
 * supervisor.h for the other side. */
#include "relay/embedded/embedded.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "relay/base/err.h"
#include "relay/embedded/supervisor.h"

enum {
    /* Beyond what the supervisor allows its children, three of them at the end. */
    MARGIN_MS = 3000,
    START_MS = SUPERVISOR_READY_MS + MARGIN_MS,
    STOP_MS = 3 * SUPERVISOR_END_MS + MARGIN_MS
};

/* What is found out before the fork; the plan points into it. */
struct preparation {
    struct buf redis, publish, directory, socket, url;
};

static void preparation_fini(struct preparation *p) {
    buf_fini(&p->redis);
    buf_fini(&p->publish);
    buf_fini(&p->directory);
    buf_fini(&p->socket);
    buf_fini(&p->url);
}

static bool is_program(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Find the program @name in PATH. */
static bool find_in_path(const char *name, struct buf *out) {
    const char *path = getenv("PATH");
    if (path == NULL)
        path = "/usr/local/bin:/usr/bin:/bin";
    for (bool more = true; more;) {
        size_t len = strcspn(path, ":");
        buf_reset(out);
        buf_printf(out, "%.*s%s%s", (int)len, path, len > 0 ? "/" : "./", name);
        if (is_program(out->data))
            return true;
        more = path[len] == ':';
        path += len + more;
    }
    return false;
}

/* Find the program @name beside the running one. */
static bool find_beside(const char *name, struct buf *out) {
    char self[4096];
    size_t len = sizeof(self);
    if (uv_exepath(self, &len) != 0)
        return false;
    const char *slash = strrchr(self, '/');
    buf_reset(out);
    buf_append(out, self, slash != NULL ? (size_t)(slash + 1 - self) : 0);
    buf_puts(out, name);
    return is_program(out->data);
}

/* A directory that only we may enter, with room for the name of a socket in it. */
static int make_directory(struct preparation *p, struct buf *why) {
    static const char name[] = "/sse-relay-XXXXXX";
    static const char socket[] = "/redis.sock";
    const char *tmp = getenv("TMPDIR");
    bool fits = tmp != NULL && tmp[0] == '/' && strpbrk(tmp, "?%") == NULL &&
                strlen(tmp) + sizeof(name) + sizeof(socket) <
                    sizeof(((struct sockaddr_un *)NULL)->sun_path);
    const char *parent = fits ? tmp : "/tmp";
    buf_printf(&p->directory, "%s%s", parent, name);
    if (mkdtemp(p->directory.data) == NULL) {
        buf_printf(why, "no private directory for Redis could be made in %s: %s", parent,
                   strerror(errno));
        return RELAY_EIO;
    }
    buf_printf(&p->socket, "%s%s", p->directory.data, socket);
    buf_printf(&p->url, "unix:%s", p->socket.data);
    return RELAY_OK;
}

static int prepare(struct preparation *p, const struct embedded_options *o, struct buf *why) {
    if (o->redis && !find_in_path("redis-server", &p->redis)) {
        buf_puts(why, "redis-server was not found; install it (Debian: apt-get install "
                      "redis-server) or point --redis at a running server");
        return RELAY_ECONN;
    }
    if (o->demo && !find_beside("sse-publish", &p->publish) &&
        !find_in_path("sse-publish", &p->publish)) {
        buf_puts(why, "sse-publish, which --demo runs, was found neither beside sse-relay nor in "
                      "PATH; install it or leave out --demo");
        return RELAY_ECONN;
    }
    return o->redis ? make_directory(p, why) : RELAY_OK;
}

/* Fork the supervisor. On failure nothing is left but the directory. */
static int fork_supervisor(struct embedded *e, const struct embedded_options *o,
                           struct supervisor_plan *plan) {
    int lifeline[2], report[2];
    if (supervisor_pipe(lifeline) != RELAY_OK)
        return RELAY_EIO;
    if (supervisor_pipe(report) != RELAY_OK)
        goto err_after_lifeline;
    plan->lifeline_fd = lifeline[0];
    plan->report_fd = report[1];
    e->supervisor = fork();
    if (e->supervisor < 0)
        goto err_after_report;
    if (e->supervisor == 0) {
        close(lifeline[1]);
        close(report[0]);
        if (o->forked != NULL)
            o->forked(o->forked_arg);
        supervisor_run(plan);
    }
    close(lifeline[0]);
    close(report[1]);
    e->lifeline_fd = lifeline[1];
    e->report_fd = report[0];
    return RELAY_OK;

err_after_report:
    close(report[0]);
    close(report[1]);
err_after_lifeline:
    close(lifeline[0]);
    close(lifeline[1]);
    return RELAY_EIO;
}

/* Wait until the supervisor says something, or ends. */
static bool wait_for_report(const struct embedded *e, int timeout_ms) {
    uint64_t deadline = uv_hrtime() / 1000000 + (uint64_t)timeout_ms;
    struct pollfd report = {.fd = e->report_fd, .events = POLLIN};
    int n;
    do {
        uint64_t now = uv_hrtime() / 1000000;
        n = poll(&report, 1, now < deadline ? (int)(deadline - now) : 0);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

static ssize_t read_retrying(int fd, char *bytes, size_t len) {
    ssize_t n;
    do
        n = read(fd, bytes, len);
    while (n < 0 && errno == EINTR);
    return n;
}

/* The letter of the next report; its text, where it has one, is appended to @text. 0: the
 * supervisor has ended. */
static char read_report(const struct embedded *e, struct buf *text) {
    char letter, bytes[PIPE_BUF];
    if (read_retrying(e->report_fd, &letter, 1) <= 0)
        return 0;
    if (letter != SUPERVISOR_READY) { /* the letter came with its text, in one write */
        ssize_t n = read_retrying(e->report_fd, bytes, sizeof(bytes));
        buf_append(text, bytes, n > 0 ? (size_t)n : 0);
    }
    return letter;
}

static int wait_until_ready(const struct embedded *e, struct buf *why) {
    char letter = wait_for_report(e, START_MS) ? read_report(e, why) : 0;
    switch (letter) {
    case SUPERVISOR_READY:
        return RELAY_OK;
    case SUPERVISOR_TIMEOUT:
        return RELAY_ETIMEOUT;
    case SUPERVISOR_ENDED:
        return RELAY_ECONN;
    default:
        buf_puts(why, "the process that starts redis-server ended or hangs");
        return RELAY_EIO;
    }
}

static int start_prepared(struct embedded *e, const struct embedded_options *o,
                          struct preparation *p, struct buf *why) {
    struct supervisor_plan plan = {
        .redis = p->redis.data,
        .directory = p->directory.data,
        .socket = p->socket.data,
        .publish = p->publish.data,
        .redis_url = o->redis ? p->url.data : o->redis_url,
        .prefix = o->prefix,
    };
    if (fork_supervisor(e, o, &plan) != RELAY_OK) {
        buf_printf(why, "the process that runs redis-server could not be started: %s",
                   strerror(errno));
        if (o->redis)
            rmdir(p->directory.data);
        return RELAY_EIO;
    }
    if (o->redis)
        e->redis_url = buf_detach(&p->url);
    return wait_until_ready(e, why);
}

int embedded_start(struct embedded *e, const struct embedded_options *o, struct buf *why) {
    *e = (struct embedded)EMBEDDED_INIT;
    struct preparation p = {.redis = BUF_INIT};
    int rc = prepare(&p, o, why);
    if (rc == RELAY_OK)
        rc = start_prepared(e, o, &p, why);
    if (rc != RELAY_OK)
        embedded_stop(e);
    preparation_fini(&p);
    return rc;
}

void embedded_report(struct embedded *e, struct buf *why) {
    if (read_report(e, why) == 0)
        buf_puts(why, "the process that watches over redis-server ended");
}

void embedded_stop(struct embedded *e) {
    if (e->supervisor > 0) {
        close(e->lifeline_fd);
        struct buf ignored = BUF_INIT;
        bool in_time;
        do
            in_time = wait_for_report(e, STOP_MS);
        while (in_time && read_report(e, &ignored) != 0);
        if (!in_time)
            kill(e->supervisor, SIGKILL);
        while (waitpid(e->supervisor, NULL, 0) < 0 && errno == EINTR)
            ;
        close(e->report_fd);
        buf_fini(&ignored);
    }
    free(e->redis_url);
    *e = (struct embedded)EMBEDDED_INIT;
}
