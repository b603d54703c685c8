/* Durable publishes: the script of relay/wire/publish_script.h on the publishing connection
 * (node.h: script). The bus thread. */
#ifndef RELAY_BUS_SCRIPT_H
#define RELAY_BUS_SCRIPT_H

#include "relay/bus/message.h"
#include "relay/bus/node.h"

void script_init(struct bus_node *n);
void script_tick(struct bus_node *n, uint64_t now_ms);

/* The publishing connection is new, or gone. */
void script_up(struct bus_node *n);
void script_down(struct bus_node *n);

/* Ready, or Redis said why not. */
bool script_known(const struct bus_node *n);

/* A durable publish; it is answered by publish_done(). */
void script_publish(struct bus_node *n, struct bus_publish *p);

#endif
