/* A subscriber of the bus, as the hub has it: it takes the messages of one worker's inbox, keeps a
 * cursor, goes through replays, and checks all that comes.
 *
 * Every durable event's data is `<topic> <number>`, numbers from 0 and without a hole. Any of these
 * fails the test: an id that is not above the cursor, a number that is not the next of its topic
 * without a reset that told so, a slice above its bounds. One reader per worker at a time. */
#ifndef TESTS_LOOP_BUS_READER_H
#define TESTS_LOOP_BUS_READER_H

#include "tests/loop/bus/bus_world.h"

enum { SLICE_BYTES = 4 * 1024 }; /* a bound of slices that is soon reached */

enum { READER_TOPICS = 32, READER_NAME_BYTES = 16 };

struct bus_reader {
    struct bus_world *world;
    unsigned worker;
    char topics[READER_TOPICS][READER_NAME_BYTES];
    size_t topics_len;
    struct cursor_request start;
    size_t limit_bytes; /* of a slice; 0: none */
    bool live;
    bool has_cursor;
    struct event_id cursor;
    uint64_t token;    /* of the step under way */
    uint64_t replayed; /* since it was last live */
    unsigned next[READER_TOPICS];
    bool any[READER_TOPICS]; /* whatever comes next is right: nothing came yet, or a reset did */
    unsigned resets[READER_TOPICS]; /* reasons that were told, ever */
    uint64_t events, slices, gaps;
};

/* Subscribe to @topics, by blanks, and ask for what is behind @start. NULL: from now on. */
void reader_start(struct bus_reader *r, struct bus_world *w, unsigned worker, const char *topics,
                  const struct cursor_request *start, size_t limit_bytes);
/* The same for one that has seen @cursor, and so the events before number @next of its first topic.
 */
void reader_start_behind(struct bus_reader *r, struct bus_world *w, unsigned worker,
                         const char *topics, const struct event_id *cursor, unsigned next,
                         size_t limit_bytes);
/* Unsubscribe. What is on its way is ignored by whoever reads the inbox next. */
void reader_stop(struct bus_reader *r);
/* The same reader comes back with its cursor to that worker, and knows what it has seen. */
void reader_return(struct bus_reader *r, unsigned worker);

/* Take one message, waiting for it. */
void reader_step(struct bus_reader *r);
void reader_until_live(struct bus_reader *r);
/* Until the event before number @next of topic @topic (its place in the list) was there. */
void reader_until(struct bus_reader *r, size_t topic, unsigned next);

/* The reasons that were told on any topic. */
unsigned reader_resets(const struct bus_reader *r);

/* Publish numbers @from up to @to to each of @topics, by blanks, in turn. Returns the last id. */
struct event_id publish_numbers(struct bus_world *w, const char *topics, unsigned from,
                                unsigned to);

/* Behind this event. */
struct cursor_request behind(const struct event_id *id);

#endif
