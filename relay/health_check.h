/* How is the relay that runs with this configuration? For the health checks of containers and
 * service managers, which so need no other program. Blocking: the process does nothing else. */
#ifndef RELAY_HEALTH_CHECK_H
#define RELAY_HEALTH_CHECK_H

#include "relay/config/config.h"

/* Ask for @path ("/healthz") where that relay answers: on --admin-listen, or else on the first
 * --listen. Prints its answer on standard output, or what is wrong on standard error.
 *
 * Returns the exit code: APP_EXIT_OK when it says 200, or
 *   APP_EXIT_FAILED  it says anything else, nobody listens there, or nothing came for 3 s */
int health_check(const struct config *config, const char *path);

#endif
