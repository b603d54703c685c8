/* Whatever comes on the subscription connection. The bus thread. */
#ifndef RELAY_BUS_INBOUND_H
#define RELAY_BUS_INBOUND_H

struct bus;
struct redisReply;

void inbound_push(struct bus *bus, const struct redisReply *reply);

#endif
