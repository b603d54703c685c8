/* One run of sse-publish: a source's events into Redis, and what is said about it.
 *
 * The story: connect; then take events from the source while few enough are on their way, publish
 * each as an envelope, and count the answers, which come in order. One event and lines end with the
 * first failure, since what was on its way when Redis was lost may or may not be published, and
 * only the caller can decide to send it again: the message says which lines are certain. The clock
 * and the letters go on through a lost connection. SIGINT and SIGTERM stop taking events and wait
 * for the answers; a second one does not wait. */
#ifndef PUBLISHER_CLI_PUBLISH_H
#define PUBLISHER_CLI_PUBLISH_H

#include <stdio.h>
#include <uv.h>

#include "publisher-cli/exit.h"
#include "publisher-cli/options.h"

enum { EXIT_PUBLISHED = EXIT_DONE };

/* Publish what @o asks for, reading from @in_fd, saying what was published on @out and what went
 * wrong on @err. Runs @loop until nothing of the run is left in it. Returns the exit code. */
int publish_run(const struct options *o, uv_loop_t *loop, int in_fd, FILE *out, FILE *err);

#endif
