/* What --help prints, from the tables. Pure. */
#ifndef PUBLISHER_CLI_OPTIONS_HELP_H
#define PUBLISHER_CLI_OPTIONS_HELP_H

#include "publisher-cli/options/options.h"
#include "relay/base/buf.h"

/* Append the help of @command; of COMMAND_HELP, the overview of all. */
void help_put(enum command command, struct buf *out);

#endif
