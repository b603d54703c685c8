/* The client's address in X-Forwarded-For or in Forwarded (RFC 7239), where a proxy of ours has put
 * it. Pure; any thread. */
#ifndef RELAY_HTTP_FORWARDED_H
#define RELAY_HTTP_FORWARDED_H

#include "relay/base/ip_address.h"
#include "relay/http/request.h"

/* The one that is read. Never both: a proxy writes one of them, and passes the other on as its
 * client has sent it. */
enum forwarded_header { FORWARDED_NONE, FORWARDED_X_FORWARDED_FOR, FORWARDED_FORWARDED };

/* Whose request @r is, that came from @peer.
 *
 * Each proxy adds, at the end, whom it has the request from. So while an address is one of
 * @trusted, beginning with @peer, the one before it is believed. The walk ends at the first that is
 * not trusted, at the list's beginning, or where something else than an address stands (unknown,
 * _hidden, rubbish); the address that was reached then stands. What stands before it was the
 * client's to write, and is not looked at: no more bytes are read than the trusted proxies wrote,
 * and those that the walk ended with. Several fields of the name are one list. */
struct ip_address forwarded_client(enum forwarded_header header, const struct ip_networks *trusted,
                                   const struct request *r, struct ip_address peer);

#endif
