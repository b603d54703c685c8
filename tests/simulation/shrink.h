/* Making a failure small enough to be read. */
#ifndef TESTS_SIMULATION_SHRINK_H
#define TESTS_SIMULATION_SHRINK_H

#include "tests/simulation/world.h"

/* How a world ended, told by a process of its own, since the relay may abort in it. */
struct outcome {
    struct violation violation; /* of a process that died: rule "crash" */
    uint64_t steps;
};

void outcome_of(uint64_t seed, struct tape *tape, const struct settings *s, bool trace,
                struct outcome *out);

/* Drop actions from @tape, and take away from @s, for as long as the same rule is broken, at most
 * for @seconds. Returns how many worlds were run. */
unsigned shrink(uint64_t seed, struct tape *tape, struct settings *s, const char *rule,
                unsigned seconds);

#endif
