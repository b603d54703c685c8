/* One connection to Redis under test: its loop, the server it talks to, and what it told. */
#ifndef TESTS_LOOP_REDIS_WORLD_H
#define TESTS_LOOP_REDIS_WORLD_H

#include <stdbool.h>
#include <uv.h>

#include "relay/redis/connection.h"
#include "tests/loop/redis/redis_peer.h"

enum { PATIENCE_MS = 60000 }; /* a test that waits longer fails */

/* One connection and what it told, a line for each callback. */
struct redis_world {
    uv_loop_t loop;
    uv_timer_t patience;
    struct peer peer;
    bool has_peer;
    struct redis_url url;
    struct redis_conn_options options;
    struct redis_conn *conn; /* NULL once it is closed */
    struct buf told;
    int asked;    /* commands whose answer must come */
    int answered; /* commands that were answered */
    int closed;
    void (*on_ready)(struct redis_world *w); /* what the test does then */
    void (*on_push)(struct redis_world *w);
};

/* For cmocka: the tear-down also checks that every command was answered, that the connection closed
 * once, and that nothing is left in the loop. */
int redis_world_set_up(void **state);
int redis_world_tear_down(void **state);

#define WITH_WORLD(test)                                                                           \
    cmocka_unit_test_setup_teardown(test, redis_world_set_up, redis_world_tear_down)

/* Connect to @url; or to a peer that plays @script, with @userinfo and @db in the URL. */
void redis_world_start(struct redis_world *w, const char *url);
void redis_world_start_with(struct redis_world *w, const struct peer_step *script,
                            const char *userinfo, const char *db);

/* Run the loop until nothing is left to do; redis_world_play() starts with @script before. */
void redis_world_run(struct redis_world *w);
void redis_world_play(struct redis_world *w, const struct peer_step *script);

/* Fail unless all that was told is @wanted. */
void redis_world_told(const struct redis_world *w, const char *wanted);

/* Answers to these are told; on_answer_close() then closes the connection. */
void redis_world_on_answer(void *arg, int status, const struct redisReply *reply);
void redis_world_on_answer_close(void *arg, int status, const struct redisReply *reply);

/* Send a command of words with one space between. */
void redis_world_ask(struct redis_world *w, const char *command, redis_reply_cb cb);
void redis_world_subscribe(struct redis_world *w, const char *command, const char *a,
                           const char *b);

#endif
