/* What was asked of the simulated Redis, and what it said, for test_redis.py. Nothing is written
 * where record_to is NULL. */
#ifndef TESTS_SIMULATION_RECORD_H
#define TESTS_SIMULATION_RECORD_H

#include <stdio.h>

#include "tests/simulation/world.h"

extern FILE *record_to;

void record_publish(const struct world *w, const struct publish *p, const struct published *out);
void record_read(struct world *w, const struct parcel *p);
void record_delete(const struct world *w, const char *kind, int topic); /* -1: none */
void record_trim(const struct world *w, unsigned topic, unsigned keep);
void record_world(const struct world *w);                  /* a new one, with an empty server */
void record_word(const struct world *w, const char *word); /* copy, failover, flush */

#endif
