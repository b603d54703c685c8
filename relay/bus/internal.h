/* What the files of the bus share; nobody else includes this. */
#ifndef RELAY_BUS_INTERNAL_H
#define RELAY_BUS_INTERNAL_H

#include <uthash.h>
#include <uv.h>

#include "relay/base/log.h"
#include "relay/base/siphash.h"
#include "relay/base/wheel.h"
#include "relay/bus/bus.h"
#include "relay/bus/message.h"
#include "relay/bus/place.h"
#include "relay/bus/ring.h"
#include "relay/redis/client.h"
#include "relay/redis/info.h"
#include "relay/redis/reply.h"
#include "relay/wire/envelope.h"

#define BUS_TAG "0" /* of keys: one domain, outside Cluster */

/* What one worker wants of a topic. */
struct bus_interest {
    unsigned forms;       /* bit set of enum frame_form; 0: nothing */
    bool gap_told;        /* a GAP is the last thing it was sent about this topic: */
    uint64_t gap_takes;   /* while it has not taken that one, another would say nothing new */
    unsigned gap_reasons; /* that it was told */
};

enum bus_topic_state {
    BUS_TOPIC_WANTED, /* to be subscribed */
    BUS_TOPIC_ASKED,  /* SUBSCRIBE was sent on the present connection */
    BUS_TOPIC_CONFIRMED,
    BUS_TOPIC_REFUSED /* Redis forbids its channel; asked for again later */
};

/* How much the bus knows of a topic's durable events. */
enum history_state {
    HISTORY_UNKNOWN, /* nothing may be said; to be read once the topic is confirmed and the clock
                        known */
    HISTORY_READING, /* its last id, or what is missing of its log, is being read */
    HISTORY_SYNCED   /* the ring's top is the topic's latest, and every later event arrives on the
                        channel */
};

/* A durable message that came while its topic was being read. */
struct pending_message {
    struct pending_message *next, *prev;
    size_t len;
    char bytes[];
};

