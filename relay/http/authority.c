/* "host:port"; see authority.h. */
#include "relay/http/authority.h"

#include <string.h>
#include <strings.h>

enum { PORT_MAX_DIGITS = 5 };

static const char host_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%";
static const char address_bytes[] = "abcdefABCDEF0123456789:.";
static const char digits[] = "0123456789";

/* How many bytes from @at on are of @set. */
static size_t run_of(struct span s, size_t at, const char *set) {
    size_t end = at;
    while (end < s.len && s.data[end] != '\0' && strchr(set, s.data[end]) != NULL)
        end++;
    return end - at;
}

bool authority_split(struct span authority, struct span *host, struct span *port) {
    size_t len;
    if (authority.len == 0) { /* data may be NULL */
        *host = *port = authority;
        return true;
    }
    if (authority.data[0] == '[') {
        len = 1 + run_of(authority, 1, address_bytes) + 1;
        if (len < 4 || len > authority.len || authority.data[len - 1] != ']')
            return false;
    } else {
        len = run_of(authority, 0, host_bytes);
    }
    size_t port_at = len < authority.len ? len + 1 : len;
    size_t port_len = run_of(authority, port_at, digits);
    bool has_colon = port_at > len;
    if (port_at + port_len != authority.len || port_len > PORT_MAX_DIGITS ||
        (has_colon && (len == 0 || authority.data[len] != ':')))
        return false;
    *host = (struct span){authority.data, len};
    *port = (struct span){authority.data + port_at, port_len};
    return true;
}

bool span_equals_nocase(struct span a, struct span b) {
    return a.len == b.len && (a.len == 0 || strncasecmp(a.data, b.data, a.len) == 0);
}

struct span span_of(const char *s) {
    return (struct span){s, strlen(s)};
}
