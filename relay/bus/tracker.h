/* What is known of the order of one topic's durable events, and what has to be done to know it.
 *
 * Pure: what arrives goes in (a message, a last id, a page, an answer that failed), what is to be
 * done comes out. It knows no connection, no time but what it is told, and allocates nothing; where
 * the events are is the business of topic_sync.c, which does what it says. The bus thread;
 * embedded; all zero is a topic of which nothing is known.
 *
 * A topic's life: UNKNOWN; READING, while its last id, its log and then a barrier on the
 * subscription connection are waited for, one after the other and never two at once; SYNCED, when
 * the top is the latest event and each later one arrives on the channel. A message that is not
 * linked to the top puts it back to READING, and a lost connection or another clock to UNKNOWN. */
#ifndef RELAY_BUS_TRACKER_H
#define RELAY_BUS_TRACKER_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/bus/domain_clock.h"

enum tracker_state { TRACKER_UNKNOWN, TRACKER_READING, TRACKER_SYNCED };

/* What the topic waits for. */
enum tracker_read {
    TRACKER_READ_NONE,
    TRACKER_READ_LAST,   /* its last id: tracker_last() */
    TRACKER_READ_NEWEST, /* its log's newest entry: tracker_newest() */
    TRACKER_READ_LOG,    /* what its log holds behind the top: tracker_page() */
    TRACKER_READ_BARRIER /* the subscription connection, to come as far: tracker_barrier() */
};

/* Private to tracker.c, but for reading. */
struct tracker {
    enum tracker_state state;
    enum tracker_read read;
    bool known;       /* the top was the latest once: what came behind it can be filled in */
    bool kept_lost;   /* a message that was to be kept could not: read again */
    bool rootless;    /* the top is a place and no event: one whose prev is below is linked to it */
    bool quarantined; /* an event ahead of the clock was quarantined since it was synced */
    bool is_doubted;  /* entries that were read may be of another clock */
    uint64_t asked_ms;    /* when the last id was asked for, monotonic */
    uint64_t sure_ms;     /* when the top was the latest for sure, monotonic */
    struct event_id goal; /* of READ_LOG: what was published, whether or not the log has it still;
                             of READ_NEWEST: the position when it was asked for */
};

/* What is to be done about the events that are held, before anything else. */
struct tracker_restart {
    bool due;           /* forget them; */
    struct event_id at; /* what is known begins behind this id */
    unsigned reasons; /* bits of enum reset_reason: subscribers are notified of a gap with these */
    bool vanished;    /* the topic's keys are gone before their time: evicted, or deleted by hand */
};

/* What comes next. */
struct tracker_step {
    enum tracker_read read; /* to be started; NONE: nothing */
    bool ask_clock; /* it may be another one: read it; then tracker_begin(), where none is read */
    bool clock_is_behind; /* read it, and then tracker_begin(): again and again, perhaps */
    bool synced;          /* from now on; deal with the messages that were kept */
    struct tracker_restart restart;
};

enum tracker_verdict {
    TRACKER_DUPLICATE, /* seen */
    TRACKER_KEEP,      /* keep it until the topic is synced, or say tracker_kept_lost() */
    TRACKER_GAP,     /* the same, and notify subscribers of a gap; the step says how it is filled */
    TRACKER_FOREIGN, /* the clock cannot have given it out, as far as is known: quarantine it */
    TRACKER_DELIVER  /* it is the new top: behind a restart, if one is due */
};

static inline bool tracker_is_synced(const struct tracker *t) {
    return t->state == TRACKER_SYNCED;
}

/* Whether tracker_begin() would help: nothing is under way. */
static inline bool tracker_is_idle(const struct tracker *t) {
    return t->state == TRACKER_UNKNOWN;
}

/* Nothing is certain any more, and whatever is under way means nothing: the subscription connection
 * is lost, the clock is another one, or a read failed. Subscribers were notified where it was
 * SYNCED. */
void tracker_forget(struct tracker *t);

/* Read what there is anew. @top: the latest event that is held. */
struct tracker_step tracker_begin(struct tracker *t, const struct domain_clock *clock,
                                  const struct event_id *top, uint64_t now_ms);

/* The last id that Redis knows, and else the id of the log's newest entry; NULL: there is none.
 * @kept: where the top was lost in a failover, the topic's latest event before, which was not;
 * NULL: not known. @now_ms: monotonic. @wall_ms: of day, by this node's clock. */
struct tracker_step tracker_last(struct tracker *t, const struct domain_clock *clock,
                                 const struct event_id *top, const struct event_id *kept,
                                 const struct event_id *last);
struct tracker_step tracker_newest(struct tracker *t, const struct domain_clock *clock,
                                   const struct event_id *top, const struct event_id *newest,
                                   const struct event_id *kept, uint64_t now_ms, uint64_t wall_ms);

/* A page of the log was added; @top is the latest by now. @more: it moved, and there may be more.
 *
 * An entry does not say of which clock it is. One with none before it may be the first of another,
 * born since the known one was read, and its id would be one that nobody gave out. So the clock is
 * read once more, behind the log, before the topic is synced. */
struct tracker_step tracker_page(struct tracker *t, const struct event_id *top, bool more);

/* The subscription connection has come as far as what was read. */
struct tracker_step tracker_barrier(struct tracker *t, const struct domain_clock *clock,
                                    const struct event_id *top, uint64_t now_ms);

/* A message with @id and @prev (domain_clock_zero(): its publisher knew of none before it).
 * @is_foreign: the clock cannot have given @id out. *@step is set. */
enum tracker_verdict tracker_message(struct tracker *t, const struct domain_clock *clock,
                                     const struct event_id *top, const struct event_id *id,
                                     const struct event_id *prev, bool is_foreign, uint64_t now_ms,
                                     struct tracker_step *step);

/* An entry of the log behind the top, before it is added as the new top: what its link asks for. */
struct tracker_restart tracker_entry(struct tracker *t, const struct domain_clock *clock,
                                     const struct event_id *top, const struct event_id *id,
                                     const struct event_id *prev, uint64_t now_ms);

/* A message that was to be kept could not be. */
void tracker_kept_lost(struct tracker *t);

/* An event of this topic that is ahead of the clock was quarantined. */
void tracker_quarantined(struct tracker *t);

/* Whether the last id has to be read again, so that it is never forgotten unseen: a topic that is
 * quiet for longer than the domain's memory. */
bool tracker_is_stale(const struct tracker *t, const struct domain_clock *clock, uint64_t now_ms);

#endif
