/* Lists of addresses in header fields, read from their end; see forwarded.h.
 *
 * From the end, since the end is what our own proxy wrote. Who reads from the beginning can be led
 * astray by what a client put there: a quote that is not closed would swallow all that follows. */
#include "relay/http/forwarded.h"

#include <string.h>
#include <strings.h>

#include "relay/http/authority.h"

enum { PORT_MAX_DIGITS = 5 };

static const char *const names[] = {
    [FORWARDED_X_FORWARDED_FOR] = "X-Forwarded-For", [FORWARDED_FORWARDED] = "Forwarded"};

/* ---- bytes ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static struct span trimmed(struct span s) {
    while (s.len > 0 && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

/* Whether the quote at @at has a backslash before it that is none's other half. */
static bool is_escaped(struct span s, size_t at) {
    size_t slashes = 0;
    while (slashes < at && s.data[at - 1 - slashes] == '\\')
        slashes++;
    return slashes % 2 == 1;
}

/* Cut the last piece behind a @separator off *@s, which keeps what stands before it. With @quotes,
 * a separator between quotes is none. Returns false where nothing is left to cut. */
static bool cut_last(struct span *s, char separator, bool quotes, struct span *piece) {
    bool quoted = false;
    size_t at = s->len;
    if (s->data == NULL)
        return false;
    while (at > 0) {
        char c = s->data[at - 1];
        if (c == separator && !quoted)
            break;
        if (quotes && c == '"' && !(quoted && is_escaped(*s, at - 1)))
            quoted = !quoted;
        at--;
    }
    *piece = trimmed((struct span){s->data + at, s->len - at});
    *s = at > 0 ? (struct span){s->data, at - 1} : (struct span){NULL, 0};
    return true;
}

/* ---- nodes ---- */

/* A number, or an obfuscated one such as _p. It is not looked at further. */
static bool is_port(struct span s) {
    static const char obfuscated[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789._-";
    static const char digits[] = "0123456789";
    bool hidden = s.len > 0 && s.data[0] == '_';
    if (s.len < (hidden ? 2 : 1) || (!hidden && s.len > PORT_MAX_DIGITS))
        return false;
    for (size_t i = hidden; i < s.len; i++)
        if (s.data[i] == '\0' || strchr(hidden ? obfuscated : digits, s.data[i]) == NULL)
            return false;
    return true;
}

/* An address with a port or without: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1],
 * [2001:db8::1]:80. */
static bool read_node(struct span s, struct ip_address *out) {
    struct span host = s, port = {NULL, 0};
    const char *colon = s.len > 0 ? memchr(s.data, ':', s.len) : NULL;
    if (s.len > 0 && s.data[0] == '[') {
        const char *end = memchr(s.data, ']', s.len);
        if (end == NULL)
            return false;
        host = (struct span){s.data + 1, (size_t)(end - s.data) - 1};
        size_t rest = s.len - host.len - 2;
        if (memchr(host.data, ':', host.len) == NULL || (rest > 0 && end[1] != ':'))
            return false;
        if (rest > 0)
            port = (struct span){end + 2, rest - 1};
    } else if (colon != NULL && memchr(s.data, '.', (size_t)(colon - s.data)) != NULL) {
        host.len = (size_t)(colon - s.data);
        port = (struct span){colon + 1, s.len - host.len - 1};
    }
    return (port.data == NULL || is_port(port)) && ip_address_parse(host.data, host.len, out);
}

/* ---- elements of Forwarded ---- */

enum { NODE_MAX = 64 }; /* "[" address "]:" port is shorter */

/* Take the quotes and backslashes off @value, into @bytes. Returns false where they do not match,
 * or more is in them than an address with its port. */
static bool unquote(struct span value, char bytes[NODE_MAX], struct span *out) {
    *out = (struct span){bytes, 0};
    if (value.len < 2 || value.data[value.len - 1] != '"')
        return false;
    for (size_t i = 1; i < value.len - 1; i++) {
        if (value.data[i] == '\\')
            i++;
        else if (value.data[i] == '"')
            return false;
        if (i == value.len - 1 || out->len == NODE_MAX)
            return false;
        bytes[out->len++] = value.data[i];
    }
    return true;
}

/* "for=192.0.2.1;proto=https": what stands in `for`, of which there has to be one. */
static bool read_element(struct span element, struct ip_address *out) {
    static const char name[] = "for";
    struct span pair, node, value = {NULL, 0};
    char bytes[NODE_MAX];
    while (cut_last(&element, ';', true, &pair)) {
        const char *is = pair.len > 0 ? memchr(pair.data, '=', pair.len) : NULL;
        if (is == NULL && pair.len > 0)
            return false;
        if (is == NULL ||
            !span_equals_nocase((struct span){pair.data, (size_t)(is - pair.data)}, span_of(name)))
            continue;
        if (value.data != NULL)
            return false;
        value = (struct span){is + 1, pair.len - (size_t)(is - pair.data) - 1};
    }
    if (value.len > 0 && value.data[0] == '"')
        return unquote(value, bytes, &node) && read_node(node, out);
    return value.len > 0 && read_node(value, out);
}

/* ---- the walk ---- */

/* One step to the left, to the element before. Returns false where the walk ends. */
static bool step(enum forwarded_header header, struct span element, struct ip_address *at) {
    return header == FORWARDED_FORWARDED ? read_element(element, at) : read_node(element, at);
}

/* Through one field, from its end. Returns false where the walk ended in it. */
static bool walk(enum forwarded_header header, const struct ip_networks *trusted, struct span list,
                 struct ip_address *at) {
    struct span element;
    while (ip_networks_contain(trusted, at) &&
           cut_last(&list, ',', header == FORWARDED_FORWARDED, &element))
        if (element.len > 0 && !step(header, element, at))
            return false;
    return list.data == NULL;
}

struct ip_address forwarded_client(enum forwarded_header header, const struct ip_networks *trusted,
                                   const struct request *r, struct ip_address peer) {
    struct ip_address at = peer;
    if (header == FORWARDED_NONE || trusted == NULL)
        return peer;
    for (size_t i = r->fields_len; i-- > 0;) {
        struct span name = request_span(r, r->fields[i].name);
        if (span_equals_nocase(name, span_of(names[header])) &&
            !walk(header, trusted, request_span(r, r->fields[i].value), &at))
            break;
    }
    return at;
}
