/* What may happen, and how: each kind of action on the tape. */
#include <stdio.h>
#include <string.h>

#include "relay/base/mem.h"
#include "tests/simulation/record.h"
#include "tests/simulation/world.h"

static const char *const roles[LINK_ROLES] = {"subscription", "publishing", "reading"};

static struct node *node_of(struct world *w, uint32_t a) {
    return &w->nodes[a % w->settings.nodes];
}

static uint64_t until(const struct world *w, const struct action *a) {
    return w->scheduler.now_us + a->us;
}

/* ---- publishers ---- */

static unsigned topics_of(const struct settings *s, uint32_t bits) {
    unsigned topics = bits & ((1u << s->topics) - 1);
    return topics != 0 ? topics : 1u;
}

static void publish(struct world *w, enum action_kind kind, unsigned topics, unsigned count,
                    unsigned padding) {
    bool denied = kind == ACT_PUBLISH_DENIED;
    if (w->scheduler.now_us < w->replica_until_us)
        return; /* READONLY */
    struct publish p = {.run = w->server.run,
                        .memory_ms = w->settings.memory_ms,
                        .ttl_ms = w->settings.ttl_ms,
                        .history = w->settings.history,
                        .denied = denied ? ~0u : 0,
                        .unreadable = kind == ACT_UNREADABLE,
                        .padding = padding};
    struct published out;
    snprintf(p.birth, sizeof(p.birth), "b%u", ++w->births);
    for (uint8_t t = 0; t < w->settings.topics; t++)
        if ((topics >> t & 1) != 0) {
            p.event_topics[p.topics_len] = (uint8_t)p.topics_len;
            p.topics[p.topics_len++] = t;
        }
    p.events_len = p.topics_len;
    for (unsigned i = 0; i < count; i++) {
        p.content = ++w->contents;
        server_publish(w, &p, &out);
        if (out.error == NULL && out.count > 0)
            TRACE(w, "Redis: published %s, data %u%s", w->events[out.events[0]].id_text, p.content,
                  denied ? ", not announced" : "");
    }
}

static void publish_live(struct world *w, unsigned topic, bool malformed) {
    char *text = arena_take(w, 32);
    int len =
        malformed ? snprintf(text, 32, "sse1 x y {") : snprintf(text, 32, "L%u", ++w->contents);
    struct parcel message = {.kind = PARCEL_MESSAGE,
                             .topic = (uint8_t)topic,
                             .event = NO_EVENT,
                             .bytes = text,
                             .bytes_len = (uint32_t)len};
    w->live_published[topic] = w->live_published[topic] || !malformed;
    links_publish(w, topic, NULL, &message);
}

/* Somebody made an id up, or uses another database: of another birth, or of the future. */
static void publish_foreign(struct world *w, unsigned topic, uint32_t how) {
    struct event_id id = {.epoch = 1, .ms = server_ms(w), .seq = 0};
    snprintf(id.birth, sizeof(id.birth), "%s", how % 2 ? w->server.clock.birth : "foreign");
    if (id.birth[0] == '\0')
        return;
    if (how % 2) {
        id.epoch = w->server.clock.epoch;
        id.ms += 60 * 1000;
    }
    char *text = arena_take(w, 128), id_text[TEXT_MAX];
    put_id(id_text, &id);
    int len = snprintf(text, 128, "sse1 %s 0 {\"data\":\"0\"}", id_text);
    struct parcel message = {.kind = PARCEL_MESSAGE,
                             .topic = (uint8_t)topic,
                             .event = NO_EVENT,
                             .bytes = text,
                             .bytes_len = (uint32_t)len};
    links_publish(w, topic, NULL, &message);
}

static void post(struct world *w, const struct action *a) {
    struct node *n = node_of(w, a->a);
    if (n->alive)
        worker_publish(&n->workers[a->c % w->settings.workers], topics_of(&w->settings, a->b),
                       a->c % 4 != 0);
}

/* ---- clients ---- */

