/* The bus without its thread: its parts put together, the requests, and what comes of time. See
 * core.h.
 *
 * The parts know nothing of one another but downwards: what a lower one has to say to a higher one
 * it says by the callbacks here (node.h, domain.h). */
#include "relay/bus/core.h"

#include <stdlib.h>

#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/bus/clock_reader.h"
#include "relay/bus/core_state.h"
#include "relay/bus/count.h"
#include "relay/bus/deliver.h"
#include "relay/bus/inbound.h"
#include "relay/bus/kicks.h"
#include "relay/bus/log_pages.h"
#include "relay/bus/probe.h"
#include "relay/bus/publisher.h"
#include "relay/bus/quarantine.h"
#include "relay/bus/replay.h"
#include "relay/bus/script.h"
#include "relay/bus/server_info.h"
#include "relay/bus/subscriptions.h"
#include "relay/bus/topic_sync.h"
#include "relay/bus/unreadable.h"

/* ---- the connections ---- */

static void subscriber_up(struct bus_node *n) {
    probe_subscribe(n);
    count_subscribe(n->bus);
    kicks_subscribe(n->bus);
    subscriptions_send(&n->bus->domain);
}

static void subscriber_down(struct bus_node *n, bool was_ready) {
    struct bus_domain *d = &n->bus->domain;
    probe_lost(n);
    if (!was_ready)
        return;
    quarantine_forget(d);
    subscriptions_lost(d);
    /* What is read from now on must come from the server that we shall be subscribed to. */
    clock_reader_forget(d);
    redis_client_reconnect(&n->reader);
}

static void reader_up(struct bus_node *n) {
    server_info_reader_up(n);
    clock_reader_read(&n->bus->domain); /* topic_sync_resume() follows */
}

static void publisher_up(struct bus_node *n) {
    server_info_ask_role(n);
    script_up(n);
}

static void message(struct bus_node *n, const struct redisReply *push) {
    owner_check(&n->bus->owner);
    inbound_push(n->bus, push);
}

static void script_is_known(struct bus_node *n, const struct event_id *position) {
    if (position != NULL)
        clock_reader_compare(&n->bus->domain, position);
    probe_soon(n);
}

static void evicted(struct bus_node *n, const char *run_id, uint64_t count) {
    clock_reader_evicted(&n->bus->domain, run_id, count);
}

static const struct node_callbacks node_callbacks = {.subscriber_up = subscriber_up,
                                                     .subscriber_down = subscriber_down,
                                                     .publisher_up = publisher_up,
                                                     .publisher_down = script_down,
                                                     .reader_up = reader_up,
                                                     .message = message,
                                                     .script_known = script_is_known,
                                                     .evicted = evicted};

/* ---- the domain ---- */

static void clock_changes(struct bus_domain *d) {
    for (struct bus_topic *t = d->topics; t != NULL; t = t->hh.next)
        pages_forget(t);
    replay_restart(d->bus);
}

static void clock_known(struct bus_domain *d, bool changed) {
    if (!changed) {
        topic_sync_resume(d);
        return;
    }
    clock_reader_forget(d); /* another epoch or birth: everything is read anew, behind this */
    quarantine_forget(d);
    topic_sync_forget_all(d);
    clock_reader_read(d);
}

static void position_moved(struct bus_domain *d, const struct event_id *position) {
    if (quarantine_position(d, position))
        topic_sync_release(d);
}

static void topic_gone(struct bus_topic *t) {
    topic_sync_fini(t);
    pages_forget(t);
    unreadable_free(t);
}

static const struct domain_callbacks domain_callbacks = {.clock_asked = quarantine_asked,
                                                         .clock_changes = clock_changes,
                                                         .clock_known = clock_known,
                                                         .position_moved = position_moved,
                                                         .position_settled = quarantine_answered,
                                                         .topic_confirmed = topic_sync_begin,
                                                         .topic_lost = topic_sync_lost,
                                                         .topic_gone = topic_gone};

/* ---- life ---- */

struct bus *bus_core_new(const struct bus_options *options, struct bus_metrics *metrics) {
    struct bus *bus = mem_zalloc(sizeof(*bus));
    bus->options = *options;
    bus->metrics = metrics;
    bus->node.bus = bus;
    bus->domain = (struct bus_domain){
        .bus = bus, .node = &bus->node, .tag = "0", .callbacks = &domain_callbacks};
    wheel_init(&bus->wheel, clock_mono_ms());
    siphash_key_init(&bus->domain.topics_key);
    script_init(&bus->node);
    probe_init(&bus->node);
    count_init(bus);
    kicks_init(bus);
    return bus;
}

void bus_core_start(struct bus *bus, struct uv_loop_s *loop) {
    node_start(&bus->node, &node_callbacks, loop);
}

void bus_core_stop(struct bus *bus) {
    bus->stopping = true;
    node_close(&bus->node);
}

void bus_core_free(struct bus *bus) {
    replay_free_all(bus);
    subscriptions_free(&bus->domain);
    domain_clock_fini(&bus->domain.clock);
    probe_fini(&bus->node);
    count_fini(bus);
    kicks_fini(bus);
    free(bus);
}

/* ---- requests and time ---- */

void bus_core_request(struct bus *bus, struct bus_request *r) {
    owner_check(&bus->owner);
    switch (r->kind) {
    case BUS_SUBSCRIBE:
    case BUS_UNSUBSCRIBE:
        subscriptions_request(&bus->domain, (struct bus_subscribe *)r);
        free(r);
        break;
    case BUS_REPLAY:
        replay_request(bus, (struct bus_replay *)r);
        break;
    case BUS_PUBLISH:
        publish_request(bus, (struct bus_publish *)r);
        break;
    case BUS_COUNTED:
        count_answered(bus, (struct bus_count *)r);
        break;
    case BUS_KICKED:
        kicks_answered(bus, (struct bus_kick *)r);
        break;
    case BUS_STOP:
        bus_core_stop(bus);
        free(r);
        break;
    }
}

/* What the sockets and the queue brought is there. */
void bus_core_turn(struct bus *bus) {
    owner_check(&bus->owner);
    if (bus->stopping)
        return;
    subscriptions_send(&bus->domain);
    clock_reader_turn(&bus->domain);
    quarantine_turn(&bus->domain);
    replay_serve(bus);
    probe_turn(&bus->node);
    kicks_turn(bus);
}

void bus_core_tick(struct bus *bus, uint64_t now_ms) {
    owner_check(&bus->owner);
    if (bus->stopping)
        return;
    wheel_advance(&bus->wheel, now_ms, subscriptions_timer, bus);
    pages_expire(bus);
    replay_defer(bus);
    node_tick(&bus->node, now_ms);
    script_tick(&bus->node, now_ms);
    server_info_tick(&bus->node, now_ms);
    kicks_tick(bus, now_ms);
    if (probe_tick(&bus->node, now_ms))
        topic_sync_watch(&bus->domain);
}
