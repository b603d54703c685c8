/* Where Redis is, from a URL; see url.h. */
#include "relay/redis/url.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"

enum { DEFAULT_PORT = 6379, PORT_MAX = 65535, DB_MAX = 1000000 };

/* A stretch of the text being read. */
struct span {
    const char *at;
    size_t len;
};

static struct span span_of(const char *from, const char *to) {
    return (struct span){from, (size_t)(to - from)};
}

/* Cut @s at the first @c: what is behind goes to @rest. False, and nothing changes, without one. */
static bool cut(struct span *s, char c, struct span *rest) {
    const char *found = s->len == 0 ? NULL : memchr(s->at, c, s->len);
    if (found == NULL)
        return false;
    *rest = span_of(found + 1, s->at + s->len);
    s->len = (size_t)(found - s->at);
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Percent-decode @s into a string of its own, in place of *@out. */
static const char *decode(struct span s, char **out) {
    char *text = mem_zalloc(s.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex_digit(s.at[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(s.at[i + 2]);
            if (low < 0 || (high == 0 && low == 0)) {
                free(text);
                return "has a % that two hexadecimal digits (other than 00) do not follow: a % "
                       "itself is "
                       "written %25";
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        text[len++] = c;
    }
    free(*out);
    *out = text;
    return NULL;
}

/* Read a whole decimal number of at most @max. */
static bool number(struct span s, unsigned max, unsigned *out) {
    unsigned value = 0;
    if (s.len == 0 || s.len > 7)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(s.at[i] - '0');
    }
    *out = value;
    return value <= max;
}

static bool span_is(struct span s, const char *text) {
    return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static const char *read_db(struct span s, struct redis_url *out) {
    return number(s, DB_MAX, &out->db) ? NULL : "has a database that is not a number";
}

/* name=value pairs: db, user and password. */
static const char *read_query(struct span query, struct redis_url *out) {
    const char *why = NULL;
    while (why == NULL && query.len > 0) {
        struct span rest = {NULL, 0}, value = {NULL, 0};
        cut(&query, '&', &rest);
        cut(&query, '=', &value);
        if (span_is(query, "db"))
            why = read_db(value, out);
        else if (span_is(query, "user"))
            why = decode(value, &out->user);
        else if (span_is(query, "password"))
            why = decode(value, &out->password);
        else
            why = "has a parameter behind ? that is not db, user or password";
        query = rest;
    }
    return why;
}

static const char *read_path(struct span path, struct redis_url *out) {
    if (path.len == 0 || path.at[0] != '/')
        return "has no absolute path of a socket behind unix:";
    const char *why = decode(path, &out->path);
    if (why == NULL && strlen(out->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        why = "has a path that is too long for a socket";
    return why;
}

/* user:password, :password */
static const char *read_userinfo(struct span info, struct redis_url *out) {
    struct span password;
    if (!cut(&info, ':', &password))
        return "has a user without a password: write user:password@ or :password@";
    const char *why = info.len > 0 ? decode(info, &out->user) : NULL;
    return why == NULL ? decode(password, &out->password) : why;
}

/* host, host:port, [IPv6], [IPv6]:port */
static const char *read_host(struct span host, struct redis_url *out) {
    struct span port = {NULL, 0};
    bool has_port;
    if (host.len > 0 && host.at[0] == '[') {
        struct span behind;
        host = span_of(host.at + 1, host.at + host.len);
        if (!cut(&host, ']', &behind) || (behind.len > 0 && behind.at[0] != ':'))
            return "has an IPv6 address that is not written as [address] or [address]:port";
        has_port = behind.len > 0;
        if (has_port)
            port = span_of(behind.at + 1, behind.at + behind.len);
    } else {
        has_port = cut(&host, ':', &port);
    }
    if (host.len == 0)
        return "has no host";
    if (has_port && (!number(port, PORT_MAX, &out->port) || out->port == 0))
        return "has a port that is not a number from 1 to 65535";
    return decode(host, &out->host);
}

/* [userinfo@]host[:port][/db] */
static const char *read_address(struct span s, struct redis_url *out) {
    struct span db = {NULL, 0};
    cut(&s, '/', &db);
    const char *why = NULL;
    for (size_t i = s.len; i-- > 0;) { /* the last @, so that a password may hold one */
        if (s.at[i] != '@')
            continue;
        why = read_userinfo(span_of(s.at, s.at + i), out);
        s = span_of(s.at + i + 1, s.at + s.len);
        break;
    }
    if (why == NULL)
        why = read_host(s, out);
    if (why == NULL && db.len > 0)
        why = read_db(db, out);
    return why;
}

static bool skip_prefix(struct span *s, const char *prefix) {
    size_t len = strlen(prefix);
    if (s->len < len || memcmp(s->at, prefix, len) != 0)
        return false;
    *s = span_of(s->at + len, s->at + s->len);
    return true;
}

/* A raw / or ? in a password ends the address in front of its @, and what is left of it is named
 * for what it is not. */
static const char *hint(struct span s, const char *why) {
    bool ends = false;
    for (size_t i = 0; i < s.len; i++) {
        ends = ends || s.at[i] == '/' || s.at[i] == '?';
        if (ends && s.at[i] == '@')
            return "has an @ behind a / or ?, as when a password holds one of these: write them "
                   "percent-encoded, / as %2F, ? as %3F, @ as %40, : as %3A, # as %23, % as %25";
    }
    return why;
}

static const char *read_server(struct span s, struct redis_url *out) {
    struct span all = s, query = {NULL, 0};
    cut(&s, '?', &query);
    const char *why = read_address(s, out);
    if (why == NULL)
        why = read_query(query, out);
    return why == NULL ? NULL : hint(all, why);
}

static const char *read_url(struct span s, struct redis_url *out) {
    static const char *const unix_schemes[] = {"unix://", "redis+unix://", "valkey+unix://",
                                               "unix:"};
    struct span query = {NULL, 0};
    const char *why;
    if (skip_prefix(&s, "redis://") || skip_prefix(&s, "valkey://"))
        return read_server(s, out);
    for (size_t i = 0; i < sizeof(unix_schemes) / sizeof(unix_schemes[0]); i++) {
        if (!skip_prefix(&s, unix_schemes[i]))
            continue;
        cut(&s, '?', &query);
        why = read_path(s, out);
        return why == NULL ? read_query(query, out) : why;
    }
    if (skip_prefix(&s, "rediss://") || skip_prefix(&s, "valkeys://"))
        return "asks for TLS, which is not supported yet: use redis://";
    if (skip_prefix(&s, "redis-sentinel://") || skip_prefix(&s, "redis+sentinel://"))
        return "asks for Sentinel, which is not supported yet: name the master with redis://";
    return "does not begin with redis://, valkey:// or unix:";
}

int redis_url_parse(const char *text, struct redis_url *out, const char **why) {
    struct redis_url url = {.port = DEFAULT_PORT};
    *why = read_url((struct span){text, strlen(text)}, &url);
    if (*why == NULL && url.user != NULL && url.password == NULL)
        *why = "has a user without a password";
    if (*why != NULL) {
        redis_url_fini(&url);
        return RELAY_EINVAL;
    }
    *out = url;
    return RELAY_OK;
}

void redis_url_fini(struct redis_url *url) {
    free(url->host);
    free(url->path);
    free(url->user);
    free(url->password);
    *url = (struct redis_url){.host = NULL};
}

bool redis_url_is_password_refused(const char *words) {
    static const char *const refusals[] = {"NOAUTH", "WRONGPASS", "AUTH was refused"};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (strstr(words, refusals[i]) != NULL)
            return true;
    return false;
}

void redis_url_describe(const struct redis_url *url, struct buf *out) {
    if (url->path != NULL) {
        buf_printf(out, "unix:%s", url->path);
        if (url->db != 0)
            buf_printf(out, "?db=%u", url->db);
        return;
    }
    bool ipv6 = strchr(url->host, ':') != NULL;
    buf_printf(out, "redis://%s%s%s:%u", ipv6 ? "[" : "", url->host, ipv6 ? "]" : "", url->port);
    if (url->db != 0)
        buf_printf(out, "/%u", url->db);
}
