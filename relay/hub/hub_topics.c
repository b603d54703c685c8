/* A worker's topics: who subscribes to what, and what the bus was asked for. */
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "relay/hub/internal.h"

struct hub_topic *topic_find(struct hub *hub, const char *name, size_t len) {
    struct hub_topic *t;
    HASH_FIND_BYHASHVALUE(hh, hub->topics, name, len, siphash(&hub->topics_key, name, len), t);
    return t;
}

static struct hub_topic *topic_new(struct hub *hub, const struct hub_topic_name *name) {
    struct hub_topic *t = mem_zalloc(sizeof(*t) + name->len + 1);
    t->name_len = name->len;
    memcpy(t->name, name->name, name->len);
    unsigned hash = siphash(&hub->topics_key, t->name, t->name_len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, hub->topics, t->name, t->name_len, hash, t);
    metric_add(&hub->metrics->topics, 1);
    return t;
}

static void ask_bus(struct hub *hub, const struct hub_topic *t, enum bus_request_kind kind) {
    struct bus_subscribe *r = bus_subscribe_new(kind, t->name, t->name_len, t->formats_requested);
    r->base.worker = hub->options.worker;
    hub->options.send(hub->options.send_ctx, &r->base);
}

static void topic_free(struct hub *hub, struct hub_topic *t) {
    HASH_DEL(hub->topics, t);
    metric_sub(&hub->metrics->topics, 1);
    ask_bus(hub, t, BUS_UNSUBSCRIBE);
    free(t->slots);
    free(t);
}

/* Put subscription @which of @s into the topic's list; ask the bus where this format is new. */
void topic_join(struct hub *hub, const struct hub_topic_name *name, struct subscriber *s,
                uint32_t which) {
    struct hub_topic *t = topic_find(hub, name->name, name->len);
    if (t == NULL)
        t = topic_new(hub, name);
    if (t->len == t->cap) {
        t->cap = t->cap == 0 ? 2 : t->cap * 2;
        t->slots = mem_realloc(t->slots, t->cap * sizeof(*t->slots));
    }
    unsigned format = 1u << s->outbox.format;
    s->subscriptions[which] = (struct subscription){.topic = t, .slot = t->len};
    t->slots[t->len++] = (struct hub_slot){s, which};
    if ((t->formats_requested & format) == 0) {
        t->formats_requested |= format;
        ask_bus(hub, t, BUS_SUBSCRIBE);
    }
}

/* Take a subscription out: the last slot moves into its place. The topic goes with its last
 * subscriber. */
void topic_leave(struct hub *hub, struct subscription *sub) {
    struct hub_topic *t = sub->topic;
    struct hub_slot moved = t->slots[--t->len];
    t->slots[sub->slot] = moved;
    moved.subscriber->subscriptions[moved.which].slot = sub->slot;
    if (t->len == 0)
        topic_free(hub, t);
}