static void arrive(struct world *w, const struct action *a) {
    struct client *c = &w->clients[a->a % CLIENTS_MAX];
    const struct settings *s = &w->settings;
    if (c->state != CLIENT_UNUSED)
        return;
    struct dice dice;
    dice_init(&dice, w->seed, 1000 + a->a);
    uint64_t slow = s->calm ? 1 : dice_below(&dice, 4);
    struct client fresh = {.world = w, .index = c->index, .dice = c->dice};
    *c = fresh;
    c->topics = topics_of(s, a->b);
    c->format = (enum frame_format)dice_below(&dice, FRAME_FORMATS);
    c->received_cap = 2048 + (unsigned)s->outbox;
    c->read_every_us =
        slow == 0 ? 20 * MS + dice_below(&dice, 300 * MS) : 50 + dice_below(&dice, 300);
    c->read_bytes = slow == 0 ? 100 + (unsigned)dice_below(&dice, 2000) : c->received_cap;
    if (slow == 0)
        c->received_cap = 2048; /* never smaller than the largest block */
    switch (a->c % 8) {
    case 0:
        c->start.kind = CURSOR_LAST;
        c->start.last = 1 + dice_below(&dice, 20);
        break;
    case 1:
        c->start.kind = CURSOR_SINCE;
        c->start.since_ms = server_ms(w) - dice_below(&dice, 4000);
        break;
    default:
        c->start.kind = CURSOR_NONE;
        break;
    }
    client_arrive(c);
}

/* ---- Redis ---- */

/* Two servers that begin an epoch in the same second may give it the same number
 * (relay/wire/README.md says so): not here. */
static bool begins_new_second(const struct world *w, const struct server *s) {
    if (!s->clock.exists)
        return true;
    uint64_t born_ms = s->clock.notes[0].place.ms, now_ms = server_ms(w);
    return now_ms > born_ms && (now_ms - born_ms) / 1000 + 1 > w->latest_epoch;
}

static void take_over(struct world *w, const struct server *from, bool is_copy, bool at_once) {
    if (!begins_new_second(w, from))
        return;
    for (unsigned i = 0; i < w->settings.nodes; i++)
        for (unsigned r = 0; w->nodes[i].alive && r < LINK_ROLES; r++)
            link_kill(&w->nodes[i].links[r], at_once);
    server_take_over(w, from);
    record_word(w, is_copy ? "failover" : "restart");
    w->script_is_known = false;
}

static void restart(struct world *w, const struct action *a) {
    static struct server same;
    server_copy(&same, &w->server);
    take_over(w, &same, false, a->a % 2 != 0);
}

/* A copy that was made before: a replica that lacks the tail, or an old file. */
static void fail_over(struct world *w, const struct action *a) {
    static struct server copy;
    if (!w->has_copy)
        return;
    server_copy(&copy, &w->copy);
    take_over(w, &copy, true, a->a % 2 != 0);
}

static void copy(struct world *w) {
    server_copy(&w->copy, &w->server);
    w->has_copy = true;
    record_word(w, "copy");
}

static void delete_keys(struct world *w, unsigned topic, bool log, bool last) {
    if (log)
        server_delete_log(w, topic);
    if (last)
        server_delete_last(w, topic);
    w->keys_were_deleted = true;
}

/* Logs that reach to the present moment would pass for the next clock's: it is not deleted in the
 * very milliseconds of a publish. */
static void delete_clock(struct world *w) {
    if (w->server.clock.ms + 2 > server_ms(w))
        return;
    w->server.clock.exists = false;
    memset(&w->server.clock, 0, sizeof(w->server.clock));
    record_delete(w, "clock", -1);
    w->has_copy = false;
}

static void flush_all(struct world *w) {
    if (w->server.clock.ms + 2 > server_ms(w))
        return;
    for (unsigned t = 0; t < TOPICS_MAX; t++) {
        server_delete_log(w, t);
        server_delete_last(w, t);
    }
    delete_clock(w);
}

static void trim(struct world *w, const struct action *a) {
    unsigned topic = a->a % w->settings.topics, node = w->settings.node_entries;
    w->settings.node_entries = 1; /* XTRIM MAXLEN = */
    server_trim(w, topic, a->b % 8);
    record_trim(w, topic, a->b % 8);
    w->settings.node_entries = node;
}

/* ---- nodes and their connections ---- */

