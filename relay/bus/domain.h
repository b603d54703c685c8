/* A domain: the keyspace in which one clock orders ids, and the topics in it. Outside Cluster there
 * is one.
 *
 * As in topic.h, each part is written by the files that its comment names. The bus thread. */
#ifndef RELAY_BUS_DOMAIN_H
#define RELAY_BUS_DOMAIN_H

#include "relay/base/log.h"
#include "relay/base/siphash.h"
#include "relay/bus/domain_clock.h"
#include "relay/bus/topic.h"
#include "relay/redis/info.h"
#include "relay/wire/topic.h"

struct bus;
struct bus_node;

/* Reads of the clock, ever: clock_reader.c. */
struct clock_reads {
    uint64_t sent, done;
    bool asked;   /* by clock_reader_want(), in this turn */
    bool refused; /* the last one: ask again */
};

/* Messages that were put aside until the clock tells what they are. */
struct quarantined {
    uint64_t foreign;      /* of another birth or epoch */
    uint64_t ahead;        /* of ours, and ahead of the clock; */
    struct event_id first; /* the least of these */
};

/* quarantine.c */
struct quarantine {
    struct quarantined asked;   /* came before the read of the clock that tells was sent: */
    uint64_t read;              /* its number */
    struct quarantined unasked; /* came since */
    uint64_t asked_ms;          /* when the clock was asked for them last, monotonic */
    uint64_t unlogged;          /* foreign ones since the last line in the log */
    struct log_limit log;
    struct event_id latest; /* these two for the log */
    char topic[TOPIC_MAX_BYTES + 1];
};

/* What the lower files say to whoever put the domain together (core.c). */
struct domain_callbacks {
    /* A read of the clock was sent: its number is reads.sent. */
    void (*clock_asked)(struct bus_domain *d);
    /* The clock was read, and it is another one than before, or was not known: what was found out
     * with the old one means nothing. Called before the new one is in place. */
    void (*clock_changes)(struct bus_domain *d);
    /* The new one is in place; @changed: there was another before it. */
    void (*clock_known)(struct bus_domain *d, bool changed);
    /* The position has come to @position at least. */
    void (*position_moved)(struct bus_domain *d, const struct event_id *position);
    /* The position that a read brought counts: the subscription connection has come as far. */
    void (*position_settled)(struct bus_domain *d);
    /* Redis confirmed the topic's subscription. */
    void (*topic_confirmed)(struct bus_topic *t);
    /* The subscription connection is lost. */
    void (*topic_lost)(struct bus_topic *t);
    /* Nobody wants it any more: it is freed behind this. */
    void (*topic_gone)(struct bus_topic *t);
};

/* Keys that went before their time: clock_reader.c. */
struct evictions {
    bool due;                          /* the next read of the clock says up to where */
    char run_id[REDIS_INFO_VALUE_MAX]; /* the server that was heard of last, and how many keys it */
    uint64_t count;                    /* has evicted */
    char noted_run_id[REDIS_INFO_VALUE_MAX]; /* the same as the clock notes it */
    uint64_t noted_count;
};

struct bus_domain {
    struct bus *bus;
    struct bus_node *node; /* where its keys and channels are */
    const char *tag;       /* of its keys */
    const struct domain_callbacks *callbacks;
    struct domain_clock clock; /* clock_reader.c */
    struct clock_reads reads;
    struct evictions evictions;
    struct log_limit clock_log, evictions_log, epochs_log; /* clock_reader.c */
    struct quarantine quarantine;
    struct bus_topic *topics;      /* these three: subscriptions.c */
    struct siphash_key topics_key; /* clients choose the names */
    struct bus_topic *wanted;      /* those that are WANTED */
};

#endif
