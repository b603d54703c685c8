/* One request, and the way to answer it, to stream, to let it wait, or to abort it: what routes,
 * subscribing and publishing speak to.
 *
 * An HTTP/1 connection provides one exchange after the other; an HTTP/2 stream is one. Nobody who
 * serves may ask which it is: what differs (framing, lengths, whether the connection goes on, how
 * slow a reader is) is the provider's, behind exchange_ops. The connection's thread.
 *
 * A life: the provider calls on_head, and on_request when the body is there too, of the service's
 * handler. That calls exchange_answer(), exchange_stream() or exchange_wait() before it returns, or
 * nothing in on_head, which lets the body come. Who waits answers later. When its client goes
 * first, the provider calls exchange_fini(), and nobody hears of the exchange again. */
#ifndef RELAY_HTTP_EXCHANGE_H
#define RELAY_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/ip_address.h"
#include "relay/base/rng.h"
#include "relay/http/fields.h"
#include "relay/http/http_metrics.h"
#include "relay/http/options.h"
#include "relay/http/request.h"
#include "relay/hub/hub.h"

struct exchange;

/* Whoever serves requests. Each may end in the end of the exchange. */
struct exchange_handler {
    void (*on_head)(struct exchange *x); /* the head is complete; its body may still be to come */
    void (*on_request)(
        struct exchange *x); /* the whole request is there, and was not answered yet */
    /* It cannot be served: answer @status and a sentence. */
    void (*on_fault)(struct exchange *x, int status, const char *why);
};

/* What is served on one loop: the same for all exchanges of a server. */
struct http_service {
    struct http_options options;
    const struct exchange_handler *handler;
    struct hub *hub; /* NULL: no streams */
    struct http_metrics *metrics;
    struct rng rng;
};

struct answer {
    int status;
    struct fields fields; /* without what the protocol adds: length, coding, date */
    struct span body;     /* borrowed; left out by the provider where the method is HEAD */
    bool streamed;        /* it is a stream, which ends behind the body: told as a stream is */
};

struct exchange_ops {
    void (*answer)(struct exchange *x, const struct answer *a);
    void (*stream)(struct exchange *x, const struct answer *head,
                   struct hub_subscription_spec *spec);
    void (*wait)(struct exchange *x);
    void (*abort)(struct exchange *x, enum hub_end why);
    struct ip_address (*peer)(const struct exchange *x);
    const void *(*connection)(const struct exchange *x);
};

struct exchange {
    const struct exchange_ops *ops;
    struct http_service *service;
    const struct request *request; /* NULL: none could be read, or it was given up for a stream */
    struct subscriber *subscriber; /* of one that streams, until it ended */
    struct bus_publish *publish;   /* of one that waits for Redis */
    struct limits_stream *held;    /* what its stream counts as; NULL: nothing */
    bool loopback;                 /* it came in by a loopback listener */
    uint8_t surplus;               /* enum http_surplus: whether it gets no stream */
};

/* ---- for whoever serves ---- */

/* Give the answer, once. It has left when its client has taken it; until then the provider holds a
 * copy. Do not touch @x behind it. */
static inline void exchange_answer(struct exchange *x, const struct answer *a) {
    x->ops->answer(x, a);
}

/* Answer with a stream: @head (no body), then what the hub has for a subscriber of this @spec,
 * whose opening is its first frame (taken over) and whose framing is the provider's choice. The
 * request is given up: an idle stream holds none. */
static inline void exchange_stream(struct exchange *x, const struct answer *head,
                                   struct hub_subscription_spec *spec) {
    x->ops->stream(x, head, spec);
}

/* It is answered when @p comes back. The request stays. */
void exchange_wait(struct exchange *x, struct bus_publish *p);

/* End it at once, answered or not; a stream is counted as ended by @why. Other exchanges of the
 * same connection go on where the protocol lets them. */
static inline void exchange_abort(struct exchange *x, enum hub_end why) {
    x->ops->abort(x, why);
}

/* Who the connection is from, which may be a proxy (client_address.h says who asks); none on a
 * unix: socket. */
static inline struct ip_address exchange_peer(const struct exchange *x) {
    return x->ops->peer(x);
}

/* A name of the connection that it came by, the same for all exchanges on that; not to be looked
 * into. */
static inline const void *exchange_connection(const struct exchange *x) {
    return x->ops->connection(x);
}

/* ---- for providers ---- */

void exchange_init(struct exchange *x, const struct exchange_ops *ops,
                   struct http_service *service);

/* The exchange ends, in whatever state: nobody waits for it or sends to it any more. May be called
 * twice. The request is the provider's to free. */
void exchange_fini(struct exchange *x);

/* Count a stream that ends, and leave the hub. */
void exchange_end_stream(struct exchange *x, enum hub_end why);

#endif
