/* Fields of INFO; see info.h. */
#include "relay/redis/info.h"

#include <string.h>

const char *redis_info_find(const char *info, const char *name, size_t *len) {
    size_t name_len = strlen(name);
    for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, name_len) != 0 || line[name_len] != ':')
            continue;
        *len = strcspn(line + name_len + 1, "\r\n");
        return line + name_len + 1;
    }
    return NULL;
}

void redis_info_value(const char *info, const char *name, char value[REDIS_INFO_VALUE_MAX]) {
    size_t len = 0;
    const char *found = redis_info_find(info, name, &len);
    len = len < REDIS_INFO_VALUE_MAX ? len : REDIS_INFO_VALUE_MAX - 1;
    if (found != NULL)
        memcpy(value, found, len);
    value[len] = '\0';
}
