/* Which topics are subscribed on Redis, and which workers want them (domain.h: topics, wanted;
 * topic.h: subscription). The bus thread. */
#ifndef RELAY_BUS_SUBSCRIPTIONS_H
#define RELAY_BUS_SUBSCRIPTIONS_H

#include "relay/bus/domain.h"
#include "relay/bus/message.h"

/* The topic of a name, or of a channel; NULL where nobody wants it, or did lately. */
struct bus_topic *topics_find(struct bus_domain *d, const char *topic, size_t len);
struct bus_topic *topics_find_channel(struct bus_domain *d, const char *channel, size_t len);

/* BUS_SUBSCRIBE and BUS_UNSUBSCRIBE. */
void subscriptions_request(struct bus_domain *d, const struct bus_subscribe *r);

/* SUBSCRIBE to what is wanted, in batches. */
void subscriptions_send(struct bus_domain *d);

/* Redis confirmed a channel; the connection is gone; a topic's timer is due. */
void subscriptions_confirmed(struct bus_domain *d, const char *channel, size_t len);
void subscriptions_lost(struct bus_domain *d);
void subscriptions_timer(struct wheel_entry *e, uint64_t now_ms, void *ctx);

void subscriptions_free(struct bus_domain *d);

#endif
