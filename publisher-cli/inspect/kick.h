/* The command `kick`: ends the streams of a subject, a token or a topic on all relays, and says
 * until when they may not come back. */
#ifndef PUBLISHER_CLI_INSPECT_KICK_H
#define PUBLISHER_CLI_INSPECT_KICK_H

#include <stdio.h>
#include <uv.h>

#include "publisher-cli/options/options.h"

/* Runs the loop itself; nothing of it is left in there. Returns the exit code. */
int kick_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err);

#endif
