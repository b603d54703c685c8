/* The keys of tokens over the relay's life: read from files at the start, and again on SIGHUP and
 * when one of them has changed; fetched from an address (relay/jwks/). No stream notices; what a
 * stream was allowed holds until it ends.
 *
 * Main thread; embedded. */
#ifndef RELAY_TOKEN_KEYS_H
#define RELAY_TOKEN_KEYS_H

#include <stddef.h>
#include <uv.h>

#include "relay/auth/auth.h"
#include "relay/config/config.h"
#include "relay/file_watch.h"
#include "relay/jwks/source.h"

struct token_keys {
    const struct config *config;
    struct auth *auth; /* NULL: no keys are configured */
    struct file_watch watch;
    struct jwks_source source; /* of --token-jwks-url; unused where there is none */
};

/* Read the files that @config names, if any. Before the threads. Returns RELAY_OK, or RELAY_EINVAL
 * and appends to @why a sentence. */
int token_keys_init(struct token_keys *t, const struct config *config, struct buf *why);

/* Say in the log who may read and publish, and look after the files on @loop from now on. */
void token_keys_start(struct token_keys *t, uv_loop_t *loop);

/* Read the files now; the log says how it went. An address is asked soon. */
void token_keys_reload(struct token_keys *t);

/* End looking after the files, and fetching; the loop has to run until nothing is left in it. May
 * be called twice. */
void token_keys_close(struct token_keys *t);

/* When no thread asks any more. */
void token_keys_fini(struct token_keys *t);

#endif
