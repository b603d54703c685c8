/* What the bus counts, for the metrics page and readiness: written by the bus thread, read by any.
 */
#ifndef RELAY_BUS_BUS_METRICS_H
#define RELAY_BUS_BUS_METRICS_H

#include "relay/base/metric.h"

/* Why a node is not ready although its connections are there; BUS_FIT: nothing is the matter. */
enum bus_unfit {
    BUS_FIT,
    BUS_UNFIT_REPLICA,
    BUS_UNFIT_OLD,
    BUS_UNFIT_EVICTS,
    BUS_UNFIT_SENTINEL,
    BUS_UNFIT_CLOCK_COMMAND, /* no right to the command */
    BUS_UNFIT_CLOCK_KEY,     /* or to the key */
    BUS_UNFIT_CLOCK_TYPE,
    BUS_UNFIT_CLOCK_MOVED,
    BUS_UNFIT_CLOCK_NO_SLOT,
    BUS_UNFIT_CLOCK_FIELD,
    BUS_UNFIT_CLOCK_OTHER,
    BUS_UNFIT_CHANNEL /* no right to the channel of the probe */
};

struct bus_metrics {
    metric subscriber_connected; /* 0 or 1 */
    metric publisher_connected;
    metric reader_connected;
    metric subscriber_lost; /* working connections lost */
    metric publisher_lost;
    metric reader_lost;
    metric connect_failures;  /* attempts that failed */
    metric server_unfit;      /* enum bus_unfit: why the server cannot be used */
    metric clock_unfit;       /* enum bus_unfit: why its clock cannot be read */
    metric channel_unfit;     /* enum bus_unfit: why the probe's channel cannot be had */
    metric demotions;         /* times that a server turned out to be a replica */
    metric evictions_noted;   /* times that keys were found to be gone before their time */
    metric topics;            /* subscribed on Redis, lingering ones included */
    metric topics_refused;    /* whose channel Redis forbids now */
    metric topics_unreadable; /* whose keys Redis refuses to read now */
    metric events_live;
    metric events_durable;
    metric gaps; /* of durable topics, filled from their logs */
    metric events_malformed;
    metric events_foreign; /* durable messages that are not of this domain's clock */
    metric events_dropped; /* not queued for a worker: its queue was full */
    metric bars;           /* who may not come back yet */
    metric published;      /* answers to publishes */
    metric publish_failed;
    metric probe_us;       /* round trip of the last probe */
    metric probe_ok_ms;    /* when one came back last, on the monotonic clock; 0: never */
    metric reader_lost_ms; /* when the reading connection was lost last, as probe_ok_ms */
    metric probe_lost;     /* probes that did not come back in time */
};

#endif
