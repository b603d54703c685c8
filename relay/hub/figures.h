/* What a worker's hub counts, for the metrics page: written by the worker, read by any thread. */
#ifndef RELAY_HUB_FIGURES_H
#define RELAY_HUB_FIGURES_H

#include "relay/base/figure.h"
#include "relay/wire/reset.h"

/* Why a subscriber ended: the labels of the metric. */
enum hub_end {
    HUB_END_CLIENT,        /* the client closed or reset the connection */
    HUB_END_MAX_AGE,       /* --max-age */
    HUB_END_DRAIN,         /* the node is going down */
    HUB_END_WRITE_TIMEOUT, /* the client did not read */
    HUB_END_INPUT,         /* the client sent too much behind its request */
    HUB_END_ERROR,         /* the socket failed */
    HUB_END_SHUTDOWN,      /* the node ended at once */
    HUB_ENDS
};

/* The label of a reason. Static storage. */
const char *hub_end_name(enum hub_end why);

struct hub_figures {
    figure subscribers;
    figure lagging;
    figure topics;
    figure deliveries;               /* events wholly handed to a socket */
    figure dropped;                  /* live events not queued for a subscriber */
    figure bytes;                    /* handed to sockets by subscribers' streams */
    figure resets[RESET_REASONS];    /* relay.reset events, by reason */
    figure replaying;                /* streams on their way to the present */
    figure replayed;                 /* events sent in replays */
    struct figure_histogram latency; /* from receipt to the write of each delivery */
};

#endif
