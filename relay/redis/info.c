/* Fields of INFO; see info.h. */
#include "relay/redis/info.h"

#include <stddef.h>
#include <string.h>

void redis_info_value(const char *info, const char *name, char value[REDIS_INFO_VALUE_MAX]) {
    size_t name_len = strlen(name), len = 0;
    for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, name_len) != 0 || line[name_len] != ':')
            continue;
        len = strcspn(line + name_len + 1, "\r\n");
        len = len < REDIS_INFO_VALUE_MAX ? len : REDIS_INFO_VALUE_MAX - 1;
        memcpy(value, line + name_len + 1, len);
        break;
    }
    value[len] = '\0';
}
