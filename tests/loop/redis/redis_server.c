/* A real redis-server as a child; see redis_server.h. */
#include "tests/loop/redis/redis_server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
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

enum { PATIENCE_MS = 30000, STEP_MS = 20 };

static void run(const struct redis_server *server) {
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 1);
    dup2(nothing, 2);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->socket, "--save",
           "", "--appendonly", "no", "--dir", server->directory, (char *)NULL);
    _exit(127);
}

static bool accepts(const struct redis_server *server) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool ok = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return ok;
}

void redis_server_restart(struct redis_server *server) {
    server->pid = fork();
    if (server->pid == 0)
        run(server);
    for (int waited = 0; !accepts(server); waited += STEP_MS) {
        if (waited > PATIENCE_MS || waitpid(server->pid, NULL, WNOHANG) != 0) {
            fputs("redis-server does not start: is it installed?\n", stderr);
            abort();
        }
        usleep(STEP_MS * 1000);
    }
}

void redis_server_start(struct redis_server *server) {
    snprintf(server->directory, sizeof(server->directory), "/tmp/redis-test-XXXXXX");
    if (mkdtemp(server->directory) == NULL)
        abort();
    snprintf(server->socket, sizeof(server->socket), "%s/redis.sock", server->directory);
    snprintf(server->url, sizeof(server->url), "unix:%s", server->socket);
    redis_server_restart(server);
}

void redis_server_kill(struct redis_server *server) {
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
}

void redis_server_stop(struct redis_server *server) {
    char saved[128];
    redis_server_kill(server);
    unlink(server->socket);
    snprintf(saved, sizeof(saved), "%s/dump.rdb", server->directory);
    unlink(saved); /* there where a test saved it */
    rmdir(server->directory);
}
