/* Where Redis is, from a URL.
 *
 * redis://[[user]:password@]host[:port][/db] (or valkey://, which means the same), unix:/path (also
 * redis+unix:///path, unix:///path) with ?db=N&password=…&user=…; userinfo and values are
 * percent-decoded. rediss:// (TLS) and redis-sentinel:// are refused with a sentence until they
 * exist. Pure; any thread. */
#ifndef RELAY_REDIS_URL_H
#define RELAY_REDIS_URL_H

#include <stdbool.h>

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

/* How a password is written, for whoever is told that Redis wants another one. */
#define REDIS_URL_PASSWORD_FORM                                                                    \
    "redis://:PASSWORD@HOST, with a user as redis://USER:PASSWORD@HOST, and in it @ : / ? # % as " \
    "%40 %3A %2F %3F %23 %25"

/* Whether Redis, or the connection on its behalf, refuses with these words for want of the right
 * password: a raw @, say, may have ended it early. */
bool redis_url_is_password_refused(const char *words);

/* Append the address for logs and --print-config: no user, no password. */
void redis_url_describe(const struct redis_url *url, struct buf *out);

#endif
