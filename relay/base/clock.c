/* Time; see clock.h. */
#include "relay/base/clock.h"

#include <time.h>
#include <uv.h>

uint64_t clock_mono_us(void) {
    return uv_hrtime() / 1000;
}

uint64_t clock_mono_ms(void) {
    return uv_hrtime() / 1000000;
}

uint64_t clock_wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
