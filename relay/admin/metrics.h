/* The metrics page: Prometheus text (exposition format 0.0.4) from the figures of all rooms. Any
 * thread. */
#ifndef RELAY_ADMIN_METRICS_H
#define RELAY_ADMIN_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/base/queue.h"
#include "relay/bus/figures.h"
#include "relay/http/figures.h"
#include "relay/hub/figures.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* One worker's figures; borrowed. */
struct metrics_worker {
    const struct hub_figures *hub;
    const struct http_figures *http;
    const struct figure_histogram *lag;
    struct queue *inbox;
};

struct metrics_source {
    const struct metrics_worker *workers;
    size_t workers_len;
    const struct bus_figures *bus;
    uint64_t max_connections;
    const char *version;
};

/* Append the whole page. @ready: what /readyz would say. */
void metrics_write(const struct metrics_source *source, bool ready, struct buf *out);

#endif
