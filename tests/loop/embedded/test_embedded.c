/* The private Redis and the demo's publishers: they serve, and nothing of them outlives the relay.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/base/err.h"
#include "relay/embedded/embedded.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 30000, STEP_MS = 20, TEXT_BYTES = 4096 };

#define SYSTEM_PATH "/usr/local/bin:/usr/bin:/bin"

struct world {
    char *path; /* PATH before the test */
    char *bin;  /* a directory for programs of the test's own */
    struct buf why;
    struct embedded embedded;
};

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    const char *tmp = getenv("TMPDIR");
    struct buf bin = BUF_INIT;
    assert_non_null(w);
    buf_printf(&bin, "%s/embedded-XXXXXX", tmp != NULL ? tmp : "/tmp");
    w->bin = buf_detach(&bin);
    assert_non_null(mkdtemp(w->bin));
    w->path = strdup(getenv("PATH"));
    w->embedded = (struct embedded)EMBEDDED_INIT;
    setenv("BIN", w->bin, 1);
    *state = w;
    return 0;
}

static void path_in_bin(const struct world *w, const char *name, char out[TEXT_BYTES]) {
    snprintf(out, TEXT_BYTES, "%s/%s", w->bin, name);
}

static int tear_down(void **state) {
    struct world *w = *state;
    static const char *const names[] = {"redis-server", "sse-publish", "clock", "letters"};
    embedded_stop(&w->embedded);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[TEXT_BYTES];
        path_in_bin(w, names[i], path);
        unlink(path);
    }
    assert_int_equal(rmdir(w->bin), 0);
    setenv("PATH", w->path, 1);
    buf_fini(&w->why);
    free(w->path);
    free(w->bin);
    free(w);
    return 0;
}

/* Put a shell script into the test's own directory, which comes first in PATH from now on. */
static void install(struct world *w, const char *name, const char *script) {
    char path[TEXT_BYTES];
    path_in_bin(w, name, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s\n", script);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
    snprintf(path, sizeof(path), "%s:%s", w->bin, SYSTEM_PATH);
    setenv("PATH", path, 1);
}

static int start(struct world *w, const struct embedded_options *o) {
    buf_reset(&w->why);
    return embedded_start(&w->embedded, o, &w->why);
}

static void start_redis(struct world *w) {
    if (start(w, &(struct embedded_options){.redis = true}) != RELAY_OK)
        fail_msg("%s", w->why.data);
}

/* The answer of the Redis at @url to one inline command; "" where nobody answers. */
static const char *ask(const char *url, const char *command, char out[TEXT_BYTES]) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    out[0] = '\0';
    assert_memory_equal(url, "unix:", 5);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", url + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        dprintf(fd, "%s\r\n", command) > 0) {
        ssize_t n;
        do
            n = read(fd, out, TEXT_BYTES - 1);
        while (n < 0 && errno == EINTR);
        out[n > 0 ? n : 0] = '\0';
    }
    close(fd);
    return out;
}

static void assert_answers(const char *url, const char *command, const char *expected) {
    char answer[TEXT_BYTES];
    assert_non_null(strstr(ask(url, command, answer), expected));
}

static pid_t redis_pid(const char *url) {
    char answer[TEXT_BYTES];
    const char *field = strstr(ask(url, "INFO server", answer), "process_id:");
    assert_non_null(field);
    return (pid_t)atol(field + strlen("process_id:"));
}

static void assert_process_gone(pid_t pid) {
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

/* The directory of the socket in @url does not exist. */
static void assert_directory_gone(const char *url) {
    char directory[TEXT_BYTES];
    snprintf(directory, sizeof(directory), "%s", url + 5);
    *strrchr(directory, '/') = '\0';
    assert_int_equal(access(directory, F_OK), -1);
    assert_int_equal(errno, ENOENT);
}

static bool readable(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, PATIENCE_MS) > 0;
}

