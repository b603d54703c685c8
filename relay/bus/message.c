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
    e->count = received_us != 0;
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

struct bus_gap *bus_gap_new(const char *topic, size_t topic_len, unsigned reasons) {
    struct bus_gap *m = mem_zalloc(sizeof(*m) + topic_len);
    m->base.kind = BUS_GAP;
    m->reasons = reasons;
    m->topic_len = topic_len;
    memcpy(m->topic, topic, topic_len);
    return m;
}

struct bus_replayed *bus_replayed_new(uint64_t token, size_t resets_len) {
    struct bus_replayed *m = mem_zalloc(sizeof(*m) + resets_len);
    m->base.kind = BUS_REPLAYED;
    m->token = token;
    m->resets_len = resets_len;
    return m;
}

void bus_replayed_free(struct bus_replayed *m) {
    if (m->slice != NULL)
        bus_event_unref(m->slice);
    free(m);
}

struct bus_replay *bus_replay_new(size_t topics_len, size_t names_len) {
    struct bus_replay *r = mem_zalloc(sizeof(*r) + names_len);
    r->base.kind = BUS_REPLAY;
    r->topics_len = topics_len;
    r->names_len = names_len;
    return r;
}

struct bus_subscribe *bus_subscribe_new(enum bus_request_kind kind, const char *topic,
                                        size_t topic_len, unsigned formats) {
    struct bus_subscribe *r = mem_zalloc(sizeof(*r) + topic_len);
    r->base.kind = kind;
    r->formats = formats;
    r->topic_len = topic_len;
    memcpy(r->topic, topic, topic_len);
    return r;
}

void bus_publish_free(struct bus_publish *p) {
    free(p->envelope);
    free(p->topics);
    free(p->bytes);
    free(p->key);
    free(p->ids);
    free(p);
}
