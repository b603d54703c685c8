/* Certificates, keys and authorities of TLS over the relay's life: read at the start, and again on
 * SIGHUP and when one of the files has changed. No connection notices: each goes on with what it
 * began with.
 *
 * Main thread; embedded. */
#ifndef RELAY_TLS_FILES_H
#define RELAY_TLS_FILES_H

#include <stdint.h>
#include <uv.h>

#include "relay/config/config.h"
#include "relay/file_watch.h"
#include "relay/http/tls.h"

struct tls_files {
    const struct config *config;
    struct tls *clients; /* of the main listeners; NULL: none speaks TLS */
    struct tls *admin; /* of the admin listener, which asks for no certificate; NULL: it is plain */
    char *client_ca_path;
    struct config_strings client_ca; /* the one path, or none, as the watch wants it */
    struct file_watch watch;
};

/* Read the files that @config names, if any. Before the threads. Returns RELAY_OK, or RELAY_EINVAL
 * and appends to @why a sentence. */
int tls_files_init(struct tls_files *t, const struct config *config, struct buf *why);

/* Look after the files on @loop from now on. */
void tls_files_start(struct tls_files *t, uv_loop_t *loop);

/* Read the files now; the log says how it went. */
void tls_files_reload(struct tls_files *t);

/* What there is to say of the certificates, up to @max of them. Returns how many. Any thread. */
size_t tls_files_certificates(const struct tls_files *t, struct http_certificate *out, size_t max);

/* End looking after the files; the loop has to run once more. May be called twice. */
void tls_files_close(struct tls_files *t);

/* When nothing is served any more. */
void tls_files_fini(struct tls_files *t);

#endif
