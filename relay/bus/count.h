/* How many subscribers a topic has on this node, for whoever asks on the relays' common channel
 * (relay/wire/README.md: "How many subscribers a topic has"). The bus thread. */
#ifndef RELAY_BUS_COUNT_H
#define RELAY_BUS_COUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/bus/message.h"

struct bus;

void count_init(struct bus *bus);
void count_fini(struct bus *bus);

/* The subscription connection is new: subscribe to the channel of questions. A user who may not is
 * not asked. */
void count_subscribe(struct bus *bus);
bool count_is_channel(const struct bus *bus, const char *channel, size_t len);

/* A question came. What is none, and what comes while many are under way, is passed over. */
void count_asked(struct bus *bus, const char *text, size_t len);

/* A worker has added its subscribers: the next one is asked, or the answer published. Takes @c. */
void count_answered(struct bus *bus, struct bus_count *c);

#endif
