/* HTTP/1 on a connection: requests one behind the other, each an exchange; at the end, perhaps, a
 * subscriber's stream.
 *
 * States: READING a request (or waiting for one) → RESPONDING (an answer is leaving) → READING
 * again, or LINGERING (our side is shut; what the client still sends is thrown away so that our
 * last bytes are not reset away) → closed. WAITING: the exchange is answered later. STREAMING: a
 * subscriber of the hub; FINISHING: its last bytes are leaving. */
#ifndef RELAY_HTTP_H1_H
#define RELAY_HTTP_H1_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/http/conn.h"
#include "relay/http/exchange.h"
#include "relay/http/h1_request.h"
#include "relay/hub/stream.h"

enum h1_state {
    H1_READING,
    H1_WAITING,
    H1_RESPONDING,
    H1_STREAMING,
    H1_FINISHING,
    H1_LINGERING,
    H1_CLOSED
};

/* What is held while requests are read and answered; an idle stream has none. */
struct h1_work {
    struct h1_request *request; /* being read or answered; NULL between requests */
    struct buf in;              /* bytes read behind the request that is being answered */
    struct buf out;             /* an answer that is leaving */
    size_t out_sent;
};

struct h1 {
    struct conn conn;
    struct exchange exchange;
    struct stream stream; /* what the hub sees of an exchange that streams */
    struct h1_work *work;
    uint32_t discarded; /* bytes thrown away behind a stream's head, or while lingering */
    uint8_t state;      /* enum h1_state */
    uint8_t end;        /* enum hub_end of a stream that is FINISHING */
    union {
        uint8_t end_left; /* FINISHING: bytes of the last chunk that did not leave yet */
        uint8_t preface;  /* is_first: bytes of HTTP/2's preface that came */
    };
    bool close_after : 1; /* no further request on this connection */
    bool head_seen : 1;   /* the request's head was routed */
    bool chunked : 1;     /* STREAMING: the response is in chunks, and ends with an empty one */
    bool shutting : 1;    /* LINGERING: our side is not shut yet */
    bool is_first : 1;    /* READING: whether it is HTTP/1 is not known yet */
};

extern const struct conn_protocol h1_protocol;

#endif
