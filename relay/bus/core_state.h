/* The bus as a whole, for its own files: see core.h. */
#ifndef RELAY_BUS_CORE_STATE_H
#define RELAY_BUS_CORE_STATE_H

#include "relay/base/owner.h"
#include "relay/base/wheel.h"
#include "relay/bus/bus.h"
#include "relay/bus/domain.h"
#include "relay/bus/kicks.h"
#include "relay/bus/node.h"

/* Questions about subscribers: count.c. */
struct bus_counting {
    struct buf channel; /* that they come on */
    unsigned under_way;
};

struct bus {
    struct owner owner; /* the bus's thread */
    struct bus_options options;
    struct bus_metrics *metrics;
    struct bus_node node;     /* one, outside Cluster; so is the */
    struct bus_domain domain; /* domain */
    struct wheel wheel;       /* topics' timers */
    bool stopping;
    struct bus_counting count;
    struct bus_kicks kicks;

    struct waiting *waiting; /* replay.c: replays that wait for something, oldest first */
    bool replays_due;        /* anybody: something changed that they may have waited for */

    size_t ring_bytes; /* topic_sync.c: of all rings */

    struct log_page *idle_pages; /* log_pages.c: that nobody holds, the one idle longest first */
    size_t idle_page_bytes;
    size_t pages_count; /* all of them */

    struct log_limit malformed_log;  /* inbound.c */
    struct log_limit overflow_log;   /* deliver.c */
    struct log_limit refused_log;    /* subscriptions.c */
    struct log_limit unreadable_log; /* unreadable.c */
};

#endif
