/* The files of an installation that are made from the tables: the manual and completions. Pure. */
#ifndef PUBLISHER_CLI_OPTIONS_GENERATE_H
#define PUBLISHER_CLI_OPTIONS_GENERATE_H

#include "publisher-cli/options/options.h"
#include "relay/base/buf.h"

/* Append the file. */
void generate_put(enum generated what, struct buf *out);

/* Append the manual page sse-publish(1), in roff. */
void manual_put(struct buf *out);

#endif
