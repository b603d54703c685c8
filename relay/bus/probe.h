/* The probe: proof that what is published arrives (node.h: probe). The bus thread. */
#ifndef RELAY_BUS_PROBE_H
#define RELAY_BUS_PROBE_H

#include "relay/bus/node.h"

void probe_init(struct bus_node *n);
void probe_fini(struct bus_node *n);

/* Returns true once a second. */
bool probe_tick(struct bus_node *n, uint64_t now_ms);

/* At the end of each turn: send one that is due. */
void probe_turn(struct bus_node *n);

/* The subscription connection is new: subscribe to the probe's channel. Confirmed. Gone. */
void probe_subscribe(struct bus_node *n);
void probe_subscribed(struct bus_node *n);
void probe_lost(struct bus_node *n);

/* The script is ready, or is known not to be: do not wait for the next second. */
void probe_soon(struct bus_node *n);

bool probe_is_channel(const struct bus_node *n, const char *channel, size_t len);
void probe_received(struct bus_node *n, const char *nonce, size_t len);

#endif
