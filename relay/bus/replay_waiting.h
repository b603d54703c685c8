/* A replay that waits on the bus: what replay.c and replay_start.c know of it. The bus thread. */
#ifndef RELAY_BUS_REPLAY_WAITING_H
#define RELAY_BUS_REPLAY_WAITING_H

#include "relay/bus/core_state.h"
#include "relay/bus/message.h"

/* A request that cannot be answered yet. */
struct waiting {
    struct waiting *next, *prev;
    struct bus *bus;
    struct bus_replay *request;
    uint64_t since_ms;     /* monotonic */
    uint64_t clock_wanted; /* a read of the clock with this number has to be done; 0: none */
    bool placed;           /* pos is set: where the replay goes on from */
    bool chosen; /* pos is a place of our own choice (since=, last=): what is missing between it */
    struct event_id chosen_at; /* and this, the position then, was not asked for */
    struct event_id pos;       /* before that, of last=: the position from which it looks back */
    unsigned reasons;          /* for all topics */
    struct log_page **pages;   /* held, one per topic or NULL; NULL: none was needed yet */
    bool sure;                 /* one that was waited for does not cover pos: wait for its own */
    size_t outstanding;        /* reads for last= under way */
    bool failed;               /* one failed: ask again when the connection is back */
    struct event_id *found;    /* by them */
    size_t found_len;
    bool stale; /* the clock is another one than when the outstanding reads were asked for */
    bool gone;  /* a topic was given up: free once nothing is outstanding */
};

/* replay_start.c: find out where the replay goes on from, if that can be told by now; w->placed
 * says whether it was. */
void replay_place(struct waiting *w);

/* The page of topic @i is not needed any more, or does not help; none is. */
void waiting_drop_page(struct waiting *w, size_t i);
void waiting_drop_pages(struct waiting *w);

/* Free it, which nobody waits for any more and which has no read outstanding. */
void waiting_free(struct waiting *w);

#endif
