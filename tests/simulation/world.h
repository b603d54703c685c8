/* The simulated world: everything that is not the relay, and what its files share.
 *
 * One thread, one world at a time, no real time, no real chance. The relay's own code runs in it
 * unchanged: the bus through bus/core.h, the hub through hub/hub.h. What it asks of the outside is
 * answered here: redis_client_*() by links.c, clock_*(), random_bytes() and mem_try() by seams.c,
 * malloc() by memory.c. README.md tells the whole. */
#ifndef TESTS_SIMULATION_WORLD_H
#define TESTS_SIMULATION_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/bus/bus.h"
#include "relay/bus/core.h"
#include "relay/bus/message.h"
#include "relay/hub/hub.h"
#include "relay/redis/client.h"
#include "relay/redis/reply.h"
#include "tests/simulation/scheduler.h"

enum {
    TOPICS_MAX = 4,
    NODES_MAX = 3,
    WORKERS_MAX = 3,
    CLIENTS_MAX = 10,
    EVENTS_MAX = 1536, /* of a world, on all its servers */
    NOTES_MAX = 48,
    FAILOVERS_MAX = 64,
    TEXT_MAX = 64,
    MS = 1000, /* times are in microseconds */
    SECOND = 1000 * 1000
};

enum { NO_EVENT = -1 };

/* ---- events that were published (events.c) ---- */

struct place {
    uint64_t ms, seq;
};

/* A reply of Redis for one entry of a log: an array of its id and its fields. */
struct entry_reply {
    redisReply array, id, fields, items[6];
    redisReply *elements[2], *field_elements[6];
    char place[44], epoch[24];
};

struct sim_event {
    struct event_id id;
    int prev; /* number of the event before it; NO_EVENT: `0` */
    uint8_t topic;
    bool foreign;     /* an entry that no script wrote: nobody is owed it */
    bool unreadable;  /* its JSON is none that a relay takes: that is to be told */
    bool is_lost;     /* the present server never gave it out */
    bool is_silent;   /* stored, and not announced */
    bool was_gone;    /* from the log of a server before the present one */
    uint32_t content; /* what its data says */
    uint32_t id_len;
    char id_text[TEXT_MAX];
    char *message; /* `sse1 <id> <prev> <json>` */
    uint32_t message_len, json_at;
    struct entry_reply *entry; /* NULL: nobody read it yet */
};

struct world;
int event_new(struct world *w, const struct sim_event *e, unsigned padding);
const struct redisReply *event_entry(struct world *w, unsigned number);
uint32_t put_id(char *out, const struct event_id *id);

/* Memory that lives as long as the world. */
void *arena_take(struct world *w, size_t size);

/* ---- Redis: what one server holds (server.c, script.c) ---- */

struct note {
    uint64_t epoch;
    struct place place;
};

struct clock_state {
    bool exists;
    char birth[ID_BIRTH_MAX_BYTES + 1];
    uint64_t epoch, ms, seq, memory_ms;
    unsigned run;
    unsigned notes_len;
    struct note notes[NOTES_MAX];
};

/* A topic's keys. The events from first on are in its log; those before it were trimmed. */
struct topic_keys {
    unsigned len, first, base; /* base: the first that the present stream ever held */
    uint64_t log_dies_us;      /* 0: never */
    int last;                  /* number of an event; NO_EVENT: the key is not there */
    uint64_t last_dies_us;
    uint16_t events[EVENTS_MAX]; /* their numbers, as they were published */
};

struct server {
    unsigned run; /* the process */
    struct clock_state clock;
    struct topic_keys topics[TOPICS_MAX];
};

/* One call of the script. */
struct publish {
    char birth[ID_BIRTH_MAX_BYTES + 1];
    unsigned run;
    uint64_t memory_ms, ttl_ms, history;
    unsigned topics_len;
    uint8_t topics[TOPICS_MAX];
    unsigned events_len;
    uint8_t event_topics[TOPICS_MAX * 4]; /* places in topics */
    uint32_t content;
    unsigned denied; /* bits of topics on whose channel the user may not publish */
    bool unreadable;
    unsigned padding; /* bytes that make it large */
};

struct published {
    const char *error; /* NULL: it was done */
    bool announced;
    unsigned count;
    uint16_t events[TOPICS_MAX * 4];
    struct event_id position; /* of a call without topics */
};

