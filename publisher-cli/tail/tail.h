/* `sse-publish tail`: the events of a relay, as they come.
 *
 * The story: ask for the stream of all topics in the form as=json; print what comes; and whatever
 * ends it, ask again with the last id that came, so that durable events go on where they stopped.
 * Before the first answer --timeout bounds how long that is tried, later nothing does. The end is
 * 204, a refusal that another attempt would meet again, --count, a signal, or that nobody
 * reads any more. */
#ifndef PUBLISHER_CLI_TAIL_TAIL_H
#define PUBLISHER_CLI_TAIL_TAIL_H

#include <stdio.h>
#include <uv.h>

#include "publisher-cli/options/options.h"

/* Print events on @out, and what is to be said beside them on @err. Runs @loop until nothing of the
 * run is left in it. Returns the exit code. */
int tail_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err);

#endif
