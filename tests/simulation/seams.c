/* What the relay asks of the system, answered by the simulated world: time, chance, and memory that
 * may be short. Each stands in place of the file of relay/base/ that defines it otherwise. */
#include <stdlib.h>

#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/base/random.h"
#include "tests/simulation/world.h"

/* 2023, so that times have eight digits in base 36 as those of today have. */
#define WALL_MS UINT64_C(1700000000000)

struct world *sim;
struct node *sim_node;

uint64_t clock_mono_us(void) {
    return sim->scheduler.now_us;
}

uint64_t clock_mono_ms(void) {
    return sim->scheduler.now_us / MS;
}

uint64_t clock_wall_ms(void) {
    int64_t skew_ms = sim_node != NULL ? sim_node->skew_ms : 0;
    return WALL_MS + sim->scheduler.now_us / MS + (uint64_t)skew_ms;
}

uint64_t server_ms(const struct world *w) {
    return WALL_MS + w->scheduler.now_us / MS;
}

void random_bytes(void *out, size_t len) {
    struct dice *dice = sim_node != NULL ? &sim_node->dice : &sim->memory_dice;
    for (size_t i = 0; i < len; i++)
        ((unsigned char *)out)[i] = (unsigned char)dice_next(dice);
}

void *mem_try(size_t size) {
    if (sim->scheduler.now_us < sim->memory_short_until_us && dice_one_in(&sim->memory_dice, 2)) {
        sim->memory_was_short = true;
        return NULL;
    }
    return malloc(size);
}
