/* Kicks, as relays hear of them: on their common channel, and at each new connection from the bars
 * that Redis keeps (relay/wire/README.md: "Kicks"). The bus thread.
 *
 * Without options.bars nothing of this happens: nobody is asked, and nobody kicked. */
#ifndef RELAY_BUS_KICKS_H
#define RELAY_BUS_KICKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/base/log.h"
#include "relay/bus/message.h"

struct bus;

/* One kick, from the message to the answers of all workers. */
struct kick_tally {
    struct kick_tally *next, *prev;
    unsigned left; /* workers that did not answer yet */
    uint64_t streams;
    enum kick_by by;
    uint64_t bar_ms; /* for the log */
    bool is_asked;   /* somebody waits for an answer; otherwise it was found among the bars */
    char answer_to[COUNT_ANSWER_TO_MAX_BYTES + 1];
    char name[KICK_NAME_MAX_BYTES + 1];
};

/* What is kept of them: kicks.c. */
struct bus_kicks {
    struct buf channel, key;
    struct kick_tally *under_way;
    size_t under_way_len;
    bool due;          /* the bars are to be read */
    bool is_read;      /* a read of them is under way */
    bool lifted;       /* one was lifted since that began: what it brings may be older */
    uint64_t retry_ms; /* when they are read again, monotonic; 0: it did not fail */
    struct log_limit refused_log, malformed_log, many_log;
};

void kicks_init(struct bus *bus);
void kicks_fini(struct bus *bus);

/* The subscription connection is new: subscribe to the channel. */
void kicks_subscribe(struct bus *bus);
bool kicks_is_channel(const struct bus *bus, const char *channel, size_t len);

/* It is subscribed: what was not heard until now is read. */
void kicks_subscribed(struct bus *bus);

/* A message came on it. */
void kicks_message(struct bus *bus, const char *text, size_t len);

/* A worker has ended its streams. Takes @k. */
void kicks_answered(struct bus *bus, struct bus_kick *k);

/* At the end of each turn of the loop; four times a second or so. */
void kicks_turn(struct bus *bus);
void kicks_tick(struct bus *bus, uint64_t now_ms);

#endif
