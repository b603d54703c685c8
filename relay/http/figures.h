/* What a server counts, for the metrics page: written by the server's thread, read by any. */
#ifndef RELAY_HTTP_FIGURES_H
#define RELAY_HTTP_FIGURES_H

#include "relay/base/figure.h"
#include "relay/hub/figures.h"

struct http_figures {
    figure connections;
    figure accepted;
    figure accept_paused; /* times that accepting was paused: descriptors short, or far too many
                             connections */
    figure requests;
    figure refused_full; /* streams turned away: connection limit */
    figure refused_draining;
    figure ends[HUB_ENDS]; /* streams ended, by reason */
};

#endif
