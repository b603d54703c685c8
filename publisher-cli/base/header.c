/* Headers as curl takes them; see header.h. */
#include "publisher-cli/base/header.h"

#include <string.h>
#include <strings.h>

/* RFC 9110: what a name may hold. */
static bool is_token(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t name_len(const char *text, size_t len) {
    size_t i = 0;
    while (i < len && is_token(text[i]))
        i++;
    return i;
}

const char *header_value_check(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return "holds a control character";
    return NULL;
}

const char *header_check(const char *text, size_t len) {
    size_t name = name_len(text, len);
    bool has_value = name > 0 && name < len && text[name] == ':';
    bool is_empty = name > 0 && name + 1 == len && text[name] == ';';
    if (!has_value && !is_empty)
        return "is no header";
    return header_value_check(text + name, len - name);
}

bool header_is_named(const char *text, const char *name) {
    size_t len = strlen(name);
    return strncasecmp(text, name, len) == 0 && (text[len] == ':' || text[len] == ';');
}
