/* Whose request it is; see client_address.h. */
#include "relay/http/client_address.h"

struct ip_address exchange_client_address(const struct exchange *x) {
    return exchange_peer(x);
}
