/* Random bytes from the operating system: the one source of chance in the program, so that a
 * simulation that puts its own in its place is deterministic. Any thread. */
#ifndef RELAY_BASE_RANDOM_H
#define RELAY_BASE_RANDOM_H

#include <stddef.h>

/* Fill @out with @len bytes, at most 256. Never fails: where the system gives none, the time
 * serves, so it is not for secrets. */
void random_bytes(void *out, size_t len);

#endif
