/* One run that publishes: a source's events into Redis, and what is said about it.
 *
 * The story: look at the input; connect; take events from the source while there is room on the
 * way to Redis, gather those that are there already into batches and hand these to the writer,
 * which sees to it that they arrive in order and, if durable, once. Nothing waits for a batch to
 * fill, so a line of `tail -f` goes at once. What became of each batch is printed and counted.
 *
 * A run ends with its input, with --count, at a line or a refusal that it should stop at, when
 * Redis made no progress for --timeout, when nobody reads standard output, or with a signal.
 * SIGINT and SIGTERM stop taking events and wait for the answers; a second one does not wait. In
 * each case it is said what is published, what is not, what nobody knows, and how to go on. */
#ifndef PUBLISHER_CLI_PUBLISH_PUBLISH_H
#define PUBLISHER_CLI_PUBLISH_PUBLISH_H

#include <stdio.h>
#include <uv.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/options/options.h"

/* Publish what @o asks for, reading from @in_fd where that is standard input, printing ids on @out
 * and all else on @err. Runs @loop until nothing of the run is left in it. Returns the exit code.
 */
int publish_run(const struct options *o, uv_loop_t *loop, int in_fd, FILE *out, FILE *err);

#endif
