/* Fields of INFO. Pure; any thread. */
#ifndef RELAY_REDIS_INFO_H
#define RELAY_REDIS_INFO_H

#include <stddef.h>

enum { REDIS_INFO_VALUE_MAX = 64 };

/* The value of `name:` at the beginning of a line of @info, *@len bytes without the line end; NULL
 * where it is missing. */
const char *redis_info_find(const char *info, const char *name, size_t *len);

/* The same, cut to fit; "" where it is missing. */
void redis_info_value(const char *info, const char *name, char value[REDIS_INFO_VALUE_MAX]);

#endif