static struct link *link_named(struct world *w, const struct action *a) {
    return &node_of(w, a->a)->links[a->b % LINK_ROLES];
}

static void hold(struct world *w, const struct action *a) {
    if (node_of(w, a->a)->alive)
        link_hold(link_named(w, a), a->c % 2 != 0, until(w, a));
}

static void kill_link(struct world *w, const struct action *a) {
    if (node_of(w, a->a)->alive)
        link_kill(link_named(w, a), a->c % 2 != 0);
}

static void cut_off(struct world *w, const struct action *a) {
    struct node *n = node_of(w, a->a);
    n->unreachable_until_us = until(w, a);
    for (unsigned r = 0; n->alive && r < LINK_ROLES; r++)
        link_kill(&n->links[r], false);
}

static void stall(struct world *w, const struct action *a) {
    node_of(w, a->a)->workers[a->b % w->settings.workers].stalled_until_us = until(w, a);
}

static void start_node(struct world *w, const struct action *a) {
    if (!node_of(w, a->a)->alive)
        node_boot(node_of(w, a->a));
}

/* ---- doing it ---- */

/* What somebody does who publishes, or a client. Returns false where it is something else. */
static bool do_of_users(struct world *w, const struct action *a) {
    switch ((enum action_kind)a->kind) {
    case ACT_CLIENT:
        arrive(w, a);
        return true;
    case ACT_LEAVE:
        client_leave(&w->clients[a->a % CLIENTS_MAX]);
        return true;
    case ACT_CUT:
        client_cut(&w->clients[a->a % CLIENTS_MAX]);
        return true;
    case ACT_PUBLISH:
        publish(w, a->kind, topics_of(&w->settings, a->a), a->b, a->c);
        return true;
    case ACT_PUBLISH_DENIED:
    case ACT_UNREADABLE:
        publish(w, a->kind, topics_of(&w->settings, a->a), 1, 0);
        return true;
    case ACT_POST:
        post(w, a);
        return true;
    case ACT_LIVE:
    case ACT_MALFORMED:
        publish_live(w, a->a % w->settings.topics, a->kind == ACT_MALFORMED);
        return true;
    case ACT_FOREIGN:
        publish_foreign(w, a->a % w->settings.topics, a->b);
        return true;
    default:
        return false;
    }
}

/* What happens to a node or its connections; likewise. */
static bool do_of_nodes(struct world *w, const struct action *a) {
    switch ((enum action_kind)a->kind) {
    case ACT_HOLD:
        hold(w, a);
        return true;
    case ACT_KILL_LINK:
        kill_link(w, a);
        return true;
    case ACT_UNREACHABLE:
        cut_off(w, a);
        return true;
    case ACT_STALL:
        stall(w, a);
        return true;
    case ACT_KILL_NODE:
        node_halt(node_of(w, a->a));
        return true;
    case ACT_START_NODE:
        start_node(w, a);
        return true;
    case ACT_SHORT_MEMORY:
        w->memory_short_until_us = until(w, a);
        return true;
    default:
        return false;
    }
}

/* What Redis refuses for a while; likewise. */
static bool do_of_rights(struct world *w, const struct action *a) {
    unsigned topic = a->a % w->settings.topics;
    switch ((enum action_kind)a->kind) {
    case ACT_DENY_CHANNEL:
        w->channel_denied_until_us[topic] = until(w, a);
        return true;
    case ACT_DENY_KEYS:
        w->keys_denied_until_us[topic] = until(w, a);
        return true;
    case ACT_DENY_PING:
        w->ping_denied_until_us = until(w, a);
        return true;
    case ACT_LOADING:
        w->loading_until_us = until(w, a);
        return true;
    case ACT_DEMOTE:
        w->replica_until_us = until(w, a);
        return true;
    case ACT_FORGET_SCRIPT:
        w->script_is_known = false;
        return true;
    default:
        return false;
    }
}

