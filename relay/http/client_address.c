/* Whose request it is; see client_address.h. */
#include "relay/http/client_address.h"

struct ip_address exchange_client_address(const struct exchange *x) {
    const struct http_options *o = &x->service->options;
    struct ip_address peer = exchange_peer(x);
    return x->request != NULL
               ? forwarded_client(o->client_header, o->trusted_proxies, x->request, peer)
               : peer;
}

uint64_t exchange_limit_key(const struct exchange *x) {
    const struct ip_networks *proxies = x->service->options.trusted_proxies;
    struct ip_address client = exchange_client_address(x);
    if (proxies != NULL && ip_networks_contain(proxies, &client))
        return 0;
    return ip_address_limit_key(&client);
}
