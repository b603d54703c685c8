/* How much one client may have of a node, and how fast the node takes newcomers: limits by address
 * and by token subject, over all workers.
 *
 * An object for the main listeners; the admin listener has none (NULL), and with NULL nothing is
 * limited. What is 0 in the options is no limit. Each refusal is counted here; the answer is the
 * caller's. Any thread. */
#ifndef RELAY_HTTP_LIMITS_H
#define RELAY_HTTP_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/auth/pattern.h"
#include "relay/http/http_metrics.h"

/* Of one address beyond its limit that are still taken, to tell them so; the next are closed. */
enum { LIMITS_ADDRESS_SURPLUS = 8 };

struct limits_options {
    unsigned connections_per_address;
    unsigned connections_per_subject, streams_per_subject;
    unsigned publish_rate, publish_burst; /* a second; at once */
    unsigned accept_rate;                 /* a second, and as many at once */
    unsigned failed_tokens;               /* of an address: a minute, and as many at once */
    uint64_t (*now_us)(void);             /* monotonic */
};

struct limits;
struct tally_entry;

/* What a stream holds while it is open. */
struct limits_stream;

/* Never NULL. @metrics outlives it. */
struct limits *limits_new(const struct limits_options *options, struct http_limit_metrics *metrics);
void limits_free(struct limits *l);

/* Forget what is over; call it now and then. */
void limits_tick(struct limits *l);

/* Count a refusal that the caller knows of. */
void limits_reached(struct limits *l, enum http_limit limit);

/* Whether a connection may be accepted now. Otherwise it waits in the kernel's queue: to take it
 * only to refuse it would cost what the limit is to save, a TLS handshake most of all, and its
 * client would come back at once. */
bool limits_may_accept(struct limits *l);

/* One was accepted. */
void limits_accepted(struct limits *l);

/* Addresses are what ip_address_limit_key() makes of them. 0: there is none that counts. */

/* Whether limits_enter() looks at addresses. */
bool limits_count_addresses(const struct limits *l);

/* A connection from @address. */
enum limits_place {
    LIMITS_PLACE, /* it has one */
    LIMITS_FULL,  /* its address has too many: it may stay to be told so */
    LIMITS_CLOSE  /* and is one of too many that wait for that */
};
/* *@held is what limits_leave() is called with, in any case but LIMITS_CLOSE; it may be NULL. */
enum limits_place limits_enter(struct limits *l, uint64_t address, struct tally_entry **held);
void limits_leave(struct tally_entry *held);

/* A stream of @subject (data NULL or empty: it has none, and is not counted) on @connection, which
 * is a name of it and not looked into. @forwarded is the address of a client that came by a proxy,
 * whose stream stands for a connection; 0: its connection was counted itself. Returns HTTP_LIMITS
 * where it may be opened: *@held is what limits_end_stream() is called with, and may be NULL.
 * Otherwise which limit it is beyond. */
enum http_limit limits_begin_stream(struct limits *l, const struct subject *subject,
                                    uint64_t forwarded, const void *connection,
                                    struct limits_stream **held);
void limits_end_stream(struct limits_stream *held);

/* A publish by @subject or, where there is none, from @address. Returns 0, or
 * in how many seconds there may be another. */
uint64_t limits_publish(struct limits *l, const struct subject *subject, uint64_t address);

/* A token from @address is about to be verified. Returns 0, or in how many
 * seconds the address may try another; too many of it have failed. */
uint64_t limits_token(struct limits *l, uint64_t address);
void limits_token_failed(struct limits *l, uint64_t address);

#endif