static void do_of_servers(struct world *w, const struct action *a) {
    unsigned topic = a->a % w->settings.topics;
    switch ((enum action_kind)a->kind) {
    case ACT_RESTART:
        restart(w, a);
        break;
    case ACT_COPY:
        copy(w);
        break;
    case ACT_FAILOVER:
        fail_over(w, a);
        break;
    case ACT_DELETE_LOG:
    case ACT_DELETE_LAST:
    case ACT_EVICT:
        delete_keys(w, topic, a->kind != ACT_DELETE_LAST, a->kind != ACT_DELETE_LOG);
        break;
    case ACT_VANISH:
        vanish(w, topic);
        break;
    case ACT_DELETE_CLOCK:
        delete_clock(w);
        break;
    case ACT_FLUSH:
        flush_all(w);
        break;
    case ACT_TRIM:
        trim(w, a);
        break;
    default:
        break;
    }
}

/* For how long it may keep a node from seeing a topic: a channel that was forbidden is asked for
 * again after 10 s and more. */
static void note_hidden(struct world *w, const struct action *a) {
    bool denies = a->kind == ACT_DENY_CHANNEL || a->kind == ACT_DENY_KEYS;
    bool hides = denies || a->kind == ACT_HOLD || a->kind == ACT_UNREACHABLE ||
                 a->kind == ACT_LOADING || a->kind == ACT_DENY_PING;
    uint64_t us = a->kind == ACT_DENY_CHANNEL ? UINT64_MAX / 2 : a->us;
    for (unsigned t = 0; hides && t < w->settings.topics; t++)
        if ((!denies || t == a->a % w->settings.topics) && us > w->hidden_us[t])
            w->hidden_us[t] = us;
}

void action_do(struct world *w, struct action *a) {
    note_hidden(w, a);
    if (!do_of_users(w, a) && !do_of_nodes(w, a) && !do_of_rights(w, a))
        do_of_servers(w, a);
}

/* ---- in words ---- */

static const char *topics_text(const struct settings *s, uint32_t bits) {
    static char text[2 * TOPICS_MAX + 1];
    unsigned topics = topics_of(s, bits);
    char *at = text;
    for (unsigned t = 0; t < TOPICS_MAX; t++)
        if ((topics >> t & 1) != 0) {
            if (at != text)
                *at++ = ',';
            *at++ = (char)('a' + t);
        }
    *at = '\0';
    return text;
}

/* What somebody does who publishes, or a client. Returns false where it is something else. */
static bool tell_of_users(const struct action *a, const struct settings *s, char *out,
                          size_t size) {
    unsigned client = a->a % CLIENTS_MAX;
    unsigned node = a->a % s->nodes;
    char topic = (char)('a' + a->a % s->topics);
    switch ((enum action_kind)a->kind) {
    case ACT_CLIENT:
        snprintf(out, size, "client %u comes for topics %s%s", client, topics_text(s, a->b),
                 a->c % 8 == 0   ? ", last="
                 : a->c % 8 == 1 ? ", since="
                                 : "");
        return true;
    case ACT_LEAVE:
        snprintf(out, size, "client %u leaves for good", client);
        return true;
    case ACT_CUT:
        snprintf(out, size, "the connection of client %u is cut", client);
        return true;
    case ACT_PUBLISH:
        snprintf(out, size, "publish %u times to topics %s%s", a->b, topics_text(s, a->a),
                 a->c > 0 ? ", large events" : "");
        return true;
    case ACT_PUBLISH_DENIED:
        snprintf(out, size, "publish to topics %s by a user without their channels: stored only",
                 topics_text(s, a->a));
        return true;
    case ACT_UNREADABLE:
        snprintf(out, size, "publish an event to topics %s that no relay takes",
                 topics_text(s, a->a));
        return true;
    case ACT_POST:
        snprintf(out, size, "POST %s event to topics %s through node %u",
                 a->c % 4 != 0 ? "a durable" : "a live", topics_text(s, a->b), node);
        return true;
    case ACT_LIVE:
        snprintf(out, size, "a live event on topic %c", topic);
        return true;
    case ACT_MALFORMED:
        snprintf(out, size, "a malformed message on topic %c", topic);
        return true;
    case ACT_FOREIGN:
        snprintf(out, size, "a message on topic %c whose id is %s", topic,
                 a->b % 2 ? "of the future" : "of another clock");
        return true;
    default:
        return false;
    }
}

