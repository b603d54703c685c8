/* The command `rm`: delete topics' logs, and tell their readers (relay/wire/delete_script.h). */
#ifndef PUBLISHER_CLI_INSPECT_REMOVE_H
#define PUBLISHER_CLI_INSPECT_REMOVE_H

#include <stdio.h>
#include <uv.h>

#include "publisher-cli/options/options.h"

/* Delete the logs of @o's topics, in their order; @loop has nothing else in it. Returns the exit
 * code. */
int remove_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err);

#endif
