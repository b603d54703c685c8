/* What leaves on an HTTP/1 connection: answers, a stream, the end. For h1.c alone, which reads. */
#ifndef RELAY_HTTP_H1_OUTPUT_H
#define RELAY_HTTP_H1_OUTPUT_H

#include "relay/http/h1.h"

static inline bool h1_is_streaming(const struct h1 *h) {
    return h->state == H1_STREAMING || h->state == H1_FINISHING;
}

/* Poll for what the state wants. */
void h1_poll(struct h1 *h);

/* At once; may be called twice. A stream is counted as ended by @why. */
void h1_end(struct h1 *h, enum hub_end why);

/* `out` is filled: send it, and go on or linger behind it. */
void h1_send_answer(struct h1 *h);

/* Answer with a stream, and leave the request. */
void h1_start_stream(struct h1 *h, const struct answer *head, struct hub_subscription_spec *spec);

/* The transport takes bytes again: whatever is under way. */
void h1_write_on(struct h1 *h);

/* 100 Continue: the client asked whether to send its body. */
void h1_send_continue(struct h1 *h);

#endif
