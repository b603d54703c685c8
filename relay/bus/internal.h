/* What the files of the bus share; nobody else includes this. */
#ifndef RELAY_BUS_INTERNAL_H
#define RELAY_BUS_INTERNAL_H

#include <uthash.h>
#include <uv.h>

#include "relay/base/log.h"
#include "relay/base/wheel.h"
#include "relay/bus/bus.h"
#include "relay/bus/message.h"
#include "relay/redis/client.h"
#include "relay/redis/reply.h"

/* What one worker wants of a topic. */
struct bus_interest {
    uint64_t serial;    /* of its SUBSCRIBE, echoed in CONFIRMED */
    unsigned forms;     /* 0: nothing */
    bool gap_told;      /* a GAP is the last thing it was sent about this topic: */
    uint64_t gap_takes; /* while it has not taken that one, another would say nothing new */
};

enum bus_topic_state {
    BUS_TOPIC_WANTED, /* to be subscribed */
    BUS_TOPIC_ASKED,  /* SUBSCRIBE was sent on the present connection */
    BUS_TOPIC_CONFIRMED
};

/* A topic that some worker wants, or did until lately. */
struct bus_subscription {
    UT_hash_handle hh;
    enum bus_topic_state state;
    bool carried_live; /* a live event came since it was subscribed */
    bool lost;         /* it was confirmed on a connection that was lost */
    unsigned forms;    /* wanted by any worker */
    unsigned wanted;   /* workers that want it */
    struct bus *bus;
    struct bus_subscription *prev, *next; /* in bus->wanted, while WANTED */
    struct wheel_entry linger;
    size_t topic_len;
    char *topic;
    struct bus_interest interests[]; /* per worker */
};

/* The probe: a nonce through the publish path to the node's own channel. */
struct bus_probe {
    uv_timer_t timer;
    struct buf channel;
    uint64_t nonce;    /* the last one sent */
    uint64_t sent_us;  /* 0: none is on its way */
    bool subscribed;   /* Redis confirmed the channel on the present connection */
    uint64_t asked_us; /* when the channel was asked for on the present connection */
    struct log_limit refused_log;
};

struct bus {
    struct bus_options options;
    struct bus_figures *figures;
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t wakeup;
    struct queue requests;
    struct redis_client subscriber;
    struct redis_client publisher;
    struct redis_client reader;
    struct redis_conn_options connection;
    struct bus_subscription *subscriptions;
    struct bus_subscription *wanted; /* those that are WANTED */
    struct wheel wheel;              /* lingers */
    uv_timer_t tick;
    struct bus_probe probe;
    struct log_limit malformed_log;
    struct log_limit overflow_log;
    struct {
        bool has_been_up;         /* all connections were ready once */
        bool lasts;               /* at least one is not, and it was told */
        unsigned failed_attempts; /* of all connections, since it began */
        struct log_limit log;
    } outage;
    bool stopping;
};

/* subscriptions.c */
void subscriptions_request(struct bus *bus, const struct bus_subscribe *r);
void subscriptions_send(struct bus *bus); /* SUBSCRIBE what is WANTED, in batches */
void subscriptions_confirmed(struct bus *bus, const char *channel, size_t len);
void subscriptions_lost(struct bus *bus); /* the connection is gone */
void subscriptions_free(struct bus *bus);
void subscriptions_linger_over(struct wheel_entry *e, uint64_t now_ms, void *ctx);
struct bus_subscription *subscriptions_find(struct bus *bus, const char *channel, size_t len);

/* events.c */
/* Whatever comes on the subscription connection. */
void events_push(void *arg, const struct redisReply *reply);

/* publish.c */
void publish_request(struct bus *bus, struct bus_publish *p);

/* reader.c */
void reader_up(struct bus *bus); /* its connection is new */

/* probe.c */
void probe_start(struct bus *bus);
void probe_received(struct bus *bus, const char *nonce, size_t len);
void probe_subscribe(struct bus *bus); /* on a new subscription connection */
void probe_subscribed(struct bus *bus);
void probe_lost(struct bus *bus); /* the subscription connection is gone */
void probe_now(struct bus *bus);  /* a connection is new: do not wait for the next second */

#endif
