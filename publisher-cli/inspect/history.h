/* The command `history`: a topic's log, oldest first.
 *
 * The log is read in pages from where --since or --last begin to where it ended when the command
 * began, so memory is that of a page, and an event that comes meanwhile is not chased. */
#ifndef PUBLISHER_CLI_INSPECT_HISTORY_H
#define PUBLISHER_CLI_INSPECT_HISTORY_H

#include <stdio.h>
#include <uv.h>

#include "publisher-cli/options/options.h"

/* Print the log of @o->topics[0] to @out. Returns the exit code; nothing is left in @loop. */
int history_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err);

#endif
