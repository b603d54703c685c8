/* Where Redis is, from a URL.
 *
 * redis://[[user]:password@]host[:port][/db], unix:/path (also redis+unix:///path, unix:///path)
 * with ?db=N&password=…&user=…; userinfo and values are percent-decoded. rediss:// (TLS) and
 * redis-sentinel:// are refused with a sentence until they exist. Pure; any thread. */
#ifndef RELAY_REDIS_URL_H
#define RELAY_REDIS_URL_H

#include "relay/base/buf.h"

struct redis_url {
    char *host; /* NULL for a unix socket; without brackets for IPv6 */
    unsigned port;
    char *path;     /* NULL for TCP */
    char *user;     /* NULL: the default user */
    char *password; /* NULL: none */
    unsigned db;    /* pub/sub ignores it; keys do not */
};

/* Read @text. Returns RELAY_OK (end with redis_url_fini()), or RELAY_EINVAL and *@why (static
 * storage) says what is wrong, without the secret. */
int redis_url_parse(const char *text, struct redis_url *out, const char **why);
void redis_url_fini(struct redis_url *url);

/* Append the address for logs and --print-config: no user, no password. */
void redis_url_describe(const struct redis_url *url, struct buf *out);

#endif
