/* What leaves on an HTTP/2 connection, and its end. For h2.c alone, which reads. */
#ifndef RELAY_HTTP_H2_OUTPUT_H
#define RELAY_HTTP_H2_OUTPUT_H

#include "relay/http/h2.h"

/* Poll for what is wanted. */
void h2_poll(struct h2 *h);

/* All that is to be sent, up to a turn's share. May end the connection. */
void h2_write(struct h2 *h);

/* The socket takes bytes again. */
void h2_write_on(struct h2 *h);

/* At once: end its streams by @why, free it, close. */
void h2_end(struct h2 *h, enum hub_end why);

/* Set the deadline to the earliest of all that is awaited. */
void h2_arm(struct h2 *h);

#endif
