/* Publishing, durable and live. The bus thread. */
#ifndef RELAY_BUS_PUBLISHER_H
#define RELAY_BUS_PUBLISHER_H

#include "relay/bus/message.h"

/* Takes @p over; it goes back to its worker as BUS_PUBLISHED. */
void publish_request(struct bus *bus, struct bus_publish *p);

#endif
