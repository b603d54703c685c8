/* Time, monotonic and of day.
 *
 * Rooms that hold logic (hub, wheel) take the time as a parameter; only the rooms at the edge call
 * these. Any thread. */
#ifndef RELAY_BASE_CLOCK_H
#define RELAY_BASE_CLOCK_H

#include <stdint.h>

/* Monotonic time, from an arbitrary start. */
uint64_t clock_mono_us(void);
uint64_t clock_mono_ms(void);

/* Milliseconds since 1970-01-01 UTC. */
uint64_t clock_wall_ms(void);

#endif
