/* `--check-config`: whether the files that a configuration names can be used, read as at the start,
 * and refused with the same sentence. An address of keys (--token-jwks-url) is not asked. */
#ifndef RELAY_FILE_CHECK_H
#define RELAY_FILE_CHECK_H

#include "relay/config/config.h"

/* Returns the exit code of the process; what there is to say was said. */
int file_check(const struct config *config);

#endif
