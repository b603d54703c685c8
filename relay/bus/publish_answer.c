/* What becomes of a publish goes back to its worker; see publish_answer.h. */
#include "relay/bus/publish_answer.h"

#include <stdio.h>

#include "relay/base/err.h"
#include "relay/bus/core_state.h"

void publish_note_failure(struct bus_publish *p, int status, const char *why) {
    if (p->status != RELAY_OK)
        return;
    p->status = status;
    snprintf(p->why, sizeof(p->why), "%s", why != NULL ? why : relay_strerror(status));
}

void publish_answer(struct bus_publish *p) {
    struct bus *bus = p->bus;
    unsigned worker = p->base.request.worker;
    metric_add(p->status == RELAY_OK ? &bus->metrics->published : &bus->metrics->publish_failed, 1);
    p->base.answer.kind = BUS_PUBLISHED;
    queue_push_control(bus->options.inboxes[worker], &p->base.answer.node);
}

void publish_done(struct bus_publish *p, int status, const char *why) {
    if (status != RELAY_OK)
        publish_note_failure(p, status, why);
    publish_answer(p);
}
