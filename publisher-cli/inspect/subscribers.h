/* The command `subscribers`: ask the relays how many a topic has (relay/wire/count.h). */
#ifndef PUBLISHER_CLI_INSPECT_SUBSCRIBERS_H
#define PUBLISHER_CLI_INSPECT_SUBSCRIBERS_H

#include <stdio.h>
#include <uv.h>

#include "publisher-cli/options/options.h"

/* Print the counts of @o's topics, in their order; @loop has nothing else in it. Returns the exit
 * code. */
int subscribers_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err);

#endif
