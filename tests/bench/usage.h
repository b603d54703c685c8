/* What processes use, asked from the operating system: CPU time and memory of their own. */
#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { USAGE_GROUPS = 4, USAGE_PIDS = 16 };

/* Processes that are summed up under one name, such as a server's master and workers. */
struct usage_group {
    char name[16];
    pid_t pids[USAGE_PIDS];
    unsigned count;
};

struct usage_groups {
    struct usage_group groups[USAGE_GROUPS];
    unsigned count;
};

/* Add `NAME:PID`. False: malformed, too many, or no such process. */
bool usage_add(struct usage_groups *all, const char *text);

/* CPU time in ns of all threads so far, user and system, at the scheduler's own precision (what
 * /proc/PID/stat shows in ticks). 0 for a process that is gone. */
uint64_t usage_cpu_ns(const struct usage_group *g);

/* Bytes of user-space memory: the proportional share of anonymous and shared memory, so that pages
 * shared between a master and its workers count once, and program text not at all. */
uint64_t usage_memory(const struct usage_group *g);

#endif
