/* A topic whose log and last id are deleted, or evicted, before their time.
 *
 * Nobody knows what was lost with them. But a stream that is live and got the topic's latest event
 * is on a node that knows that there was one. So it is told, by any reset that names the topic, and
 * before it gets an event that was published later. Who lacked an event then is owed nothing, nor
 * is anybody where a failover has lost events of the topic behind its latest: a node whose ring
 * does not hold both cannot tell that from a topic of which the failover left nothing. */
#include <string.h>

#include "tests/simulation/world.h"

static bool is_owed(const struct client *c, unsigned topic, unsigned latest) {
    return c->state == CLIENT_CONNECTED && c->is_live && (c->topics >> topic & 1) != 0 &&
           has_seen(c, latest) && !c->world->events[latest].is_silent;
}

static bool has_lost_tail(const struct world *w, unsigned topic, unsigned latest) {
    for (unsigned i = latest + 1; i < w->events_len; i++)
        if (w->events[i].topic == topic && w->events[i].is_lost)
            return true;
    return false;
}

void vanish(struct world *w, unsigned topic) {
    const struct topic_keys *k = &w->server.topics[topic];
    int latest = server_last(w, topic);
    if (latest == NO_EVENT || strcmp(w->events[latest].id.birth, w->server.clock.birth) != 0)
        return;
    const bool is_known = !has_lost_tail(w, topic, (unsigned)latest);
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *c = &w->clients[i];
        if (is_known && c->vanished[topic] == 0 && is_owed(c, topic, (unsigned)latest))
            c->vanished[topic] = (unsigned)latest + 1;
        c->excused[topic] = k->len;
        c->silent_owed[topic] = false;
        c->silent_due_us[topic] = 0;
    }
    server_delete_log(w, topic);
    server_delete_last(w, topic);
    w->keys_were_deleted = true;
}

void vanish_was_told(struct client *c, unsigned topics) {
    for (unsigned t = 0; t < TOPICS_MAX; t++)
        if ((topics >> t & 1) != 0)
            c->vanished[t] = 0;
}

/* Redis may have forgotten the topic meanwhile, with nothing lost. */
static bool is_old(const struct world *w, const struct sim_event *e) {
    uint64_t memory_ms = w->settings.memory_ms;
    return e->id.ms + memory_ms - memory_ms / 32 <= server_ms(w);
}

void vanish_expect_told(struct client *c, unsigned number) {
    struct world *w = c->world;
    const struct sim_event *e = &w->events[number];
    unsigned since = c->vanished[e->topic];
    if (since == 0 || number < since || e->is_lost || is_old(w, &w->events[since - 1]))
        return;
    violate(w, "untold",
            "client %u: log and last id of topic %c were deleted, and %s comes, and it was not "
            "told",
            c->index, 'a' + e->topic, e->id_text);
}
