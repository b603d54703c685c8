/* A server that plays a script, on the loop of the test: what Redis would say, and what it never
 * would.
 *
 * Each connection plays the next of the given scripts, the last one again and again. start/close;
 * the listener is unreferenced, so a loop ends when only it is left. */
#ifndef TESTS_LOOP_REDIS_PEER_H
#define TESTS_LOOP_REDIS_PEER_H

#include <uv.h>

#include "relay/base/buf.h"

enum peer_action {
    PEER_END = 0, /* keep the connection open and say no more */
    PEER_EXPECT,  /* wait until text was received (behind what was expected before) */
    PEER_SEND,
    PEER_SEND_MANY, /* text @count times */
    PEER_REPEAT,    /* go back @count steps, for ever */
    PEER_CLOSE
};

struct peer_step {
    enum peer_action action;
    const char *text;
    int count;
};

enum { PEER_SCRIPTS_MAX = 8 };

struct peer {
    uv_loop_t *loop;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } listener;
    const struct peer_step *scripts[PEER_SCRIPTS_MAX];
    int script_count;
    int accepted; /* connections so far */
    int open;     /* connections now */
    struct peer_connection *connections;
    struct buf received; /* all bytes of all connections */
    char url[256];
};

/* What a Redis without a password says to CLIENT SETNAME and PING. */
#define PEER_GREETING                                                                              \
    {PEER_EXPECT, "SETNAME", 0}, {PEER_EXPECT, "PING\r\n", 0}, {                                   \
        PEER_SEND, "+OK\r\n+PONG\r\n", 0                                                           \
    }

/* Listen on a loopback port, or at @path when it is not NULL; ->url leads there. */
void peer_start(struct peer *p, uv_loop_t *loop, const char *path);
void peer_add_script(struct peer *p, const struct peer_step *script);

/* Close the listener and all connections; run the loop before the memory goes. */
void peer_close(struct peer *p);

#endif
