/* The bus without its thread and its loop: what a simulation runs as well as bus.c.
 *
 * Requests go in, messages come out in the workers' inboxes (message.h); Redis is behind the
 * clients of relay/redis/, time behind relay/base/clock.h. So whoever provides those two runs the
 * whole bus. One thread. The order: new, start, then any of request, turn and tick, stop, and once
 * the clients are closed, free. */
#ifndef RELAY_BUS_CORE_H
#define RELAY_BUS_CORE_H

#include "relay/bus/bus_metrics.h"
#include "relay/bus/message.h"

struct bus_options;
struct uv_loop_s;

/* @metrics is borrowed until bus_core_free(). Never NULL. */
struct bus *bus_core_new(const struct bus_options *options, struct bus_metrics *metrics);

/* Start the connections on @loop. */
void bus_core_start(struct bus *bus, struct uv_loop_s *loop);

/* Handle a request of a worker and free it, unless it goes back. */
void bus_core_request(struct bus *bus, struct bus_request *r);

/* Behind everything that one turn of the loop brought: send and answer what is due. */
void bus_core_turn(struct bus *bus);

/* Every WHEEL_TICK_MS or so; @now_ms as clock_mono_ms(). */
void bus_core_tick(struct bus *bus, uint64_t now_ms);

/* Close the connections: outstanding publishes are answered RELAY_ECANCELED from the loop. */
void bus_core_stop(struct bus *bus);
void bus_core_free(struct bus *bus);

#endif
