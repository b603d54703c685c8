/* POST of /sse: from a request to a publish on the bus, and its answer. The connection's thread. */
#ifndef RELAY_HTTP_POST_H
#define RELAY_HTTP_POST_H

#include <stdbool.h>

#include "relay/http/exchange.h"

/* Whether the request whose head is there may publish. Otherwise it was answered. */
bool post_may(struct exchange *x);

/* Whether its body, by what the head says of it, is the event's data as it is. Otherwise it was
 * answered. */
bool post_can_read(struct exchange *x);

/* The whole request is there: answer what is wrong with it, or send it to the bus and let @x wait.
 */
void post_publish(struct exchange *x);

/* The publish that @x waits for came back; it stays the caller's. */
void post_answer(struct exchange *x, const struct bus_publish *p);

#endif
