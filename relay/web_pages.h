/* The pages that the relay serves besides streams: health, metrics, console. They join the admin
 * room's texts to the HTTP room's routes. Read-only; any worker's thread. */
#ifndef RELAY_WEB_PAGES_H
#define RELAY_WEB_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "relay/admin/metrics.h"
#include "relay/bus/bus.h"
#include "relay/http/server.h"
#include "relay/tls_files.h"
#include "relay/token_keys.h"

struct pages {
    struct metrics_source metrics;
    const struct bus_options *bus_options;
    const struct bus_metrics *bus_metrics;
    const struct token_keys *token_keys;
    const struct tls_files *tls_files;
    atomic_bool leaving;        /* the drain has begun: not ready */
    struct http_route main[10]; /* for the main listeners */
    struct http_route admin[8]; /* for --admin-listen */
};

/* Fill the routes: what the main listeners serve; the admin listener serves health and metrics in
 * any case. The other fields are the caller's to fill before a page is served. */
void pages_init(struct pages *p, bool metrics_for_clients, bool health_for_clients,
                bool has_console);

#endif
