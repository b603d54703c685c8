/* Which request goes where, and what is refused before its body is read. The connection's thread.
 */
#ifndef RELAY_HTTP_ROUTE_H
#define RELAY_HTTP_ROUTE_H

#include "relay/http/exchange.h"

/* Answers the requests of a server's connections. */
extern const struct exchange_handler route_handler;

#endif
