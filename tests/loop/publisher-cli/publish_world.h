/* sse-publish as a whole, short of its main(), on the loop of a test: what it reads, what it says,
 * and a server that plays a script.
 *
 * set_up/tear_down as cmocka wants them, with the world as the state; tear_down fails the test when
 * the run left anything in the loop. */
#ifndef TESTS_LOOP_PUBLISH_WORLD_H
#define TESTS_LOOP_PUBLISH_WORLD_H

#include <stdbool.h>
#include <stdio.h>
#include <uv.h>

#include "publisher-cli/publish/publish.h"
#include "tests/loop/redis/redis_peer.h"

struct publish_world {
    uv_loop_t loop;
    uv_timer_t patience;
    uv_timer_t look; /* runs while the test waits for something to be said */
    struct peer peer;
    bool has_peer;
    int in_fd;
    FILE *out, *err;
    char *said, *complained; /* what came there */
    size_t said_len, complained_len;
    int wanted_lines; /* on out, before a signal is raised */
    int signum;
};

int publish_world_set_up(void **state);
int publish_world_tear_down(void **state);

/* The server's scripts, for its first and its second connection. */
void publish_world_serve(struct publish_world *w, const struct peer_step *first,
                         const struct peer_step *second);

/* Run sse-publish with these arguments, NULL behind the last; returns its exit code. */
int publish_world_run(struct publish_world *w, const char *url, const char *const *arguments);

/* The same at the server of this world. */
#define RUN_DURABLE(w, ...)                                                                        \
    publish_world_run(w, (w)->peer.url, (const char *const[]){__VA_ARGS__, NULL})
#define RUN_LIVE(w, ...) RUN_DURABLE(w, "--live", __VA_ARGS__)

/* Standard input is a file with these bytes. */
void publish_world_give_file(struct publish_world *w, const char *bytes, size_t len);

/* Standard input is a pipe with this text; returns the end to write to, or -1 when @is_over. */
int publish_world_give_pipe(struct publish_world *w, const char *text, bool is_over);

/* Raise @signum once @lines lines were said. */
void publish_world_signal_after(struct publish_world *w, int lines, int signum);

/* Whether the server was told this. */
bool publish_world_received(const struct publish_world *w, const char *text);

/* Whether @text holds what the extended regular expression @pattern describes. */
bool text_matches(const char *text, const char *pattern);

/* An id that the script gave out in a first epoch. */
#define ID_PATTERN "[0-9a-f]{12}\\.1\\.[0-9a-z]{8}-[0-9a-z]+"

#define WITH_PUBLISH_WORLD(test)                                                                   \
    cmocka_unit_test_setup_teardown(test, publish_world_set_up, publish_world_tear_down)

#endif
