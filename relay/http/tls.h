/* What TLS clients are shown, and who of them may come: certificates by name, keys of session
 * tickets, the authorities of client certificates. Read from files, and read again while the relay
 * runs.
 *
 * `struct tls` is the place where the present tls_set is found; a set never changes, and a
 * connection holds the one that it began with. So what is read again concerns new connections
 * alone. Any thread, but for tls_new(), tls_reload() and tls_free(), which are one's. */
#ifndef RELAY_HTTP_TLS_H
#define RELAY_HTTP_TLS_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/http/http_metrics.h"

struct tls;
struct tls_set;

/* All of it is borrowed, and outlives the struct tls. */
struct tls_options {
    char *const *cert_files;    /* PEM, each a certificate and what it is signed by */
    char *const *key_files;     /* of each certificate, PEM */
    size_t certs_len;           /* at least one: it is shown to those who name none of the others */
    char *const *ticket_files;  /* 80 bytes each: the first one encrypts, all of them decrypt */
    size_t ticket_files_len;    /* 0: a key that is made up and not kept */
    const char *client_ca_file; /* PEM; NULL: no certificate is asked for */
};

/* Read the files. Returns RELAY_OK (end with tls_free()), or RELAY_EINVAL and appends to @why a
 * sentence that names the file. A certificate that is not valid now is told in the log and used. */
int tls_new(const struct tls_options *options, struct tls **out, struct buf *why);

/* Read them again. On RELAY_EINVAL, with a sentence appended to @why, all stays as it was. */
int tls_reload(struct tls *tls, struct buf *why);

/* When nobody asks for a set any more; connections may still hold theirs. NULL is fine. */
void tls_free(struct tls *tls);

/* When the first of the certificates ends, in seconds since 1970. */
int64_t tls_not_after(struct tls *tls);

/* What there is to say of the certificates, up to @max of them, in the order of the options.
 * Returns how many. Any thread. */
size_t tls_certificates(struct tls *tls, struct http_certificate *out, size_t max);

/* The present set, with a reference of the caller's. */
struct tls_set *tls_set_ref(struct tls *tls);
void tls_set_unref(struct tls_set *set);

/* A server's side of a new connection, which the caller frees before its reference to @set; NULL:
 * out of memory. */
SSL *tls_set_session(struct tls_set *set);

#endif
