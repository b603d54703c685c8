/* sse-publish on the loop of a test; see publish_world.h. */
#include "tests/loop/publisher-cli/publish_world.h"

#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "publisher-cli/options/options.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 60000, LOOK_MS = 5, ARGUMENTS_MAX = 10 };

static void on_patience(uv_timer_t *timer) {
    (void)timer;
    fail_msg("it does not end");
}

int publish_world_set_up(void **state) {
    struct publish_world *w = mem_zalloc(sizeof(*w));
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->patience);
    uv_timer_init(&w->loop, &w->look);
    uv_timer_start(&w->patience, on_patience, PATIENCE_MS, 0);
    uv_unref((uv_handle_t *)&w->patience);
    w->look.data = w;
    w->in_fd = open("/dev/null", O_RDONLY);
    w->out = open_memstream(&w->said, &w->said_len);
    w->err = open_memstream(&w->complained, &w->complained_len);
    *state = w;
    return 0;
}

int publish_world_tear_down(void **state) {
    struct publish_world *w = *state;
    if (w->has_peer)
        peer_close(&w->peer);
    uv_close((uv_handle_t *)&w->patience, NULL);
    uv_close((uv_handle_t *)&w->look, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0); /* nothing of the run was left */
    close(w->in_fd);
    fclose(w->out);
    fclose(w->err);
    free(w->said);
    free(w->complained);
    free(w);
    return 0;
}

void publish_world_serve(struct publish_world *w, const struct peer_step *first,
                         const struct peer_step *second) {
    peer_start(&w->peer, &w->loop, NULL);
    peer_add_script(&w->peer, first);
    if (second != NULL)
        peer_add_script(&w->peer, second);
    w->has_peer = true;
}

static const char *no_environment(const char *name) {
    (void)name;
    return NULL;
}

int publish_world_run(struct publish_world *w, const char *url, const char *const *arguments) {
    char *argv[ARGUMENTS_MAX + 4] = {(char *)"sse-publish"};
    int argc = 1;
    struct options o;
    struct buf why = BUF_INIT;
    for (; arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    argv[argc++] = (char *)"--redis";
    argv[argc++] = (char *)url;
    if (options_read(&o, argc, argv, no_environment, &why) != RELAY_OK)
        fail_msg("%s", why.data);
    int code = publish_run(&o, &w->loop, w->in_fd, w->out, w->err);
    fflush(w->out);
    fflush(w->err);
    options_fini(&o);
    return code;
}

void publish_world_give_file(struct publish_world *w, const char *bytes, size_t len) {
    char path[] = "/tmp/publish-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, bytes, len), len);
    lseek(fd, 0, SEEK_SET);
    close(w->in_fd);
    w->in_fd = fd;
}

int publish_world_give_pipe(struct publish_world *w, const char *text, bool is_over) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
    close(w->in_fd);
    w->in_fd = fds[0];
    if (!is_over)
        return fds[1];
    close(fds[1]);
    return -1;
}

static void on_look(uv_timer_t *timer) {
    struct publish_world *w = timer->data;
    int lines = 0;
    fflush(w->out);
    for (const char *at = w->said; at != NULL && (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    if (lines < w->wanted_lines)
        return;
    uv_timer_stop(timer);
    raise(w->signum);
}

void publish_world_signal_after(struct publish_world *w, int lines, int signum) {
    w->wanted_lines = lines;
    w->signum = signum;
    uv_timer_start(&w->look, on_look, LOOK_MS, LOOK_MS);
    uv_unref((uv_handle_t *)&w->look);
}

bool publish_world_received(const struct publish_world *w, const char *text) {
    return memmem(w->peer.received.data, w->peer.received.len, text, strlen(text)) != NULL;
}

bool text_matches(const char *text, const char *pattern) {
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}
