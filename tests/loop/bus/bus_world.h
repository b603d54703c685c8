/* The bus with its thread and a real redis-server; the test is the workers.
 *
 * Each function that waits fails the test when it waits too long. start/stop: the test's thread. */
#ifndef TESTS_LOOP_BUS_WORLD_H
#define TESTS_LOOP_BUS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/bus/bus.h"
#include "relay/bus/message.h"
#include "relay/redis/url.h"
#include "tests/loop/bus/durable.h"
#include "tests/loop/redis/redis_server.h"

enum {
    BUS_WORKERS = 2,
    HOUR_MS = 3600 * 1000,
    TINY_BYTES = 8 * 1024, /* of a ring */
    DATA = 1 << FRAME_FORMAT_DATA,
    TOPIC = 1 << FRAME_FORMAT_TOPIC,
    JSON = 1 << FRAME_FORMAT_JSON
};

struct bus_world_options {
    uint64_t linger_ms;
    uint64_t redis_timeout_ms;                /* 0: long */
    size_t inbox_limit;                       /* of the first worker, in messages; 0: none */
    size_t ring_topic_bytes, ring_node_bytes; /* 0: large */
    uint64_t replay_limit;                    /* 0: none */
    uint64_t history;  /* of what the test's publisher publishes; 0: as it is by default */
    struct bars *bars; /* NULL: nobody can be kicked */
    bool unborn;       /* the domain has no clock before the bus gives it one */
};

/* Topics stay subscribed, and rings hold all; or rings hold some events each. */
extern const struct bus_world_options bus_plain, bus_tiny_rings;

struct bus_world {
    struct redis_server redis;
    struct redis_url url;
    struct bus_options options;
    struct bus_metrics metrics;
    struct bus_thread *bus; /* NULL once stopped */
    struct queue inboxes[BUS_WORKERS];
    struct queue *inbox_list[BUS_WORKERS];
    struct queue_node *taken[BUS_WORKERS]; /* from the inbox, and not looked at yet */
    bool skips_gaps;  /* worker_next() leaves them out: a new clock may come at any moment */
    uint64_t readers; /* that began (bus_reader.h): the tokens of each are its own */
    struct redisContext *cli;
    struct durable durable; /* a publisher; its calls began the clock */
    uint64_t history;       /* of its topics, as the options say */
};

/* Start Redis and the bus. The bus's connections may not be there yet. */
void bus_world_start(struct bus_world *w, const struct bus_world_options *options);
/* Stop both; whatever is left in the inboxes is freed. Returns how many PUBLISHED were. */
size_t bus_world_stop(struct bus_world *w);

/* ---- Redis ---- */

/* Run a command as redis-cli would, words apart by blanks; returns an integer reply's value, or 0.
 */
long long redis_do(struct bus_world *w, const char *format, ...);
/* PUBLISH @data on the channel of @topic. */
void redis_publish(struct bus_world *w, const char *topic, const char *data);
/* End Redis and start it again, with what SAVE saved; the publisher connects anew. */
void redis_fail_over(struct bus_world *w);
/* How often Redis executed @command since its start. */
long long redis_calls(struct bus_world *w, const char *command);
/* How often it read a log. */
long long redis_log_reads(struct bus_world *w);
/* How many connections are subscribed to the topic's channel. */
long long redis_subscribers(struct bus_world *w, const char *topic);

/* ---- a worker ---- */

void worker_subscribe(struct bus_world *w, unsigned worker, const char *topic, unsigned formats);
void worker_unsubscribe(struct bus_world *w, unsigned worker, const char *topic);
/* Ask for a step of a replay of these topics, by blanks; what is 0 here has a value that is in
 * nobody's way. */
struct worker_replay {
    uint64_t token;
    struct cursor_request start;
    size_t limit_bytes;
    uint64_t replayed;
    uint64_t patience_ms; /* 0: it is never deferred */
    enum frame_format format;
};
void worker_replay(struct bus_world *w, unsigned worker, const char *topics,
                   const struct worker_replay *replay);
/* Topics by blanks. */
void worker_publish(struct bus_world *w, unsigned worker, const char *topics, const char *data);

/* The next message of the inbox. The caller frees it (message_free()). */
struct bus_message *worker_next(struct bus_world *w, unsigned worker);
void message_free(struct bus_message *m);

/* Ask for a replay from now on, and expect its answer next: live, nothing missed. */
void expect_live(struct bus_world *w, unsigned worker, const char *topics);

/* The next message is this one. */
void expect_event(struct bus_world *w, unsigned worker, const char *topic, const char *data);
void expect_gap(struct bus_world *w, unsigned worker, const char *topic, unsigned reasons);
/* The caller frees it. */
struct bus_replayed *expect_replayed(struct bus_world *w, unsigned worker, uint64_t token);
int expect_published(struct bus_world *w, unsigned worker); /* its status */

/* Wait until a condition holds. */
#define UNTIL(condition)                                                                           \
    for (uint64_t end_ms_ = bus_world_deadline(); !(condition);)                                   \
    bus_world_pause(end_ms_, #condition)
uint64_t bus_world_deadline(void);
void bus_world_pause(uint64_t end_ms, const char *what);

/* Wait until @f is at least @value. */
void until_metric(const metric *f, uint64_t value);
/* Wait until bus_ready() says @ready. */
void until_ready(struct bus_world *w, bool ready);

#endif
