/* GET and HEAD of /sse: from a request to what the hub is asked for. The connection's thread. */
#ifndef RELAY_HTTP_SSE_H
#define RELAY_HTTP_SSE_H

#include "relay/http/exchange.h"

/* The head of such a request is complete: answer it, or let it become a stream. */
void sse_get(struct exchange *x);

#endif