void server_publish(struct world *w, const struct publish *p, struct published *out);
unsigned server_first(struct world *w, unsigned topic); /* of its events, that the log has */
int server_last(struct world *w, unsigned topic);
void server_delete_log(struct world *w, unsigned topic);
void server_delete_last(struct world *w, unsigned topic);
void server_trim(struct world *w, unsigned topic, unsigned keep);
uint64_t server_ms(const struct world *w); /* its time of day */
void server_copy(struct server *to, const struct server *from);
void server_take_over(struct world *w, const struct server *from); /* another process */

/* ---- links: connections between a node and Redis (links.c, commands.c, replies.c) ---- */

enum parcel_kind {
    PARCEL_PING,
    PARCEL_NOTE,
    PARCEL_CLOCK,
    PARCEL_LAST,
    PARCEL_LOG,
    PARCEL_INFO,
    PARCEL_TIME,
    PARCEL_LOAD,
    PARCEL_SCRIPT,
    PARCEL_PUBLISH, /* plain, on a channel */
    PARCEL_SUBSCRIBE,
    PARCEL_UNSUBSCRIBE,
    PARCEL_MESSAGE,
    PARCEL_CONFIRM, /* of one channel */
    PARCEL_END      /* the server closed the connection */
};

/* Beside the numbers of topics: each node's own, and that of questions to all nodes. */
enum { PROBE_CHANNEL = TOPICS_MAX, COUNT_CHANNEL_NUMBER };

/* A command on its way there, then its answer on the way back; or a message. */
struct parcel {
    struct parcel *next;
    uint64_t due_us;
    uint8_t kind;
    uint8_t topic; /* or channel */
    bool backwards, unsubscribes;
    bool answers; /* a command waits for it */
    redis_reply_cb cb;
    void *arg;
    unsigned count, channels; /* entries asked for, or whether the role is; bits of channels */
    struct place low, high;   /* of a range of a log: low is not in it */
    const char *error;        /* the answer is this error */
    int event;                /* NO_EVENT: none */
    uint64_t number;          /* a nonce, or the answer's number */
    const char *bytes;        /* in the arena */
    uint32_t bytes_len;
    unsigned entries_len;
    uint16_t *entries;
    struct publish *publish;
    struct published *published;
    struct clock_state *clock;
};

struct lane {
    struct parcel *head, **tail;
    uint64_t last_us; /* when the last one arrives: none overtakes another */
    uint64_t held_until_us;
    struct timer timer;
};

enum link_role { LINK_SUBSCRIBER, LINK_PUBLISHER, LINK_READER, LINK_ROLES };
enum link_state { LINK_CLOSED, LINK_WAITING, LINK_CONNECTING, LINK_READY, LINK_ENDING };

struct node;

struct link {
    struct node *node;
    enum link_role role;
    enum link_state state;
    struct redis_client *client;
    struct lane to_server, to_node;
    unsigned channels; /* that the server has subscribed for it: bits */
    bool is_cut;       /* the server does not know it any more */
    size_t pending;
    uint64_t progress_us, ready_us;
    unsigned attempts, short_lives;
    bool useless, closes;
    int end_status;
    const char *end_why;
    struct timer timer;    /* the next change of its state */
    struct timer deadline; /* silence while an answer is outstanding */
    struct dice dice;
};

void link_init(struct link *l, struct node *n);
void link_forget(struct link *l); /* its node is gone: nothing is answered any more */
/* By the server. @at_once: what is on its way is lost. */
void link_kill(struct link *l, bool at_once);
void link_hold(struct link *l, bool to_node, uint64_t until_us);
void link_send(struct link *l, struct parcel *p); /* from the server */
void link_fail(struct link *l, int status, const char *why);
/* A message on a channel, to whoever is subscribed. Returns how many are. */
unsigned links_publish(struct world *w, unsigned channel, const struct node *of_probe,
                       const struct parcel *message);
void link_execute(struct link *l, struct parcel *p); /* commands.c: on the server */
void link_deliver(struct link *l, struct parcel *p); /* replies.c: to the relay's callbacks */
struct parcel *parcel_new(struct world *w, enum parcel_kind kind);
void parcel_free(struct world *w, struct parcel *p);

/* ---- nodes (node.c) ---- */

struct worker {
    struct node *node;
    unsigned index;
    struct queue inbox;
    struct hub *hub;
    struct hub_metrics metrics;
    struct timer turn, tick;
    uint64_t stalled_until_us;
};

