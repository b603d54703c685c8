/* What server is at the other end, and whether it is fit: known by INFO (node.h: server).
 *
 * A replica is not: it takes no events, and what is published on it reaches nobody else. A server
 * that was demoted (FAILOVER, REPLICAOF) keeps its connections, so the role is asked for once a
 * second on the publishing connection, and a refusal READONLY says the same at once. That
 * connection is then made anew, and the name looked up again, until it finds a master; and then all
 * of them. Nor is a server fit that is too old, a Sentinel, or one that evicts keys, unless that is
 * allowed. What is not fit is not ready (bus_ready()), and the log says what to do. The bus thread.
 */
#ifndef RELAY_BUS_SERVER_INFO_H
#define RELAY_BUS_SERVER_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/bus/node.h"

/* The reading connection is new: ask for all. */
void server_info_reader_up(struct bus_node *n);

/* Ask for the role on the publishing connection: when it is new, and with each probe. */
void server_info_ask_role(struct bus_node *n);

/* Redis refused a write with READONLY. */
void server_info_readonly(struct bus_node *n);

void server_info_tick(struct bus_node *n, uint64_t now_ms);

/* Whether nothing durable may be published on this server; *@why: a sentence, static. */
bool server_info_refuses(const struct bus_node *n, const char **why);

#endif
