/* CPU clocks and smaps_rollup; see usage.h. */
#include "tests/bench/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct usage_group *group_named(struct usage_groups *all, const char *name, size_t length) {
    for (unsigned i = 0; i < all->count; i++) {
        struct usage_group *g = &all->groups[i];
        if (strncmp(g->name, name, length) == 0 && g->name[length] == '\0')
            return g;
    }
    if (all->count == USAGE_GROUPS)
        return NULL;
    struct usage_group *g = &all->groups[all->count++];
    memcpy(g->name, name, length);
    return g;
}

bool usage_add(struct usage_groups *all, const char *text) {
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof(all->groups[0].name))
        return false;
    clockid_t clock;
    pid_t pid = (pid_t)strtol(colon + 1, NULL, 10);
    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0)
        return false;
    struct usage_group *g = group_named(all, text, (size_t)(colon - text));
    if (g == NULL || g->count == USAGE_PIDS)
        return false;
    g->pids[g->count++] = pid;
    return true;
}

uint64_t usage_cpu_ns(const struct usage_group *g) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < g->count; i++) {
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid(g->pids[i], &clock) == 0 && clock_gettime(clock, &t) == 0)
            sum += (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
    return sum;
}

static uint64_t process_memory(pid_t pid) {
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", (long)pid);
    FILE *f = fopen(path, "r");
    uint64_t kib = 0;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "Pss_Anon:", 9) == 0 || strncmp(line, "Pss_Shmem:", 10) == 0)
            kib += strtoull(strchr(line, ':') + 1, NULL, 10);
    }
    if (f != NULL)
        fclose(f);
    return kib * 1024;
}

uint64_t usage_memory(const struct usage_group *g) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < g->count; i++)
        sum += process_memory(g->pids[i]);
    return sum;
}
