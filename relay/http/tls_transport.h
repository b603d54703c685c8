/* A transport through TLS, the server's side. See transport.h for what it does and for its thread.
 */
#ifndef RELAY_HTTP_TLS_TRANSPORT_H
#define RELAY_HTTP_TLS_TRANSPORT_H

#include <stdbool.h>

#include "relay/http/http_metrics.h"
#include "relay/http/tls.h"
#include "relay/http/transport.h"

enum { TLS_RECORD_BYTES = 16 * 1024 }; /* the most that one record holds */

/* What the connections of one server share; zeroed, but for the metrics. It outlives them. */
struct tls_server {
    struct http_metrics *metrics;
    char record[TLS_RECORD_BYTES]; /* where several small pieces become one */
};

/* The handshake is done in reads and writes, and has no deadline of its own. Who speaks plain HTTP
 * is told so in plain HTTP, and then read AGAIN until its end. The fd is taken over, except when it
 * returns false: out of memory. */
bool transport_init_tls(struct transport *t, int fd, struct tls *tls, struct tls_server *server);

#endif