struct node {
    struct world *world;
    unsigned index;
    bool alive;
    struct bus *bus;
    struct bus_options options;
    struct bus_metrics metrics;
    char name[16];
    struct link links[LINK_ROLES];
    struct worker workers[WORKERS_MAX];
    struct queue *inboxes[WORKERS_MAX];
    struct queue_node *requests, **requests_tail;
    struct timer wakeup, turn, tick;
    int64_t skew_ms;               /* its time of day */
    uint64_t unreachable_until_us; /* Redis, from here */
    uint64_t probe_sent_us, probe_nonce;
    bool probe_had_receiver, probe_confirmed;
    bool has_published;  /* a durable event through it was acknowledged, behind the faults */
    bool saw_replica;    /* the last that it heard of its server's role */
    uint64_t refused_us; /* when a subscription was refused last */
    struct dice dice;
};

void node_boot(struct node *n);
void node_wake(struct node *n); /* something came to its bus: a turn follows */
void node_halt(struct node *n); /* its clients lose their streams */
void worker_publish(struct worker *k, unsigned topics, bool durable);
void worker_touched(struct worker *k);

/* ---- clients (client.c), and what they are owed (check.c) ---- */

enum client_state { CLIENT_UNUSED, CLIENT_AWAY, CLIENT_CONNECTED };

struct client {
    struct stream stream; /* what the hub writes to */
    struct world *world;
    unsigned index;
    enum client_state state;
    bool is_leaving;   /* for good, at its next end */
    bool is_finishing; /* the server ends the stream */
    unsigned topics;   /* bits */
    enum frame_format format;
    struct worker *worker;
    struct subscriber *subscriber;
    struct timer timer; /* the next read of its socket, or its return */
    struct dice dice;
    /* the socket */
    char *received;
    unsigned received_len, received_cap, parsed;
    uint64_t read_every_us;
    unsigned read_bytes;
    uint64_t connected_us;
    /* what it knows */
    struct cursor_request start; /* of its first connection */
    char cursor_text[TEXT_MAX];  /* the last id that it saw; "": none */
    bool has_cursor;             /* the same, as far as it says what is owed */
    struct event_id cursor;
    bool is_live, since_birth;
    bool began;             /* it has read an id since it came without any */
    bool chooses;           /* with last= or since=, until it is live: of what there was when */
    struct event_id chosen; /* the relay chose, it is owed what the logs held */
    /* the block that is being read */
    uint32_t id_at, id_len, data_at, data_len, name_at, name_len;
    bool has_id, has_data, has_name;
    /* what it is owed: see check.c */
    uint32_t lineage;          /* next[] is of this one */
    uint32_t next[TOPICS_MAX]; /* in the topic's events: the first behind the cursor */
    uint32_t excused[TOPICS_MAX];
    uint32_t vanished[TOPICS_MAX]; /* be told before an event of at least this number; 0: nothing */
    uint32_t silent_told[TOPICS_MAX]; /* of what was not announced, or is unreadable, before this */
    bool silent_owed[TOPICS_MAX];
    uint64_t silent_due_us[TOPICS_MAX]; /* by then it is; 0: the relay cannot know of it yet */
    bool hole[TOPICS_MAX], limited[TOPICS_MAX], ghost[TOPICS_MAX];
    uint64_t seen[EVENTS_MAX / 64];
    struct {
        bool open;
        struct event_id id, before;
        bool has_id, had_cursor;
        unsigned topics[RESET_REASONS];
    } group; /* resets that were told at one moment */
    uint64_t durable, live, resets;
};

void client_arrive(struct client *c);
void client_cut(struct client *c); /* its connection is lost, and what was on its way with it */
void client_lose_node(struct client *c);
void client_leave(struct client *c);

void check_event(struct client *c, const char *id, uint32_t id_len, uint32_t content);
void check_live(struct client *c, const char *id, uint32_t id_len);
void check_reset(struct client *c, unsigned topics, unsigned reason, const char *id,
                 uint32_t id_len);
bool check_is_settled(struct client *c); /* has all there is, and is live */
void check_lineage_changed(struct world *w);
void check_connected(struct client *c);
void check_disconnected(struct client *c);
static inline bool has_seen(const struct client *c, unsigned number) {
    return (c->seen[number / 64] >> number % 64 & 1) != 0;
}

/* A topic's keys go before their time, and who is there is told (vanished.c). */
void vanish(struct world *w, unsigned topic);
void vanish_was_told(struct client *c, unsigned topics); /* bits; by any reset, or no more to be */
void vanish_expect_told(struct client *c, unsigned number); /* before it gets this event */
void check_reconnect(struct link *l); /* the relay gives up a connection that is in order */

/* ---- the tape: what happens, as the seed says (tape.c, actions.c) ---- */

