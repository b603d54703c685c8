/* How many events a second; see pace.h. */
#include "publisher-cli/input/pace.h"

enum { HELD_US = 50 * 1000 };

void pace_init(struct pace *p, double rate, uint64_t now_us) {
    double per_us = rate / 1e6;
    double most = per_us * (double)HELD_US;
    *p = (struct pace){.per_us = per_us, .tokens = 1, .most = most < 1 ? 1 : most, .us = now_us};
}

bool pace_take(struct pace *p, uint64_t now_us) {
    p->tokens += (double)(now_us - p->us) * p->per_us;
    p->us = now_us;
    if (p->tokens > p->most)
        p->tokens = p->most;
    if (p->tokens < 1)
        return false;
    p->tokens -= 1;
    return true;
}

uint64_t pace_wait_ms(const struct pace *p) {
    double us = (1 - p->tokens) / p->per_us;
    return us <= 0 ? 0 : (uint64_t)(us / 1000) + 1;
}