static void test_redis_serves_and_ends(void **state) {
    struct world *w = *state;
    start_redis(w);
    char *url = strdup(w->embedded.redis_url);
    assert_answers(url, "PING", "+PONG");
    assert_answers(url, "CONFIG GET port", "$4\r\nport\r\n$1\r\n0\r\n");
    assert_answers(url, "CONFIG GET save", "$4\r\nsave\r\n$0\r\n");
    assert_answers(url, "CONFIG GET appendonly", "$2\r\nno\r\n");
    assert_answers(url, "CONFIG GET maxmemory-policy", "noeviction");
    char directory[TEXT_BYTES];
    struct stat st;
    snprintf(directory, sizeof(directory), "%s", url + 5);
    *strrchr(directory, '/') = '\0';
    assert_int_equal(stat(directory, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);

    pid_t pid = redis_pid(url);
    embedded_stop(&w->embedded);
    assert_process_gone(pid);
    assert_directory_gone(url);
    assert_null(w->embedded.redis_url);
    embedded_stop(&w->embedded);
    free(url);
}

/* A process that stands for the relay: it starts a Redis, tells its address, and waits. */
struct stand_in {
    pid_t pid;
    int out_fd; /* ends when neither it nor a supervisor is left */
    char url[TEXT_BYTES];
    pid_t redis;
};

static void run_stand_in(int out_fd) {
    struct embedded e;
    struct buf why = BUF_INIT;
    setpgid(0, 0);
    signal(SIGINT, SIG_IGN); /* as a relay that drains */
    if (embedded_start(&e, &(struct embedded_options){.redis = true}, &why) != RELAY_OK)
        _exit(1);
    dprintf(out_fd, "%s", e.redis_url);
    for (;;)
        pause();
}

static void stand_in_start(struct stand_in *s) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0)
        run_stand_in(fds[1]);
    close(fds[1]);
    s->out_fd = fds[0];
    assert_true(readable(s->out_fd));
    ssize_t n = read(s->out_fd, s->url, sizeof(s->url) - 1);
    assert_true(n > 0);
    s->url[n] = '\0';
    s->redis = redis_pid(s->url);
}

/* Kill it, and see that everything goes with it. */
static void stand_in_kill(struct stand_in *s) {
    char byte;
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    assert_true(readable(s->out_fd));
    assert_int_equal(read(s->out_fd, &byte, 1), 0);
    close(s->out_fd);
    assert_process_gone(s->redis);
    assert_directory_gone(s->url);
}

static void test_redis_ends_with_a_relay_that_is_killed(void **state) {
    (void)state;
    struct stand_in s;
    stand_in_start(&s);
    stand_in_kill(&s);
}

static void test_ctrl_c_does_not_reach_redis(void **state) {
    (void)state;
    struct stand_in s;
    stand_in_start(&s);
    assert_int_not_equal(getsid(s.redis), getsid(s.pid));
    assert_int_equal(kill(-s.pid, SIGINT), 0);
    assert_answers(s.url, "PING", "+PONG");
    assert_int_equal(redis_pid(s.url), s.redis);
    stand_in_kill(&s);
}

static void test_missing_redis_server(void **state) {
    struct world *w = *state;
    setenv("PATH", w->bin, 1);
    assert_int_equal(start(w, &(struct embedded_options){.redis = true}), RELAY_ECONN);
    assert_string_equal(w->why.data,
                        "redis-server was not found; install it (Debian: apt-get install "
                        "redis-server) or point --redis at a running server");
    assert_int_equal(w->embedded.supervisor, -1);
}

static void test_missing_publisher(void **state) {
    struct world *w = *state;
    setenv("PATH", w->bin, 1);
    assert_int_equal(start(w, &(struct embedded_options){.demo = true, .redis_url = "redis://h"}),
                     RELAY_ECONN);
    assert_non_null(strstr(w->why.data, "sse-publish, which --demo runs, was found neither"));
}