enum action_kind {
    ACT_CLIENT,
    ACT_LEAVE,
    ACT_CUT,
    ACT_PUBLISH,
    ACT_PUBLISH_DENIED,
    ACT_POST,
    ACT_LIVE,
    ACT_HOLD,
    ACT_KILL_LINK,
    ACT_UNREACHABLE,
    ACT_STALL,
    ACT_KILL_NODE,
    ACT_START_NODE,
    ACT_RESTART,
    ACT_COPY,
    ACT_FAILOVER,
    ACT_DELETE_LOG,
    ACT_DELETE_LAST,
    ACT_EVICT,
    ACT_DELETE_CLOCK,
    ACT_FLUSH,
    ACT_TRIM,
    ACT_DENY_CHANNEL,
    ACT_DENY_KEYS,
    ACT_DENY_PING,
    ACT_LOADING,
    ACT_FORGET_SCRIPT,
    ACT_SHORT_MEMORY,
    ACT_MALFORMED,
    ACT_FOREIGN,
    ACT_VANISH,
    ACT_UNREADABLE,
    ACT_DEMOTE,
    ACT_KINDS
};

struct action {
    uint64_t at_us;
    uint8_t kind;
    uint32_t a, b, c; /* what they mean depends on the kind */
    uint64_t us;      /* for how long */
    bool dropped;     /* by the shrinker */
};

struct tape {
    struct action *actions;
    unsigned len, cap;
};

struct settings {
    unsigned nodes, workers, topics;
    uint64_t timeout_ms, linger_ms, ttl_ms, memory_ms, history;
    size_t ring_topic, ring_node, outbox;
    uint64_t replay_limit, max_age_ms;
    unsigned inbox_messages;
    unsigned node_entries; /* of a stream in Redis: it is trimmed by so many at once */
    uint64_t latency_us, jitter_us, tail_us;
    unsigned tail_one_in; /* parcels that take long; 0: none */
    bool calm;            /* no jitter at all */
    uint64_t length_us;
};

void tape_make(struct tape *tape, struct settings *s, uint64_t seed);
void tape_tell(const struct tape *tape, const struct settings *s); /* in words */
extern bool check_breaks;
/* Kinds, with commas between, that each tape has, or none has; false: one is no kind. */
bool tape_choose(const char *names, bool all);
void action_do(struct world *w, struct action *a);
void action_tell(const struct action *a, const struct settings *s, char *out, size_t size);

/* ---- the world (world.c) ---- */

struct violation {
    bool is;
    char rule[40]; /* a word for the kind */
    char text[400];
    uint64_t at_us;
};

struct world {
    struct scheduler scheduler;
    uint64_t seed;
    struct settings settings;
    struct tape *tape;
    unsigned next_action;
    struct timer action;
    struct server server, copy;
    bool has_copy;
    struct failover {
        struct event_id kept; /* the position of the server that took over */
        uint64_t lost_epoch;  /* of the one before it */
        uint64_t at_us;
    } failovers[FAILOVERS_MAX];
    unsigned failovers_len;
    unsigned runs, births;
    uint32_t lineage;
    uint32_t contents;
    uint64_t latest_epoch; /* that any server began since the last birth */
    bool script_is_known;
    uint64_t loading_until_us, ping_denied_until_us, memory_short_until_us;
    uint64_t replica_until_us; /* it is one, and was demoted */
    uint64_t channel_denied_until_us[TOPICS_MAX], keys_denied_until_us[TOPICS_MAX];
    uint64_t hidden_us[TOPICS_MAX]; /* the longest fault that may keep a node from seeing a topic */
    bool keys_were_deleted;         /* by hand, or evicted */
    bool memory_was_short;
    bool live_published[TOPICS_MAX];
    struct sim_event events[EVENTS_MAX];
    unsigned events_len;
    struct node nodes[NODES_MAX];
    struct client clients[CLIENTS_MAX];
    struct parcel *free_parcels;
    struct dice memory_dice;
    bool quiesced; /* faults have ended */
    bool trace;    /* tell each thing that happens */
    struct violation violation;
    uint64_t steps;
    char *arena;
    size_t arena_used, arena_cap;
};

extern struct world *sim; /* the present one: the relay's seams have no argument to find it by */
extern struct node *sim_node; /* whose code runs */

/* Run the world of @seed with this tape. Returns whether all held. */
bool world_run(struct world *w, uint64_t seed, struct tape *tape, const struct settings *s,
               bool trace);
void violate(struct world *w, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define TRACE(w, ...)                                                                              \
    do {                                                                                           \
        if ((w)->trace)                                                                            \
            tell(__VA_ARGS__);                                                                     \
    } while (0)

/* ---- memory.c ---- */
size_t memory_blocks(void);  /* that the relay holds now */
bool memory_is_intact(void); /* nothing was written into memory that was freed */

#endif
