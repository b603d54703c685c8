/* The command `token`: makes a token for development, or says what a given one allows. It speaks to
 * nobody. */
#ifndef PUBLISHER_CLI_TOKEN_TOKEN_COMMAND_H
#define PUBLISHER_CLI_TOKEN_TOKEN_COMMAND_H

#include <stdio.h>
#include <uv.h>

#include "publisher-cli/options/options.h"

/* Returns the exit code; with --show, EXIT_REFUSED where a relay with this key would refuse the
 * token. */
int token_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err);

#endif
