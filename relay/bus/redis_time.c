/* Redis's clock; see redis_time.h. */
#include "relay/bus/redis_time.h"

#include <stdlib.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/bus/core_state.h"

enum {
    KEEP_MS = 60 * 1000
}; /* how long one answer serves: two clocks do not drift far meanwhile */

static bool parse(const redisReply *reply, uint64_t *ms) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return false;
    *ms = strtoull(reply->element[0]->str, NULL, 10) * 1000 +
          strtoull(reply->element[1]->str, NULL, 10) / 1000;
    return *ms > 0;
}

static void on_time(void *arg, int status, const struct redisReply *reply) {
    struct bus_node *n = arg;
    n->time.asked = false;
    n->bus->replays_due = true;
    if (status != RELAY_OK && status != RELAY_EREMOTE)
        return; /* the connection is gone; its return asks again */
    n->time.read_ms = clock_mono_ms();
    if (status != RELAY_OK || !parse(reply, &n->time.ms))
        n->time.ms = clock_wall_ms();
}

bool redis_time_now(struct bus_node *n, uint64_t *ms) {
    static const char *argv[] = {"TIME"};
    static const size_t argv_len[] = {4};
    uint64_t age_ms = clock_mono_ms() - n->time.read_ms;
    if (n->time.ms != 0 && age_ms < KEEP_MS) {
        *ms = n->time.ms + age_ms;
        return true;
    }
    if (!n->time.asked &&
        redis_client_command(&n->reader, 1, argv, argv_len, on_time, n) == RELAY_OK)
        n->time.asked = true;
    return false;
}
