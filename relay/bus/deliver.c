/* Events and gaps to the workers; see deliver.h. */
#include "relay/bus/deliver.h"

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/bus/core_state.h"
#include "relay/bus/message.h"

enum { LOG_EVERY_MS = 1000 };

static void notify_gap(struct bus_topic *t, unsigned worker, unsigned reasons) {
    struct bus_gap *gap = bus_gap_new(t->name, t->name_len, reasons);
    queue_push_control(t->domain->bus->options.inboxes[worker], &gap->base.node);
}

void notify_gap_to_all(struct bus_topic *t, unsigned reasons) {
    for (unsigned w = 0; w < t->domain->bus->options.workers; w++)
        if (t->interests[w].formats != 0)
            notify_gap(t, w, reasons);
}

void notify_missed_to_all(struct bus_topic *t, const struct event_id *id) {
    for (unsigned w = 0; w < t->domain->bus->options.workers; w++) {
        if (t->interests[w].formats == 0)
            continue;
        struct bus_gap *gap = bus_gap_new(t->name, t->name_len, 0);
        gap->missed.at = *id;
        queue_push_control(t->domain->bus->options.inboxes[w], &gap->base.node);
    }
}

void deliver_resumed(struct bus_topic *t, unsigned worker) {
    t->interests[worker].gap_notified = false;
}

/* The queue of a worker that does not keep up is full: the event is dropped for it, and a mark at
 * the tail of its queue tells its subscribers in their order. */
static void overflow(struct bus_topic *t, unsigned worker, bool live) {
    struct bus *bus = t->domain->bus;
    uint64_t suppressed;
    metric_add(&bus->metrics->events_dropped, 1);
    if (log_limit_pass(&bus->overflow_log, clock_mono_ms(), LOG_EVERY_MS, &suppressed))
        log_warn("a worker does not keep up; events are dropped and subscribers told",
                 "worker=%u topic=%s suppressed=%llu", worker, t->name,
                 (unsigned long long)suppressed);
    struct topic_interest *i = &t->interests[worker];
    uint64_t takes = queue_takes(bus->options.inboxes[worker]);
    unsigned reasons = live ? RESET_LIVE : 0;
    if (i->gap_notified && i->gap_takes == takes && (i->gap_reasons & reasons) == reasons)
        return;
    i->gap_notified = true;
    i->gap_takes = takes;
    i->gap_reasons = reasons;
    notify_gap(t, worker, reasons);
}

void deliver_event(struct bus_topic *t, struct frame *frame, const struct event_id *id) {
    struct bus *bus = t->domain->bus;
    uint64_t now_us = clock_mono_us();
    for (unsigned w = 0; w < bus->options.workers; w++) {
        if (t->interests[w].formats == 0)
            continue;
        struct bus_event *e = bus_event_new(frame_ref(frame), t->name, t->name_len, now_us);
        e->durable = id != NULL;
        if (id != NULL)
            e->id = *id;
        if (queue_push(bus->options.inboxes[w], &e->base.node, frame_size(frame)) == RELAY_OK) {
            t->interests[w].gap_notified = false;
        } else {
            bus_event_unref(e);
            overflow(t, w, id == NULL);
        }
    }
    frame_unref(frame);
}
