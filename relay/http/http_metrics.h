/* What a server counts, for the metrics page: written by the server's thread, read by any. */
#ifndef RELAY_HTTP_HTTP_METRICS_H
#define RELAY_HTTP_HTTP_METRICS_H

#include <stdint.h>

#include "relay/base/metric.h"
#include "relay/hub/hub_metrics.h"

/* Why a request was denied for what it may do. */
enum http_denial {
    HTTP_DENIED_NO_TOKEN, /* 401: it has none, and needs one */
    HTTP_DENIED_INVALID,  /* 401: its token is wrong, expired, or of nobody we know */
    HTTP_DENIED_KEY,   /* 503, or a stream that ends: the key of its token is still to be fetched */
    HTTP_DENIED_TOPIC, /* 403: the token does not allow the topic */
    HTTP_DENIED_ORIGIN, /* 403: a POST from a page of another origin, or by cookie from none */
    HTTP_DENIED_BARRED, /* 403: it was kicked, and may not come back yet */
    HTTP_DENIALS
};

/* Why a TLS handshake came to nothing. */
enum http_tls_failure {
    HTTP_TLS_PLAIN,              /* plain HTTP came */
    HTTP_TLS_MALFORMED,          /* something else that is no TLS */
    HTTP_TLS_NOTHING_COMMON,     /* no version, cipher or protocol that both sides have */
    HTTP_TLS_CLIENT_CERTIFICATE, /* none, or of nobody we know */
    HTTP_TLS_REFUSED,            /* by the client: it does not trust our certificate, most often */
    HTTP_TLS_UNFINISHED,         /* the client went away in it, or took too long */
    HTTP_TLS_FAILURES
};

/* As metrics and the log call it. Static storage. */
const char *http_tls_failure_name(enum http_tls_failure why);

/* Why a connection to a listener of the PROXY protocol was closed before it began. */
enum http_proxy_refusal {
    HTTP_PROXY_UNTRUSTED,  /* from an address that is no proxy of ours */
    HTTP_PROXY_MISSING,    /* it began with something else than the header */
    HTTP_PROXY_MALFORMED,  /* with one that is wrong */
    HTTP_PROXY_UNFINISHED, /* the end came within it, or it took too long */
    HTTP_PROXY_REFUSALS
};

/* As metrics and the log call it. Static storage. */
const char *http_proxy_refusal_name(enum http_proxy_refusal why);

/* What a client of HTTP/2 sent too much of, and was disconnected for. */
enum http_flood {
    HTTP_FLOOD_RESET,        /* streams opened and reset */
    HTTP_FLOOD_CONTINUATION, /* a head in more pieces, or far longer, than it can need */
    HTTP_FLOOD_PING,
    HTTP_FLOOD_SETTINGS,
    HTTP_FLOOD_EMPTY, /* frames that carry nothing */
    HTTP_FLOOD_OTHER, /* window updates that no data is the cause of, priorities, unknown frames */
    HTTP_FLOODS
};

/* What a client, or all of them together, can have too much of. */
enum http_limit {
    HTTP_LIMIT_CONNECTIONS,         /* connections beyond --max-connections */
    HTTP_LIMIT_ADDRESS_CONNECTIONS, /* connections of a client's address */
    HTTP_LIMIT_SUBJECT_CONNECTIONS, /* streams on further connections of a token's subject */
    HTTP_LIMIT_SUBJECT_STREAMS,     /* streams of a token's subject */
    HTTP_LIMIT_TOPICS,              /* requests that name too many topics */
    HTTP_LIMIT_PUBLISH_RATE,        /* publishes */
    HTTP_LIMIT_ACCEPT_RATE,         /* times that accepting waited */
    HTTP_LIMIT_FAILED_TOKENS,       /* requests whose token was not looked at */
    HTTP_LIMITS
};

/* As metrics and the log call it. Static storage. */
const char *http_limit_name(enum http_limit limit);

/* What was beyond a limit. Any thread writes, by http_limit_reached() alone. */
struct http_limit_metrics {
    metric reached[HTTP_LIMITS];
};

static inline void http_limit_reached(struct http_limit_metrics *m, enum http_limit limit) {
    atomic_fetch_add_explicit(&m->reached[limit], 1, memory_order_relaxed);
}

/* A certificate that clients are shown, for the metrics page. */
struct http_certificate {
    char name[64]; /* a host that it is for, as far as it fits; of letters, digits and .*:_- */
    int64_t not_after_s; /* since 1970 */
};

struct http_metrics {
    metric connections;
    metric accepted;
    metric accept_paused; /* times that accepting was paused: descriptors short, or far too many
                             connections */
    metric requests;
    metric refused_full; /* streams rejected: connection limit */
    metric refused_draining;
    metric refused_limit; /* a limit of the client's address or subject */
    metric denied[HTTP_DENIALS];
    metric proxy_refused[HTTP_PROXY_REFUSALS];
    metric tls_connections;
    metric tls_handshakes[2]; /* whole ones; those that took up an earlier session */
    metric tls_failures[HTTP_TLS_FAILURES];
    metric ends[HUB_ENDS]; /* streams ended, by reason */
    metric h2_connections; /* of the connections, those that speak HTTP/2 */
    metric h2_streams;     /* open on them, whatever they are for */
    metric floods[HTTP_FLOODS];
};

#endif
