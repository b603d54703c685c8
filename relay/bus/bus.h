/* The bus: the one thread that speaks to Redis and decides order.
 *
 * It owns the node's Redis connections: one for subscriptions, one for publishing, one for reading.
 * Workers ask through bus_requests() and are answered in their inboxes (message.h). A topic is
 * subscribed on Redis with its first subscriber in the node and unsubscribed, after a linger, with
 * its last. Each message is decoded once, encoded once in the formats that are wanted, and handed
 * to the workers concerned.
 *
 * start and stop are the main thread's; the metrics and bus_ready() any thread's. */
#ifndef RELAY_BUS_BUS_H
#define RELAY_BUS_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/base/queue.h"
#include "relay/bus/bus_metrics.h"
#include "relay/redis/url.h"

struct bus_thread; /* opaque */
struct bars;

struct bus_options {
    const struct redis_url *url; /* these three are borrowed until bus_stop() */
    const char *prefix;
    const char *node; /* this node's name: its probe channel and its name in CLIENT LIST */
    uint64_t redis_timeout_ms;
    uint64_t linger_ms;
    uint64_t
        history; /* events that a topic keeps, and for how long, where a publish does not say */
    uint64_t ttl_ms;
    uint64_t memory_ms;                       /* how long Redis knows a topic's last id */
    uint64_t replay_limit;                    /* events of one reconnect; 0: no limit */
    size_t ring_topic_bytes, ring_node_bytes; /* of recent events, per topic and in all */
    struct queue **inboxes;                   /* one per worker; they live until after bus_stop() */
    unsigned workers;
    bool allow_eviction; /* keep on with a server that evicts keys */
    struct bars *bars;   /* who may not come back yet; NULL: nobody can be kicked */
};

/* A sentence: what is wrong, and what to do. Static. */
const char *bus_unfit_text(enum bus_unfit unfit);

/* Whether durable events are refused for it by the relay itself. */
bool bus_unfit_is_final(enum bus_unfit unfit);

/* Start the thread. Never fails for Redis's sake: it keeps trying. Aborts, with a line in the log,
 * where no thread or loop can be had. */
struct bus_thread *bus_start(const struct bus_options *options, struct bus_metrics *metrics);

/* Where workers push their requests. Valid until bus_stop(). */
struct queue *bus_requests(struct bus_thread *bus);

/* End: outstanding publishes are answered RELAY_ECANCELED, the connections close, the thread is
 * joined, @bus is freed. No worker may push any more. */
void bus_stop(struct bus_thread *bus);

/* Whether events published now reach this node: a probe came back lately. When not, append to @why
 * what is the matter and what is being done. @metrics as passed to bus_start(). */
bool bus_ready(const struct bus_options *options, const struct bus_metrics *metrics,
               uint64_t now_ms, struct buf *why);

#endif
