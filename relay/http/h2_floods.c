/* Buckets of frames; see h2_floods.h. */
#include "relay/http/h2_floods.h"

enum { FRAME = 1000 };

/* A page of a browser that is closed resets all its streams at once; a proxy pings every few
 * seconds, and changes its settings hardly ever. */
static const struct {
    uint32_t burst;
    uint32_t per_second;
} limits[HTTP_FLOODS] = {
    [HTTP_FLOOD_RESET] = {500, 50}, [HTTP_FLOOD_CONTINUATION] = {H2_CONTINUATIONS_MAX, 0},
    [HTTP_FLOOD_PING] = {200, 20},  [HTTP_FLOOD_SETTINGS] = {50, 5},
    [HTTP_FLOOD_EMPTY] = {100, 10}, [HTTP_FLOOD_OTHER] = {2000, 200}};

bool h2_floods_pass(struct h2_floods *f, enum http_flood kind, uint64_t now_ms) {
    uint64_t back = (now_ms - f->buckets[kind].since_ms) * limits[kind].per_second * FRAME / 1000;
    uint32_t used = f->buckets[kind].used;
    used = back < used ? used - (uint32_t)back : 0;
    if (back > 0 || used == 0)
        f->buckets[kind].since_ms = now_ms;
    f->buckets[kind].used = used + FRAME;
    return f->buckets[kind].used <= limits[kind].burst * FRAME;
}

void h2_floods_allow(struct h2_floods *f, enum http_flood kind, uint32_t frames) {
    uint32_t used = f->buckets[kind].used;
    f->buckets[kind].used = used > frames * FRAME ? used - frames * FRAME : 0;
}