static void test_redis_that_ends_at_its_start(void **state) {
    struct world *w = *state;
    install(w, "redis-server", "for i in 1 2 3; do echo line $i; done; echo broken >&2; exit 3");
    assert_int_equal(start(w, &(struct embedded_options){.redis = true}), RELAY_ECONN);
    assert_string_equal(w->why.data,
                        "redis-server ended with exit code 3 (line 2; line 3; broken)");
}

static void test_redis_that_cannot_be_run(void **state) {
    struct world *w = *state;
    install(w, "redis-server", "");
    char path[TEXT_BYTES];
    path_in_bin(w, "redis-server", path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("#!/nowhere/sh\n", file);
    fclose(file);
    assert_int_equal(start(w, &(struct embedded_options){.redis = true}), RELAY_ECONN);
    assert_non_null(strstr(w->why.data, "cannot be run: No such file or directory"));
}

static void test_redis_that_never_accepts(void **state) {
    struct world *w = *state;
    install(w, "redis-server", "echo thinking; exec sleep 1000");
    assert_int_equal(start(w, &(struct embedded_options){.redis = true}), RELAY_ETIMEOUT);
    assert_string_equal(w->why.data,
                        "redis-server did not accept connections within 5 s (thinking)");
}

static void test_no_directory(void **state) {
    struct world *w = *state;
    char *before = getenv("TMPDIR") != NULL ? strdup(getenv("TMPDIR")) : NULL;
    setenv("TMPDIR", "/nowhere", 1);
    assert_int_equal(start(w, &(struct embedded_options){.redis = true}), RELAY_EIO);
    assert_string_equal(w->why.data, "no private directory for Redis could be made in /nowhere: "
                                     "No such file or directory");
    unsetenv("TMPDIR");
    if (before != NULL)
        setenv("TMPDIR", before, 1);
    free(before);
}

static void test_redis_that_ends_later_is_reported(void **state) {
    struct world *w = *state;
    start_redis(w);
    char *url = strdup(w->embedded.redis_url);
    pid_t supervisor = w->embedded.supervisor;
    assert_int_equal(kill(redis_pid(url), SIGKILL), 0);
    assert_true(readable(w->embedded.report_fd));
    embedded_report(&w->embedded, &w->why);
    assert_non_null(strstr(w->why.data, "redis-server was ended by signal 9 ("));
    embedded_stop(&w->embedded);
    assert_process_gone(supervisor);
    assert_directory_gone(url);
    free(url);
}

/* Without its supervisor, redis-server ends as well (on Linux), and the relay is told. */
static void test_supervisor_that_is_killed(void **state) {
    struct world *w = *state;
    start_redis(w);
    assert_int_equal(kill(w->embedded.supervisor, SIGKILL), 0);
    assert_true(readable(w->embedded.report_fd));
    embedded_report(&w->embedded, &w->why);
    assert_string_equal(w->why.data, "the process that watches over redis-server ended");
    char *socket = strdup(w->embedded.redis_url + 5);
    embedded_stop(&w->embedded);
    unlink(socket); /* whom nobody was left to remove */
    *strrchr(socket, '/') = '\0';
    rmdir(socket);
    free(socket);
}

/* Wait until the publisher @name has written its file with @lines lines at least, and return the
 * last one without its first word, the process: *@pid. */
static void read_publisher(struct world *w, const char *name, int lines, pid_t *pid,
                           char out[TEXT_BYTES]) {
    char path[TEXT_BYTES];
    path_in_bin(w, name, path);
    for (int waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
        FILE *file = fopen(path, "r");
        int seen = 0;
        while (file != NULL && fgets(out, TEXT_BYTES, file) != NULL)
            seen += strchr(out, '\n') != NULL;
        if (file != NULL)
            fclose(file);
        if (seen >= lines) {
            char *rest = strchr(out, ' ');
            assert_non_null(rest);
            *pid = (pid_t)atol(out);
            memmove(out, rest + 1, strlen(rest));
            out[strcspn(out, "\n")] = '\0';
            return;
        }
        poll(NULL, 0, STEP_MS);
    }
    fail_msg("%s did not run in time", name);
}

static void test_demo_publishes_to_the_private_redis(void **state) {
    struct world *w = *state;
    char line[TEXT_BYTES], expected[TEXT_BYTES];
    pid_t clock, letters;
    install(w, "sse-publish", "echo $$ $REDIS_URL $* >> $BIN/$1; exec sleep 1000");
    assert_int_equal(start(w, &(struct embedded_options){.redis = true, .demo = true}), RELAY_OK);
    read_publisher(w, "clock", 1, &clock, line);
    snprintf(expected, sizeof(expected), "%s clock --every 1s time", w->embedded.redis_url);
    assert_string_equal(line, expected);
    read_publisher(w, "letters", 1, &letters, line);
    snprintf(expected, sizeof(expected), "%s letters --every 500ms letters", w->embedded.redis_url);
    assert_string_equal(line, expected);
    embedded_stop(&w->embedded);
    assert_process_gone(clock);
    assert_process_gone(letters);
}

static void test_demo_without_a_redis_of_its_own(void **state) {
    struct world *w = *state;
    char line[TEXT_BYTES];
    pid_t pid;
    install(w, "sse-publish", "echo $$ $REDIS_URL $* >> $BIN/$1; exec sleep 1000");
    assert_int_equal(
        start(w,
              &(struct embedded_options){.demo = true, .redis_url = "redis://h:1", .prefix = "p"}),
        RELAY_OK);
    assert_null(w->embedded.redis_url);
    read_publisher(w, "clock", 1, &pid, line);
    assert_string_equal(line, "redis://h:1 clock --every 1s time --prefix p");
    read_publisher(w, "letters", 1, &pid, line);
    embedded_stop(&w->embedded);
    assert_process_gone(pid);
}

static void test_publisher_that_ends_is_started_again(void **state) {
    struct world *w = *state;
    char line[TEXT_BYTES];
    pid_t first, second;
    install(w, "sse-publish", "echo $$ x >> $BIN/$1; exit 3");
    assert_int_equal(start(w, &(struct embedded_options){.demo = true, .redis_url = "redis://h"}),
                     RELAY_OK);
    read_publisher(w, "clock", 1, &first, line);
    read_publisher(w, "clock", 2, &second, line);
    assert_int_not_equal(first, second);
}

static void test_child_that_ignores_sigterm_is_killed(void **state) {
    struct world *w = *state;
    char line[TEXT_BYTES];
    pid_t pid;
    install(w, "sse-publish", "trap '' TERM; echo $$ x >> $BIN/$1; while :; do sleep 0.05; done");
    assert_int_equal(start(w, &(struct embedded_options){.demo = true, .redis_url = "redis://h"}),
                     RELAY_OK);
    read_publisher(w, "letters", 1, &pid, line);
    read_publisher(w, "clock", 1, &pid, line);
    embedded_stop(&w->embedded);
    assert_process_gone(pid);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_redis_serves_and_ends),
        TEST(test_redis_ends_with_a_relay_that_is_killed),
        TEST(test_ctrl_c_does_not_reach_redis),
        TEST(test_missing_redis_server),
        TEST(test_missing_publisher),
        TEST(test_redis_that_ends_at_its_start),
        TEST(test_redis_that_cannot_be_run),
        TEST(test_redis_that_never_accepts),
        TEST(test_no_directory),
        TEST(test_redis_that_ends_later_is_reported),
        TEST(test_supervisor_that_is_killed),
        TEST(test_demo_publishes_to_the_private_redis),
        TEST(test_demo_without_a_redis_of_its_own),
        TEST(test_publisher_that_ends_is_started_again),
        TEST(test_child_that_ignores_sigterm_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
