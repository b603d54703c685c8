/* Fields of INFO. Pure; any thread. */
#ifndef RELAY_REDIS_INFO_H
#define RELAY_REDIS_INFO_H

enum { REDIS_INFO_VALUE_MAX = 64 };

/* The value of `name:` at the beginning of a line of @info, cut to fit; "" where it is missing. */
void redis_info_value(const char *info, const char *name, char value[REDIS_INFO_VALUE_MAX]);

#endif
