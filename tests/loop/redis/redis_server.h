/* A real redis-server as a child: a socket in a directory of its own, no port, nothing on disk.
 *
 * start/stop: synchronous. It dies with the test. */
#ifndef TESTS_LOOP_REDIS_SERVER_H
#define TESTS_LOOP_REDIS_SERVER_H

#include <sys/types.h>

struct redis_server {
    pid_t pid;
    char directory[64];
    char socket[96];
    char url[112]; /* unix:… */
};

/* Start it and wait until it accepts; aborts where it does not. */
void redis_server_start(struct redis_server *server);
void redis_server_stop(struct redis_server *server);

/* Kill it, and start one at the same address: empty, or with what the command SAVE saved. */
void redis_server_kill(struct redis_server *server);
void redis_server_restart(struct redis_server *server);

#endif
