/* A topic that some worker of this node wants, or did until lately: what each file keeps of it.
 *
 * Each struct below is written by the files that its comment names, and by no other; whoever else
 * wants something of it calls them. The bus thread. */
#ifndef RELAY_BUS_TOPIC_H
#define RELAY_BUS_TOPIC_H

#include <uthash.h>

#include "relay/base/wheel.h"
#include "relay/bus/ring.h"
#include "relay/bus/tracker.h"

struct bus_domain;

/* What one worker wants of a topic (subscriptions.c), and what it was told (deliver.c). */
struct topic_interest {
    unsigned formats;     /* bit set of enum frame_format; 0: nothing */
    bool gap_notified;    /* a GAP is the last thing it was sent about this topic: */
    uint64_t gap_takes;   /* while it has not taken that one, another would say nothing new */
    unsigned gap_reasons; /* that it was told */
};

enum subscription_state {
    SUBSCRIPTION_WANTED, /* to be subscribed */
    SUBSCRIPTION_ASKED,  /* SUBSCRIBE was sent on the present connection */
    SUBSCRIPTION_CONFIRMED,
    SUBSCRIPTION_REFUSED /* Redis forbids its channel; asked for again later */
};

/* Its subscription on Redis: subscriptions.c. */
struct topic_subscription {
    enum subscription_state state;
    unsigned wanted;               /* workers that want it */
    struct bus_topic *prev, *next; /* in domain->wanted, while WANTED */
    struct wheel_entry timer;      /* nobody wants it: the end of its linger; REFUSED: ask again */
    struct batch *batch;           /* the SUBSCRIBE that it is in, while ASKED and under way */
    uint64_t ask_again_ms;         /* REFUSED: when it is asked for again, monotonic */
    bool alone;                    /* was in a batch that was refused: asked for by itself */
    unsigned refusals;             /* of it alone, in a row */
};

/* A durable message that came while its topic was being read. */
struct kept_message {
    struct kept_message *next, *prev;
    size_t len;
    char bytes[];
};

/* The reads that a topic may have under way, each at most once. */
enum topic_read_kind {
    TOPIC_READ_SYNC,   /* of its tracker: the last id, the log, the barrier */
    TOPIC_READ_EXTEND, /* of the log backwards, into the ring */
    TOPIC_READ_RETRY,  /* of a log that Redis refused to read: whether it does still */
    TOPIC_READS
};

/* Its durable events: topic_sync.c. */
struct topic_history {
    struct tracker tracker;
    struct ring ring;
    bool misses;               /* what is read behind the top was not delivered when it was due */
    bool extended;             /* as far back as its bytes allow, or the log goes */
    bool reaches_back;         /* the log holds nothing at or below the ring's floor */
    struct kept_message *kept; /* oldest first */
    size_t kept_bytes;
    uint64_t clock_asked_ms; /* when the topic made the bus ask for the clock, monotonic */
    struct topic_read *reads[TOPIC_READS]; /* NULL: none of this kind is under way */
};

/* The keys of a topic that are read; bits. */
enum topic_key { TOPIC_KEY_LAST = 1, TOPIC_KEY_LOG = 2 };

/* What is known of its keys: log_reader.c, unreadable.c. */
struct topic_keys {
    size_t log_bytes;        /* of the events that were read lately, */
    size_t log_entries;      /* which are so many */
    size_t log_latest;       /* bytes of one in what was read last; 0: nothing was read */
    size_t log_bound;        /* entries that may be asked for, by that; 0: not known */
    size_t log_largest;      /* bytes of its largest event, as far as is known */
    uint64_t log_refused_ms; /* when Redis refused to read the log, monotonic; 0: never */
    unsigned unreadable;     /* bit set of enum topic_key: Redis refuses to read them */
};

struct bus_topic {
    UT_hash_handle hh;
    struct bus_domain *domain;
    struct topic_subscription subscription;
    struct topic_history history;
    struct topic_keys keys;
    struct log_page *pages; /* log_pages.c: read, or being read, further back than the ring */
    unsigned formats;       /* subscriptions.c: wanted by any worker */
    bool carried_live;      /* inbound.c: a live event came since it was subscribed */
    size_t name_len;
    char *name;
    struct topic_interest interests[]; /* per worker */
};

static inline bool topic_is_synced(const struct bus_topic *t) {
    return tracker_is_synced(&t->history.tracker);
}

#endif
