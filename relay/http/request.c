/* What a request asks for; see request.h. */
#include "relay/http/request.h"

#include <stdbool.h>
#include <string.h>

#include "relay/http/authority.h"

enum http_method request_method(struct span name) {
    static const char *const names[] = {"GET", "HEAD", "POST", "OPTIONS"};
    static const enum http_method methods[] = {HTTP_METHOD_GET, HTTP_METHOD_HEAD, HTTP_METHOD_POST,
                                               HTTP_METHOD_OPTIONS};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (name.len == strlen(names[i]) && memcmp(name.data, names[i], name.len) == 0)
            return methods[i];
    }
    return HTTP_METHOD_OTHER;
}

void request_set_target(struct request *r, struct span target) {
    const char *mark = target.len > 0 ? memchr(target.data, '?', target.len) : NULL;
    r->path = target;
    if (mark != NULL) {
        r->path.len = (size_t)(mark - target.data);
        r->query = (struct span){mark + 1, target.len - r->path.len - 1};
    }
    if (r->path.len == 0)
        r->path = span_of("/");
}

bool request_length(struct span digits, uint64_t *length) {
    uint64_t n = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(digits.data[i] - '0');
        n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
    }
    *length = n;
    return digits.len > 0;
}

struct span request_span(const struct request *r, struct place p) {
    return (struct span){r->bytes + p.at, p.len};
}

size_t request_fields(const struct request *r, const char *name, struct span *value) {
    struct span wanted = span_of(name);
    size_t found = 0;
    *value = (struct span){NULL, 0};
    for (size_t i = 0; i < r->fields_len; i++) {
        const struct request_field *f = &r->fields[i];
        if (span_equals_nocase(request_span(r, f->name), wanted) && found++ == 0)
            *value = request_span(r, f->value);
    }
    return found;
}

struct span request_header(const struct request *r, const char *name) {
    struct span value;
    request_fields(r, name, &value);
    return value;
}
