/* Whose request it is; see client_address.h. */
#include "relay/http/client_address.h"

struct ip_address exchange_client_address(const struct exchange *x) {
    const struct http_options *o = &x->service->options;
    struct ip_address peer = exchange_peer(x);
    return x->request != NULL
               ? forwarded_client(o->client_header, o->trusted_proxies, x->request, peer)
               : peer;
}

static bool is_trusted(const struct exchange *x, struct ip_address address) {
    const struct ip_networks *proxies = x->service->options.trusted_proxies;
    return proxies != NULL && ip_networks_contain(proxies, &address);
}

uint64_t exchange_limit_key(const struct exchange *x) {
    struct ip_address client = exchange_client_address(x);
    return is_trusted(x, client) ? 0 : ip_address_limit_key(&client);
}

uint64_t exchange_forwarded_key(const struct exchange *x) {
    return is_trusted(x, exchange_peer(x)) ? exchange_limit_key(x) : 0;
}
