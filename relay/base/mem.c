/* Allocation that does not fail; see mem.h. */
#include "relay/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static void out_of_memory(size_t size) {
    fprintf(stderr, "out of memory: %zu bytes\n", size);
    abort();
}

void *mem_zalloc(size_t size) {
    void *p = calloc(1, size);
    if (p == NULL)
        out_of_memory(size);
    return p;
}

void *mem_realloc(void *old, size_t size) {
    void *p = realloc(old, size);
    if (p == NULL)
        out_of_memory(size);
    return p;
}

char *mem_strndup(const char *s, size_t len) {
    char *p = mem_zalloc(len + 1);
    if (len > 0) /* @s may be NULL where @len is 0 */
        memcpy(p, s, len);
    return p;
}

void mem_trim(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
