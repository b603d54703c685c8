/* Whose request it is: the address that limits count by and the log names.
 *
 * That of the connection's peer, unless the peer is a proxy of ours, which says whose request it
 * brings. Below whoever serves; it cannot ask which protocol brought the request. */
#ifndef RELAY_HTTP_CLIENT_ADDRESS_H
#define RELAY_HTTP_CLIENT_ADDRESS_H

#include "relay/base/ip_address.h"
#include "relay/http/exchange.h"

/* None on a unix: socket whose peer says nothing. Ask while the exchange has its request: what the
 * proxy said is in its head, and two requests of one connection may be of two clients. */
struct ip_address exchange_client_address(const struct exchange *x);

/* What limits of one client count it by; 0: by nothing. It has no address, or is of a proxy of ours
 * that does not say whose request it is: behind that stand many. */
uint64_t exchange_limit_key(const struct exchange *x);

/* The same, of a request that a proxy of ours forwarded; 0: the client connected itself. */
uint64_t exchange_forwarded_key(const struct exchange *x);

#endif
