/* What a server of Redis holds of the relay's keys, and what becomes of it: entries that are
 * trimmed, keys that die or are deleted, another process that takes over. */
#include <string.h>

#include "tests/simulation/record.h"
#include "tests/simulation/world.h"

static bool is_dead(const struct world *w, uint64_t dies_us) {
    return dies_us != 0 && w->scheduler.now_us >= dies_us;
}

void server_delete_log(struct world *w, unsigned topic) {
    struct topic_keys *k = &w->server.topics[topic];
    k->first = k->base = k->len;
    k->log_dies_us = 0;
    record_delete(w, "log", (int)topic);
}

unsigned server_first(struct world *w, unsigned topic) {
    struct topic_keys *k = &w->server.topics[topic];
    if (is_dead(w, k->log_dies_us))
        server_delete_log(w, topic);
    return k->first;
}

int server_last(struct world *w, unsigned topic) {
    struct topic_keys *k = &w->server.topics[topic];
    if (k->last != NO_EVENT && is_dead(w, k->last_dies_us))
        server_delete_last(w, topic);
    return k->last;
}

void server_delete_last(struct world *w, unsigned topic) {
    w->server.topics[topic].last = NO_EVENT;
    record_delete(w, "last", (int)topic);
}

/* Whole nodes of the stream, so that at least @keep entries are left. */
void server_trim(struct world *w, unsigned topic, unsigned keep) {
    struct topic_keys *k = &w->server.topics[topic];
    unsigned node = w->settings.node_entries;
    server_first(w, topic);
    while (k->first < k->len) {
        unsigned in_node = node - (k->first - k->base) % node;
        if (in_node > k->len - k->first)
            in_node = k->len - k->first;
        if (k->len - k->first - in_node < keep)
            break;
        k->first += in_node;
    }
}

static void copy_topic(struct topic_keys *to, const struct topic_keys *from) {
    memcpy(to, from, offsetof(struct topic_keys, events) + from->len * sizeof(from->events[0]));
}

void server_copy(struct server *to, const struct server *from) {
    to->run = from->run;
    to->clock = from->clock;
    for (unsigned t = 0; t < TOPICS_MAX; t++)
        copy_topic(&to->topics[t], &from->topics[t]);
}

static void mark(struct world *w, bool is_lost) {
    for (unsigned t = 0; t < TOPICS_MAX; t++)
        for (unsigned i = 0; i < w->server.topics[t].len; i++)
            w->events[w->server.topics[t].events[i]].is_lost = is_lost;
}

/* Events that it does not hold are lost; its epochs go on from what its clock was. */
void server_take_over(struct world *w, const struct server *from) {
    struct failover *f = &w->failovers[w->failovers_len];
    if (w->failovers_len < FAILOVERS_MAX)
        w->failovers_len++;
    else
        f = &w->failovers[FAILOVERS_MAX - 1];
    f->lost_epoch = w->server.clock.epoch;
    f->at_us = w->scheduler.now_us;
    for (unsigned t = 0; t < TOPICS_MAX; t++)
        for (unsigned i = 0; i < server_first(w, t); i++)
            w->events[w->server.topics[t].events[i]].was_gone = true;
    mark(w, true);
    server_copy(&w->server, from);
    mark(w, false);
    w->server.run = ++w->runs;
    const struct clock_state *c = &w->server.clock;
    f->kept = (struct event_id){.epoch = c->epoch, .ms = c->ms, .seq = c->seq};
    memcpy(f->kept.birth, c->birth, sizeof(c->birth));
    w->lineage++;
    check_lineage_changed(w);
}