/* A topic that some worker wants, or did until lately. */
struct bus_subscription {
    UT_hash_handle hh;
    enum bus_topic_state state;
    bool carried_live; /* a live event came since it was subscribed */
    unsigned forms;    /* wanted by any worker */
    unsigned wanted;   /* workers that want it */
    struct bus *bus;
    struct bus_subscription *prev, *next; /* in bus->wanted, while WANTED */
    struct wheel_entry timer; /* nobody wants it: the end of its linger; REFUSED: ask again */
    bool alone;               /* was in a batch that was refused: asked for by itself */
    unsigned refusals;        /* of it alone, in a row */
    enum history_state history;
    struct ring ring;
    bool known;    /* the ring's top was the latest once: what came behind it can be filled in */
    bool extended; /* as far back as its bytes allow, or the log goes */
    bool reaches_back;               /* the log holds nothing at or below the ring's floor */
    struct log_page *pages;          /* read, or being read, further back than the ring */
    size_t log_entries;              /* that fit in a reply, as far as is known; 0: nothing is */
    uint64_t log_refused_ms;         /* when Redis refused to read the log, loop time; 0: never */
    uint64_t clock_doubted_ms;       /* when it was asked whether the clock is older than the log */
    struct history_read *read;       /* under way for this topic; NULL: none */
    struct pending_message *pending; /* oldest first */
    size_t pending_bytes;
    bool pending_lost; /* some did not fit: what is missing has to be read again */
    bool doubted;      /* an event ahead of the clock was put aside since it was synced */
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

/* The publish script on the present publishing connection. */
struct bus_script {
    bool ready;                        /* durable events can be published */
    char run_id[REDIS_INFO_VALUE_MAX]; /* of the server; "": not known yet */
    char sha[PUBLISH_SHA_BYTES + 1]; /* "": it could not be loaded, so its text is sent each time */
    enum publish_error error;        /* why it is not ready; why is "" until something failed */
    char why[160];
    uv_timer_t retry; /* runs once something failed */
    struct rng rng;
};

/* Messages that were put aside until the clock tells what they are. */
struct doubted {
    uint64_t strange;      /* of another birth or epoch */
    uint64_t ahead;        /* of ours, and ahead of the clock; */
    struct event_id first; /* the least of these */
};

struct bus_doubt {
    struct doubted asked;   /* came before the read of the clock that tells was sent: */
    uint64_t read;          /* its number */
    struct doubted unasked; /* came since */
    uint64_t asked_ms;      /* when the clock was asked for them last, loop time */
    uint64_t unlogged;      /* foreign ones since the last line in the log */
    struct log_limit log;
    struct event_id latest; /* these two for the log */
    char topic[TOPIC_MAX_BYTES + 1];
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
    struct siphash_key subscriptions_key; /* clients choose the names */
    struct bus_subscription *wanted;      /* those that are WANTED */
    struct domain domain;
    struct waiting *waiting; /* replays that wait for something, oldest first */
    bool replays_due;        /* something changed that they may have waited for */
    bool clock_due;          /* the clock may be another one: read it once for this turn */
    uv_check_t turn;
    size_t ring_bytes;           /* of all rings */
    struct log_page *idle_pages; /* that nobody holds, the one that has been idle longest first */
    size_t idle_page_bytes;
    struct wheel wheel; /* topics' timers */
    uv_timer_t tick;
    struct bus_probe probe;
    struct bus_script script;
    struct bus_doubt doubt;
    struct log_limit malformed_log;
    struct log_limit overflow_log;
    struct log_limit refused_log;
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
void subscriptions_timer(struct wheel_entry *e, uint64_t now_ms, void *ctx);
struct bus_subscription *subscriptions_find(struct bus *bus, const char *channel, size_t len);
struct bus_subscription *subscriptions_find_topic(struct bus *bus, const char *topic, size_t len);
void subscriptions_tell_gap(struct bus_subscription *s, unsigned worker, unsigned reasons);
void subscriptions_tell_gap_to_all(struct bus_subscription *s, unsigned reasons);

/* clock.c */
void clock_read(struct bus *bus);
void clock_advance(struct bus *bus, const struct event_id *id); /* the position: at least @id */

/* doubt.c */
/* Whether the message is to be put aside: the clock, as it is known, cannot have given @id out. */
bool doubt_message(struct bus_subscription *s, const struct event_id *id);
void doubt_ask(struct bus *bus);   /* once a turn: read the clock where it has to tell */
void doubt_asked(struct bus *bus); /* a read of the clock was sent */
void doubt_position(struct bus *bus,
                    const struct event_id *position); /* the clock is the same, and as far */
void doubt_answered(struct bus *bus); /* a read is done, and the clock is the same */
void doubt_forget(struct bus *bus);   /* everything is read anew */

/* history.c */
void history_clock_known(
    struct bus *bus, const struct event_id *position); /* the script's answer on a new connection */
void history_restart(
    struct bus *bus); /* another epoch or birth, or another connection: read everything anew */
void history_resume(
    struct bus *bus); /* the reading connection, or the clock, is there: read what has to be read */
void history_watch(struct bus *bus); /* once a second: ask again for what was refused */
void history_begin(
    struct bus_subscription *s); /* read what there is anew: a topic was confirmed, say */
/* A durable message. Returns false where it was put aside, to be counted later (doubt.c). */
bool history_event(struct bus_subscription *s, const struct envelope *envelope,
                   const redisReply *message);
void history_extend(
    struct bus_subscription *s); /* read backwards into the ring, as far as it may grow */
void history_free(struct bus_subscription *s);
bool history_keep_within(struct bus_subscription *s); /* the bounds of rings */
void history_served(struct bus_subscription *s,
                    size_t before); /* a replay made frames; the ring had @before bytes */

/* logs.c: entries of a log, as XRANGE and XREVRANGE give them */
struct log_entry {
    struct event_id id, prev;
    const char *json; /* borrowed from the reply */
    size_t json_len;
};
bool log_entry_parse(const struct domain *d, const redisReply *reply, struct log_entry *out);
bool log_entry_place(const redisReply *reply, struct event_id *out); /* ms and seq, nothing else */
void log_entry_message(const struct log_entry *e, struct buf *out); /* as it stood on the channel */
/* How many to ask for, at most @most, so that the reply is not too large. */
size_t log_count(const struct bus_subscription *s, size_t most);
/* To be told of each answer to log_read(). */
void log_answered(struct bus_subscription *s, int status, const redisReply *reply);
/* Entries behind @from up to @to (backwards: from @to down, @from is not used). @to may be NULL: to
 * the end. RELAY_EAGAIN also for a second after Redis refused. */
int log_read(struct bus *bus, const struct bus_subscription *s, bool backwards,
             const struct event_id *from, const struct event_id *to, size_t count,
             redis_reply_cb cb, void *arg);

/* pages.c */
struct page_entry {
    struct event_id id;
    uint32_t ends[FRAME_FORMS]; /* of its body in each form, in page.bodies */
};

enum page_state { PAGE_READING, PAGE_READY };

/* A stretch of a topic's log: all events with from < id <= top. */
struct log_page {
    struct log_page *prev, *next;                   /* bus->idle_pages, while nobody holds it */
    struct log_page *of_topic_prev, *of_topic_next; /* topic->pages */
    struct bus *bus;
    struct bus_subscription *topic; /* NULL: forgotten, or it could not be read; nobody finds it */
    unsigned refs;
    enum page_state state;
    unsigned forms; /* that its events are encoded in */
    struct event_id from;
    struct event_id top;       /* while READING: as far as it may come at most */
    struct event_id linked_to; /* prev of its first event */
    struct page_entry *entries;
    size_t len, cap;
    size_t count;                   /* entries that were asked for */
    struct buf bodies[FRAME_FORMS]; /* the events, one behind the other */
    uint64_t idle_since_ms;         /* loop time */
};

/* A page that covers @pos, or, unless @sure, one under way that may; read now where there is none.
 * Held until page_put(). NULL: it cannot be read now; there is no connection, or Redis refused
 * lately. */
struct log_page *page_get(struct bus_subscription *s, const struct event_id *pos,
                          enum frame_form form, bool sure);
void page_put(struct log_page *p);
/* Ask for the page behind @p, which is being served, unless it is there. */
void page_read_ahead(struct log_page *p, enum frame_form form);
bool page_covers(const struct log_page *p, const struct event_id *pos); /* what lies behind it */
size_t page_find(const struct log_page *p, const struct event_id *pos); /* as ring_find() */
struct frame_slice page_body(const struct log_page *p, size_t i, enum frame_form form);
/* Whether something behind @pos is gone: the page's first event is not linked to it. */
bool page_misses(const struct log_page *p, const struct event_id *pos);
void pages_forget(struct bus_subscription *s);
void pages_expire(struct bus *bus); /* those that nobody held for a while */

/* replay.c */
void replay_request(struct bus *bus, struct bus_replay *r); /* takes it over */
void replay_serve(struct bus *bus);                         /* whoever can be answered now */
void replay_restart(struct bus *bus); /* the clock may be another one: place all anew */
void replay_free_all(struct bus *bus);

/* bus.c */
int bus_settle(struct bus *bus, redis_reply_cb cb,
               void *arg); /* @cb stands behind whatever was published up to now */

/* events.c */
/* Hand a frame to the workers that want it, and take it over. @id NULL: a live event. */
void events_hand_over(struct bus_subscription *s, struct frame *frame, const struct event_id *id);

/* Whatever comes on the subscription connection. */
void events_push(void *arg, const struct redisReply *reply);

/* publish.c */
void publish_request(struct bus *bus, struct bus_publish *p);
void publish_done(struct bus_publish *p, int status,
                  const char *why); /* answers; why may be NULL */

/* script.c */
void script_init(struct bus *bus);
void script_up(struct bus *bus); /* the publishing connection is new, or gone */
void script_down(struct bus *bus);
bool script_settled(const struct bus *bus); /* ready, or Redis said why not */
void script_publish(struct bus *bus, struct bus_publish *p);

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
