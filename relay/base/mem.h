/* Allocation of sizes that we choose: these abort when memory runs out.
 *
 * Sizes that the network chooses are capped first and allocated with mem_try(), whose failure ends
 * that one client or message. Any thread. The memory is freed with free(). */
#ifndef RELAY_BASE_MEM_H
#define RELAY_BASE_MEM_H

#include <stddef.h>

/* @size zeroed bytes; never NULL. */
void *mem_zalloc(size_t size);

/* As realloc; never NULL. */
void *mem_realloc(void *p, size_t size);

/* @size bytes, or NULL where memory is short. In a file of its own, so that a simulation can let it
 * fail. */
void *mem_try(size_t size);

/* A copy of @len bytes of @s with a NUL behind; never NULL. */
char *mem_strndup(const char *s, size_t len);

/* Give what is free back to the system. glibc keeps it between blocks that live on, in each
 * thread's arena; other C libraries give it back by themselves, and nothing is done. */
void mem_trim(void);

/* The object whose field @member @ptr points at. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
