/* The metrics page: Prometheus text (exposition format 0.0.4) from the metrics of all rooms. Any
 * thread. */
#ifndef RELAY_ADMIN_METRICS_H
#define RELAY_ADMIN_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/base/queue.h"
#include "relay/bus/bus_metrics.h"
#include "relay/http/http_metrics.h"
#include "relay/hub/hub_metrics.h"
#include "relay/jwks/jwks_metrics.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* One worker's metrics; borrowed. */
struct metrics_worker {
    const struct hub_metrics *hub;
    const struct http_metrics *http;
    const struct metric_histogram *lag;
    struct queue *inbox;
};

struct metrics_source {
    const struct metrics_worker *workers;
    size_t workers_len;
    const struct bus_metrics *bus;
    const struct http_limit_metrics *limits;
    const struct jwks_metrics *jwks;
    const struct http_certificate *certificates; /* of the moment */
    size_t certificates_len;
    uint64_t max_connections;
    uint64_t started_ms; /* since 1970 */
    const char *version;
};

/* Append the whole page. @ready: what /readyz would say. */
void metrics_write(const struct metrics_source *source, bool ready, struct buf *out);

#endif
