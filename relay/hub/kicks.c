/* Kicks: streams that end at once, since somebody said so.
 *
 * Those of a topic are found by it. For those of subjects and tokens all streams are looked at,
 * once in a turn for all kicks that came, since an index would cost each stream more memory than
 * what it is found by. */
#include <stdlib.h>

#include "relay/base/mem.h"
#include "relay/hub/internal.h"

/* ---- whom a stream is of ---- */

/* 0 stands for none. */
static uint64_t hash_of(const struct hub *hub, const char *name, size_t len) {
    uint64_t hash = len > 0 ? siphash64(&hub->topics_key, name, len) : 0;
    return hash == 0 && len > 0 ? 1 : hash;
}

struct hub_identity hub_identify(const struct hub *hub, const char *subject, size_t subject_len,
                                 const char *token, size_t token_len) {
    return (struct hub_identity){.subject = hash_of(hub, subject, subject_len),
                                 .token = hash_of(hub, token, token_len)};
}

/* ---- one stream ---- */

static void kick_stream(struct subscriber *s, struct bus_kick *k) {
    if (s->state == SUBSCRIBER_CLOSING)
        return;
    subscriber_end_now(s, HUB_END_KICKED);
    k->streams++;
}

static void kick_topic(struct hub *hub, struct bus_kick *k) {
    const struct hub_topic *t = topic_find(hub, k->name, k->name_len);
    for (uint32_t i = 0; t != NULL && i < t->len; i++)
        kick_stream(t->slots[i].subscriber, k);
}

/* ---- by subject and token ---- */

struct wanted {
    uint64_t hash;
    struct bus_kick *kick;
};

/* Those of one turn, in the order of their hashes. */
struct kicks {
    struct wanted *list;
    size_t len;
};

static int compare(const void *a, const void *b) {
    uint64_t x = ((const struct wanted *)a)->hash, y = ((const struct wanted *)b)->hash;
    return x < y ? -1 : x > y;
}

static struct kicks collect(struct hub *hub, enum kick_by by) {
    struct kicks kicks = {NULL, 0};
    size_t len = 0;
    for (const struct queue_node *n = hub->kicks; n != NULL; n = n->next)
        len++;
    kicks.list = mem_zalloc(len * sizeof(*kicks.list) + 1);
    for (struct queue_node *n = hub->kicks; n != NULL; n = n->next) {
        struct bus_kick *k = container_of(n, struct bus_kick, base.message.node);
        if (k->by == by)
            kicks.list[kicks.len++] = (struct wanted){hash_of(hub, k->name, k->name_len), k};
    }
    qsort(kicks.list, kicks.len, sizeof(*kicks.list), compare);
    return kicks;
}

static void kick_if_wanted(struct subscriber *s, const struct kicks *kicks, uint64_t hash) {
    struct wanted key = {.hash = hash};
    if (hash == 0 || kicks->len == 0)
        return;
    struct wanted *found = bsearch(&key, kicks->list, kicks->len, sizeof(key), compare);
    if (found != NULL)
        kick_stream(s, found->kick);
}

static void kick_identities(struct hub *hub) {
    struct kicks subjects = collect(hub, KICK_SUBJECT), tokens = collect(hub, KICK_TOKEN);
    bool any = subjects.len + tokens.len > 0;
    for (const struct hub_topic *t = hub->topics; t != NULL && any; t = t->hh.next)
        for (uint32_t i = 0; i < t->len; i++) {
            struct subscriber *s = t->slots[i].subscriber;
            if (t->slots[i].which != 0 || !s->has_identity) /* each subscriber once */
                continue;
            const struct hub_identity *of = subscriber_identity(s);
            kick_if_wanted(s, &subjects, of->subject);
            kick_if_wanted(s, &tokens, of->token);
        }
    free(subjects.list);
    free(tokens.list);
}

/* ---- all that came ---- */

void hub_kick(struct hub *hub, struct bus_kick *k) {
    k->base.message.node.next = hub->kicks;
    hub->kicks = &k->base.message.node;
}

static struct bus_kick *pop(struct hub *hub) {
    struct queue_node *node = hub->kicks;
    hub->kicks = node->next;
    return container_of(node, struct bus_kick, base.message.node);
}

void kicks_carry_out(struct hub *hub) {
    for (struct queue_node *n = hub->kicks; n != NULL; n = n->next) {
        struct bus_kick *k = container_of(n, struct bus_kick, base.message.node);
        if (k->by == KICK_TOPIC)
            kick_topic(hub, k);
    }
    kick_identities(hub);
    while (hub->kicks != NULL) {
        struct bus_kick *k = pop(hub);
        k->base.request.kind = BUS_KICKED;
        k->base.request.worker = hub->options.worker;
        hub->options.send(hub->options.send_ctx, &k->base.request);
    }
}

void kicks_free(struct hub *hub) {
    while (hub->kicks != NULL)
        free(pop(hub));
}
