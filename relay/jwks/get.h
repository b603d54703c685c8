/* One GET of a JWKS, by libcurl: whole or not at all, in a bounded time and in bounded memory.
 *
 * It knows nothing of keys. Redirects are refused, since the address in the configuration is the
 * one that is trusted. Proxies are those of the environment (https_proxy, no_proxy), as curl takes
 * them. The calling thread waits; jwks_get_abort() may come from any other. */
#ifndef RELAY_JWKS_GET_H
#define RELAY_JWKS_GET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "relay/base/buf.h"

enum {
    JWKS_MAX_BYTES = 1024 * 1024,
    JWKS_CONNECT_TIMEOUT_MS = 5000,
    JWKS_TIMEOUT_MS = 10000 /* for all of it */
};

struct jwks_get {
    const char *url;     /* borrowed */
    const char *ca_file; /* PEM; whom the server's certificate has to come from; NULL: the system's
                            authorities. Borrowed */
    atomic_bool aborted;
    /* What came of it. */
    struct buf body;
    struct buf why; /* a sentence; empty: it succeeded, and `body` is what was answered */
    bool has_max_age;
    uint64_t max_age_ms; /* how long the issuer wants it kept */
};

/* Once in the process, before its threads, and after them. */
void jwks_get_global_init(void);
void jwks_get_global_fini(void);

void jwks_get_init(struct jwks_get *g, const char *url, const char *ca_file);

/* Ask. Returns RELAY_OK, or RELAY_EIO and `why`. */
int jwks_get_run(struct jwks_get *g);

/* It ends within about a second. Any thread; also before it began. */
void jwks_get_abort(struct jwks_get *g);

void jwks_get_fini(struct jwks_get *g);

#endif
