/* Allocation of sizes that we choose: these abort when memory runs out.
 *
 * Sizes that the network chooses are capped first and allocated with malloc, whose failure ends
 * that one client or message. Any thread. The memory is freed with free(). */
#ifndef RELAY_BASE_MEM_H
#define RELAY_BASE_MEM_H

#include <stddef.h>

/* @size zeroed bytes; never NULL. */
void *mem_zalloc(size_t size);

/* As realloc; never NULL. */
void *mem_realloc(void *p, size_t size);

/* A copy of @len bytes of @s with a NUL behind; never NULL. */
char *mem_strndup(const char *s, size_t len);

/* The object whose field @member @ptr points at. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
