/* The PROXY protocol on a connection: what stands before TLS and HTTP and says whom a balancer has
 * it from.
 *
 * Only a peer that is a trusted proxy is read, and on such a door the header is no choice of the
 * client's: a connection without it is closed. Whoever serves what follows does not notice. */
#ifndef RELAY_HTTP_PROXIED_H
#define RELAY_HTTP_PROXIED_H

#include "relay/http/conn.h"

extern const struct conn_protocol proxied_protocol;

#endif
