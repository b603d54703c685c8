/* A transport that behaves as badly as TLS may: short reads and writes, bytes that the socket does
 * not tell of, a read that waits until the socket can be written, a write that waits until it can
 * be read, an end that takes two attempts.
 *
 * It carries the bytes as they are, so whatever works on a plain transport has to work on it. It
 * also checks that what was refused is offered again first. The test's thread. */
#ifndef TESTS_LOOP_HTTP_AWKWARD_H
#define TESTS_LOOP_HTTP_AWKWARD_H

#include <stdbool.h>

#include "relay/http/transport.h"

/* Put it in the place of a plain transport, of which nothing was read yet; nothing where it is one
 * already. */
void awkward_take_over(struct transport *t);

/* From now on its writes wait until the socket can be read. */
void awkward_hold_writes(struct transport *t);

#endif
