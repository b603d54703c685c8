/* The relay as a whole: wiring, start-up, drain, exit.
 *
 * Main thread: signals, the admin listener, acceptors of listeners that workers cannot share, and
 * the drain. */
#ifndef RELAY_APP_H
#define RELAY_APP_H

#include "relay/config/config.h"

enum {
    APP_EXIT_OK = 0,     /* ended by a signal, drained */
    APP_EXIT_FAILED = 1, /* could not start (an address in use), lost the embedded Redis, or was
                            told twice to end */
    APP_EXIT_USAGE = 2
};

/* Run until a signal ends it. @sources are what @config was read from, for SIGHUP. Returns the exit
 * code; what went wrong was said on standard error. */
int app_run(const struct config *config, const struct config_sources *sources);

#endif
