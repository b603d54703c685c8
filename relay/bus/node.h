/* One Redis server: the three connections to it, and what is kept of each.
 *
 * One for subscriptions, one for publishing, one for reading, since a large answer on the last must
 * delay neither a message nor a publish. As in topic.h, each part is written by the files that its
 * comment names. The bus thread. */
#ifndef RELAY_BUS_NODE_H
#define RELAY_BUS_NODE_H

#include "relay/base/log.h"
#include "relay/base/rng.h"
#include "relay/bus/redis_time.h"
#include "relay/redis/client.h"
#include "relay/redis/info.h"
#include "relay/redis/reply.h"
#include "relay/redis/server.h"
#include "relay/wire/publish_script.h"

struct bus;
struct bus_node;
struct event_id;

/* The probe, a nonce through the publish path to the node's own channel: probe.c. */
struct bus_probe {
    uint64_t due_ms; /* when the next one is sent, monotonic */
    struct buf channel;
    uint64_t nonce;    /* the last one sent */
    uint64_t sent_us;  /* 0: none is on its way */
    bool subscribed;   /* Redis confirmed the channel on the present connection */
    bool due;          /* something changed: do not wait for the next second */
    uint64_t asked_us; /* when the channel was asked for on the present connection */
    struct log_limit refused_log, denied_log;
};

/* The publish script on the present publishing connection: script.c. */
struct bus_script {
    bool ready;                        /* durable events can be published */
    char run_id[REDIS_INFO_VALUE_MAX]; /* of the server; "": not known yet */
    char sha[PUBLISH_SHA_BYTES + 1]; /* "": it could not be loaded, so its text is sent each time */
    enum publish_error error;        /* why it is not ready; why is "" until something failed */
    char why[160];
    uint64_t retry_ms; /* when its set-up is tried again, monotonic; 0: it did not fail */
    struct rng rng;
};

/* What server is at the other end: server_info.c. */
struct node_server {
    struct redis_server_info info; /* as the reading connection told last */
    bool is_replica;               /* as the publishing connection told last */
    bool was_master, was_fit;      /* once */
    uint64_t look_due_ms;          /* when it is asked again, monotonic */
    struct log_limit log;
};

/* What the log tells as one incident: node.c. */
struct node_outage {
    bool has_been_up;         /* all connections were ready once */
    bool lasts;               /* at least one is not */
    bool is_told;             /* the log has a line about it */
    unsigned failed_attempts; /* of all connections, since it began */
    struct log_limit log;
    char why[128]; /* the reason that was told last */
};

/* Incidents that came close behind each other: node.c. */
struct node_flapping {
    uint64_t ends_ms; /* of the half minute that these are counted in, monotonic */
    unsigned told, untold;
    char why[128]; /* of the last one that was not told */
};

/* What happens to the connections, for core.c. */
struct node_callbacks {
    void (*subscriber_up)(struct bus_node *n);
    void (*subscriber_down)(struct bus_node *n, bool was_ready);
    void (*publisher_up)(struct bus_node *n);
    void (*publisher_down)(struct bus_node *n);
    void (*reader_up)(struct bus_node *n);
    void (*message)(struct bus_node *n, const struct redisReply *push);
    /* The script has looked at the clock over the publishing connection, and may have begun an
     * epoch: the clock's position. NULL: Redis refused, and says why. */
    void (*script_known)(struct bus_node *n, const struct event_id *position);
    /* The server with this run_id has evicted so many keys since it started. */
    void (*evicted)(struct bus_node *n, const char *run_id, uint64_t count);
};

struct bus_node {
    struct bus *bus;
    const struct node_callbacks *callbacks;
    struct redis_conn_options connection;
    struct redis_client subscriber;
    struct redis_client publisher;
    struct redis_client reader;
    struct bus_probe probe;
    struct bus_script script;
    struct node_server server;
    struct node_outage outage;
    struct node_flapping flapping;
    struct redis_time time;
    bool may_not_ping; /* node.c: the user has no right to PING */
};

/* n->bus is set. */
void node_start(struct bus_node *n, const struct node_callbacks *callbacks, struct uv_loop_s *loop);
void node_close(struct bus_node *n);

/* Four times a second or so. */
void node_tick(struct bus_node *n, uint64_t now_ms);

/* A barrier: the answer is behind whatever was published up to now and arrives on the subscription
 * connection. As redis_client_command(), but without a reply. */
int node_barrier(struct bus_node *n, redis_reply_cb cb, void *arg);

static inline bool node_can_read(const struct bus_node *n) {
    return n->reader.state == REDIS_CLIENT_READY;
}

#endif
