/* Making and freeing messages; see message.h. */
#include "relay/bus/message.h"

#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"

struct bus_event *bus_event_new(struct frame *frame, const char *topic, size_t topic_len,
                                uint64_t received_us) {
    struct bus_event *e = mem_zalloc(sizeof(*e) + topic_len);
    e->base.kind = BUS_EVENT;
    e->refs = 1;
    e->frame = frame;
    e->received_us = received_us;
    e->topic_len = (uint32_t)topic_len;
    if (topic_len > 0)
        memcpy(e->topic, topic, topic_len);
    return e;
}

void bus_event_free(struct bus_event *e) {
    frame_unref(e->frame);
    free(e);
}

struct bus_message *bus_lost_new(void) {
    struct bus_message *m = mem_zalloc(sizeof(*m));
    m->kind = BUS_LOST;
    return m;
}

struct bus_topic *bus_topic_new(enum bus_message_kind kind, const char *topic, size_t topic_len) {
    struct bus_topic *m = mem_zalloc(sizeof(*m) + topic_len);
    m->base.kind = kind;
    m->topic_len = topic_len;
    memcpy(m->topic, topic, topic_len);
    return m;
}

struct bus_subscribe *bus_subscribe_new(enum bus_request_kind kind, const char *topic,
                                        size_t topic_len, unsigned forms) {
    struct bus_subscribe *r = mem_zalloc(sizeof(*r) + topic_len);
    r->base.kind = kind;
    r->forms = forms;
    r->topic_len = topic_len;
    memcpy(r->topic, topic, topic_len);
    return r;
}

void bus_publish_free(struct bus_publish *p) {
    free(p->envelope);
    free(p->topics);
    free(p);
}
