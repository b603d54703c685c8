/* What the bus counts, for the metrics page and readiness: written by the bus thread, read by any.
 */
#ifndef RELAY_BUS_FIGURES_H
#define RELAY_BUS_FIGURES_H

#include "relay/base/figure.h"

struct bus_figures {
    figure subscriber_connected; /* 0 or 1 */
    figure publisher_connected;
    figure reader_connected;
    figure subscriber_lost; /* working connections lost */
    figure publisher_lost;
    figure reader_lost;
    figure connect_failures; /* attempts that failed */
    figure topics;           /* subscribed on Redis, lingering ones included */
    figure topics_refused;   /* answers of Redis that forbid a topic's channel */
    figure events_live;
    figure events_durable;
    figure gaps; /* of durable topics, filled from their logs */
    figure events_malformed;
    figure events_foreign; /* durable messages that are not of this domain's clock */
    figure events_dropped; /* not queued for a worker: its queue was full */
    figure published;      /* answers to publishes */
    figure publish_failed;
    figure probe_us;    /* round trip of the last probe */
    figure probe_ok_ms; /* when one came back last, on the monotonic clock; 0: never */
    figure probe_lost;  /* probes that did not come back in time */
};

#endif
