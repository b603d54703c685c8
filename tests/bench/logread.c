/* Reads a topic's whole log from Redis in pages and throws it away: what a replay costs at the
 * least.
 *
 * logread HOST PORT KEY PAGE: prints how many entries, and the seconds it took. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "relay/redis/reply.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: logread HOST PORT KEY PAGE\n");
        return 2;
    }
    redisContext *c = redisConnect(argv[1], atoi(argv[2]));
    if (c == NULL || c->err != 0) {
        fprintf(stderr, "logread: cannot connect\n");
        return 1;
    }
    char from[64] = "-";
    size_t entries = 0, page = 1;
    double start = now();
    while (page > 0) {
        redisReply *r = redisCommand(c, "XRANGE %s %s + COUNT %s", argv[3], from, argv[4]);
        if (r == NULL || r->type != REDIS_REPLY_ARRAY)
            return 1;
        page = r->elements;
        entries += page;
        if (page > 0)
            snprintf(from, sizeof(from), "(%s", r->element[page - 1]->element[0]->str);
        freeReplyObject(r);
    }
    printf("%zu %.6f\n", entries, now() - start);
    redisFree(c);
    return 0;
}