/* What happens to a node or its connections; likewise. */
static bool tell_of_nodes(const struct action *a, const struct settings *s, char *out,
                          size_t size) {
    unsigned node = a->a % s->nodes, role = a->b % LINK_ROLES;
    double ms = (double)a->us / MS;
    switch ((enum action_kind)a->kind) {
    case ACT_HOLD:
        snprintf(out, size, "node %u's %s connection: what goes %s is held back for %.0f ms", node,
                 roles[role], a->c % 2 != 0 ? "to the node" : "to Redis", ms);
        return true;
    case ACT_KILL_LINK:
        snprintf(out, size, "Redis closes node %u's %s connection%s", node, roles[role],
                 a->c % 2 != 0 ? ", what is on its way is lost" : "");
        return true;
    case ACT_UNREACHABLE:
        snprintf(out, size, "node %u cannot reach Redis for %.0f ms", node, ms);
        return true;
    case ACT_STALL:
        snprintf(out, size, "worker %u of node %u stands still for %.0f ms", a->b % s->workers,
                 node, ms);
        return true;
    case ACT_KILL_NODE:
        snprintf(out, size, "node %u is killed", node);
        return true;
    case ACT_START_NODE:
        snprintf(out, size, "node %u starts, where it was killed", node);
        return true;
    case ACT_SHORT_MEMORY:
        snprintf(out, size, "the nodes' memory is short for %.0f ms", ms);
        return true;
    default:
        return false;
    }
}

/* What Redis refuses for a while; likewise. */
static bool tell_of_rights(const struct action *a, const struct settings *s, char *out,
                           size_t size) {
    char topic = (char)('a' + a->a % s->topics);
    double ms = (double)a->us / MS;
    switch ((enum action_kind)a->kind) {
    case ACT_DENY_CHANNEL:
        snprintf(out, size, "the channel of topic %c is forbidden for %.0f ms", topic, ms);
        return true;
    case ACT_DENY_KEYS:
        snprintf(out, size, "the keys of topic %c are forbidden for %.0f ms", topic, ms);
        return true;
    case ACT_DENY_PING:
        snprintf(out, size, "PING is forbidden for %.0f ms", ms);
        return true;
    case ACT_DEMOTE:
        snprintf(out, size, "Redis is a replica for %.0f ms", ms);
        return true;
    case ACT_LOADING:
        snprintf(out, size, "Redis is loading for %.0f ms", ms);
        return true;
    case ACT_FORGET_SCRIPT:
        snprintf(out, size, "SCRIPT FLUSH");
        return true;
    default:
        return false;
    }
}

static void tell_of_servers(const struct action *a, const struct settings *s, char *out,
                            size_t size) {
    char topic = (char)('a' + a->a % s->topics);
    switch ((enum action_kind)a->kind) {
    case ACT_RESTART:
        snprintf(out, size, "Redis restarts with all it had");
        break;
    case ACT_COPY:
        snprintf(out, size, "a replica (or a file) has all that Redis has now");
        break;
    case ACT_FAILOVER:
        snprintf(out, size, "the replica takes over, without what came since");
        break;
    case ACT_DELETE_LOG:
        snprintf(out, size, "DEL of the log of topic %c", topic);
        break;
    case ACT_DELETE_LAST:
        snprintf(out, size, "DEL of the last id of topic %c", topic);
        break;
    case ACT_EVICT:
        snprintf(out, size, "log and last id of topic %c are evicted", topic);
        break;
    case ACT_VANISH:
        snprintf(out, size, "DEL of log and last id of topic %c at once", topic);
        break;
    case ACT_DELETE_CLOCK:
        snprintf(out, size, "DEL of the clock");
        break;
    case ACT_FLUSH:
        snprintf(out, size, "FLUSHALL");
        break;
    case ACT_TRIM:
        snprintf(out, size, "the log of topic %c is trimmed to %u", topic, a->b % 8);
        break;
    default:
        break;
    }
}

void action_tell(const struct action *a, const struct settings *s, char *out, size_t size) {
    if (!tell_of_users(a, s, out, size) && !tell_of_nodes(a, s, out, size) &&
        !tell_of_rights(a, s, out, size))
        tell_of_servers(a, s, out, size);
}
