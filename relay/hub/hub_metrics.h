/* What a worker's hub counts, for the metrics page: written by the worker, read by any thread. */
#ifndef RELAY_HUB_HUB_METRICS_H
#define RELAY_HUB_HUB_METRICS_H

#include "relay/base/metric.h"
#include "relay/wire/reset.h"

/* Why a subscriber ended: the labels of the metric. */
enum hub_end {
    HUB_END_CLIENT,        /* the client closed or reset the connection */
    HUB_END_MAX_AGE,       /* --max-age */
    HUB_END_DRAIN,         /* the node is going down */
    HUB_END_EXPIRED,       /* the token that allowed it has expired */
    HUB_END_KICKED,        /* somebody ended it (sse-publish kick) */
    HUB_END_WRITE_TIMEOUT, /* the client did not read */
    HUB_END_INPUT,         /* the client sent too much behind its request */
    HUB_END_ERROR,         /* the socket failed */
    HUB_END_SHUTDOWN,      /* the node ended at once */
    HUB_ENDS
};

/* The label of a reason. Static storage. */
const char *hub_end_name(enum hub_end why);

struct hub_metrics {
    metric subscribers;
    metric lagging;
    metric topics;
    metric deliveries;               /* events wholly handed to a socket */
    metric dropped;                  /* live events not queued for a subscriber */
    metric bytes;                    /* handed to sockets by subscribers' streams */
    metric resets[RESET_REASONS];    /* relay.reset events, by reason */
    metric replaying;                /* streams on their way to the present */
    metric replayed;                 /* events sent in replays */
    metric blocked;                  /* streams that wait until Redis allows one of their topics */
    metric waiting;                  /* messages received and not handled yet */
    metric waiting_since_us;         /* since when the oldest of them waits; 0: there is none */
    struct metric_histogram latency; /* from receipt to the write of each delivery */
};

#endif
