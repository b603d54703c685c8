/* What is counted of fetching keys, for the metrics page: written by the main thread, read by any.
 */
#ifndef RELAY_JWKS_JWKS_METRICS_H
#define RELAY_JWKS_JWKS_METRICS_H

#include "relay/base/metric.h"

struct jwks_metrics {
    metric fetched; /* fetches that gave keys */
    metric failed;
    metric fetched_s; /* when the last one gave keys, in seconds since 1970; 0: none did */
};

#endif
