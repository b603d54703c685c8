/* A client as EventSource is one: it reads its stream as fast or as slowly as it can, holds the
 * last id that it saw, and when its connection ends it comes back, to any node, with that id.
 *
 * Between it and the hub there is a socket that holds so many bytes. What lies in it unread when
 * the connection is cut is lost: the hub has sent it, the client has not seen it. */
#include <string.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/wire/id.h"
#include "tests/simulation/world.h"

enum { IOV = 16 };

static const char names[TOPICS_MAX][2] = {"a", "b", "c", "d"};

/* ---- reading the stream ---- */

static bool starts(const char *p, size_t len, const char *word, size_t word_len) {
    return len >= word_len && memcmp(p, word, word_len) == 0;
}

/* The number behind the last `"` or space in front of digits: what the data says in any format. */
static uint32_t number_in(const char *p, uint32_t len, bool *live) {
    uint32_t i = 0, value = 0;
    if (len > 0 && p[0] == '{') { /* as=json: the last member is data */
        const char *at = memmem(p, len, ",\"data\":\"", 9);
        if (at == NULL)
            return 0;
        i = (uint32_t)(at - p) + 9;
    }
    *live = i < len && p[i] == 'L';
    for (i += *live; i < len && p[i] >= '0' && p[i] <= '9'; i++)
        value = value * 10 + (uint32_t)(p[i] - '0');
    return value;
}

/* {"topics":["a","b"],"reason":"trimmed"} */
static void read_reset(struct client *c, const char *p, uint32_t len, const char *id) {
    const char *end = memchr(p, ']', len), *reason = memmem(p, len, "\"reason\":\"", 10);
    unsigned topics = 0;
    for (const char *at = p; end != NULL && at + 2 < end; at++)
        if (at[0] == '"' && at[2] == '"' && at[1] >= 'a' && at[1] < 'a' + TOPICS_MAX)
            topics |= 1u << (at[1] - 'a');
    for (unsigned i = 0; reason != NULL && i < RESET_REASONS; i++)
        if (starts(reason + 10, len, reset_reason_name(i), strlen(reset_reason_name(i))))
            check_reset(c, topics, 1u << i, id, c->id_len);
}

static void end_of_block(struct client *c) {
    const char *id = c->has_id ? c->received + c->id_at : NULL;
    const char *data = c->received + c->data_at, *name = c->received + c->name_at;
    bool live = false;
    if (c->has_name && starts(name, c->name_len, "relay.", 6)) {
        if (starts(name, c->name_len, "relay.live", 10))
            check_live(c, id, c->id_len);
        else if (starts(name, c->name_len, "relay.reset", 11))
            read_reset(c, data, c->data_len, id);
    } else if (c->has_data) {
        uint32_t number = number_in(data, c->data_len, &live);
        if (id != NULL)
            check_event(c, id, c->id_len, number);
        else
            c->live++;
    }
    c->has_id = c->has_data = c->has_name = false;
}

static void line(struct client *c, uint32_t at, uint32_t len) {
    const char *p = c->received + at;
    if (len == 0) {
        end_of_block(c);
    } else if (starts(p, len, "id: ", 4)) {
        c->has_id = true;
        c->id_at = at + 4;
        c->id_len = len - 4;
    } else if (starts(p, len, "data: ", 6)) {
        c->has_data = true;
        c->data_at = at + 6;
        c->data_len = len - 6;
    } else if (starts(p, len, "event: ", 7)) {
        c->has_name = true;
        c->name_at = at + 7;
        c->name_len = len - 7;
    }
}

/* @limit bytes or a little more; what is there of a block whose end is not stays. */
static void parse(struct client *c, unsigned limit) {
    unsigned from = c->parsed, kept = 0, end = c->parsed + limit;
    while (from < end && from < c->received_len) {
        const char *lf = memchr(c->received + from, '\n', c->received_len - from);
        if (lf == NULL)
            break;
        unsigned next = (unsigned)(lf - c->received) + 1;
        line(c, from, next - 1 - from);
        if (next - 1 == from)
            kept = next;
        from = next;
    }
    c->parsed = from;
    if (kept == 0)
        return;
    memmove(c->received, c->received + kept, c->received_len - kept);
    c->received_len -= kept;
    c->parsed -= kept;
    c->id_at -= kept;
    c->data_at -= kept;
    c->name_at -= kept;
}

/* ---- the socket ---- */

static void read_later(struct client *c) {
    struct world *w = c->world;
    if (!timer_is_set(&c->timer))
        timer_set(&w->scheduler, &c->timer,
                  w->scheduler.now_us + (w->quiesced ? 200 : c->read_every_us));
}

static void detach(struct client *c) {
    sim_node = c->worker->node;
    hub_detach(c->subscriber);
    c->subscriber = NULL;
}

/* What the hub has, as far as the socket has room. */
static void fill(struct client *c) {
    struct iovec iov[IOV];
    while (c->subscriber != NULL && hub_unsent(c->subscriber) > 0 &&
           c->received_len < c->received_cap) {
        int n = hub_gather(c->subscriber, iov, IOV);
        unsigned taken = 0;
        for (int i = 0; i < n && c->received_len < c->received_cap; i++) {
            unsigned room = c->received_cap - c->received_len;
            unsigned len = iov[i].iov_len < room ? (unsigned)iov[i].iov_len : room;
            memcpy(c->received + c->received_len, iov[i].iov_base, len);
            c->received_len += len;
            taken += len;
        }
        hub_written(c->subscriber, taken);
    }
    if (c->received_len > c->parsed)
        read_later(c);
    if (c->is_finishing && c->subscriber != NULL && hub_unsent(c->subscriber) == 0) {
        detach(c);
        read_later(c); /* the end */
    }
}

static void on_flush(struct stream *s) {
    fill(container_of(s, struct client, stream));
}

static void on_finish(struct stream *s, enum hub_end why) {
    (void)why;
    container_of(s, struct client, stream)->is_finishing = true;
}

static const struct stream_ops ops = {on_flush, on_finish};

/* ---- connections ---- */

static void go_away(struct client *c) {
    struct world *w = c->world;
    check_disconnected(c);
    c->state = CLIENT_AWAY;
    c->is_finishing = false;
    c->received_len = c->parsed = 0;
    c->has_id = c->has_data = c->has_name = false;
    if (c->is_leaving) {
        c->state = CLIENT_UNUSED;
        timer_clear(&w->scheduler, &c->timer);
        return;
    }
    uint64_t wait_us = w->settings.calm ? 500 * MS : dice_below(&c->dice, 1500 * MS);
    if (!w->settings.calm && dice_one_in(&c->dice, 8))
        wait_us += dice_below(&c->dice, 8 * SECOND);
    else if (!w->settings.calm && dice_one_in(&c->dice, 2))
        wait_us = dice_below(&c->dice, 30 * MS);
    timer_set(&w->scheduler, &c->timer, w->scheduler.now_us + (w->quiesced ? 50 * MS : wait_us));
}

/* A socket is never smaller than the largest block, or the client could not read it at all. */
static void connect_to(struct client *c, struct worker *k) {
    struct hub_topic_name topics[TOPICS_MAX];
    size_t n = 0;
    struct world *w = c->world;
    for (unsigned t = 0; t < TOPICS_MAX; t++)
        if ((c->topics >> t & 1) != 0)
            topics[n++] = (struct hub_topic_name){names[t], 1};
    struct hub_subscription_spec spec = {.topics = topics,
                                         .topics_len = n,
                                         .format = c->format,
                                         .start = c->start,
                                         .opening = frame_raw(":\n\n", 3)};
    if (c->cursor_text[0] != '\0') {
        spec.start = (struct cursor_request){.kind = CURSOR_ID};
        if (id_parse(c->cursor_text, strlen(c->cursor_text), &spec.start.id) != RELAY_OK)
            spec.start.kind = CURSOR_BAD;
    }
    TRACE(w, "client %u connects to node %u worker %u, cursor %s", c->index, k->node->index,
          k->index, c->has_cursor ? c->cursor_text : "none");
    sim_node = k->node;
    c->worker = k;
    c->state = CLIENT_CONNECTED;
    c->connected_us = w->scheduler.now_us;
    c->is_live = false;
    c->stream.ops = &ops;
    check_connected(c);
    c->subscriber = hub_attach(k->hub, &spec, &c->stream, w->scheduler.now_us / MS);
    worker_touched(k);
}

static void come_back(struct client *c) {
    struct world *w = c->world;
    unsigned first = (unsigned)dice_below(&c->dice, w->settings.nodes);
    struct node *n = &w->nodes[first];
    for (unsigned i = 0; i < w->settings.nodes && !n->alive; i++)
        n = &w->nodes[(first + i) % w->settings.nodes];
    if (!n->alive) {
        timer_set(&w->scheduler, &c->timer, w->scheduler.now_us + 500 * MS);
        return;
    }
    connect_to(c, &n->workers[dice_below(&c->dice, w->settings.workers)]);
}

static void on_timer(struct timer *t) {
    struct client *c = container_of(t, struct client, timer);
    if (c->state == CLIENT_AWAY) {
        come_back(c);
        return;
    }
    unsigned parsed = c->parsed, len = c->received_len;
    parse(c, c->world->quiesced ? c->received_cap : c->read_bytes);
    bool moved = c->parsed != parsed || c->received_len != len;
    if (c->subscriber == NULL && !moved) {
        go_away(c); /* all was read: the end */
        return;
    }
    if (c->subscriber == NULL || (moved && c->received_len > c->parsed))
        read_later(c);
    if (c->subscriber != NULL && moved) {
        sim_node = c->worker->node;
        fill(c);
        worker_touched(c->worker);
    }
}

void client_arrive(struct client *c) {
    c->timer.fire = on_timer;
    c->received = arena_take(c->world, c->received_cap);
    come_back(c);
    if (c->state == CLIENT_UNUSED)
        c->state = CLIENT_AWAY;
}

void client_cut(struct client *c) {
    if (c->state != CLIENT_CONNECTED)
        return;
    TRACE(c->world, "client %u loses its connection", c->index);
    if (c->subscriber != NULL)
        detach(c);
    go_away(c);
}

/* What the kernel has of a process that died still arrives. */
void client_lose_node(struct client *c) {
    if (c->subscriber != NULL)
        detach(c);
    read_later(c);
}

void client_leave(struct client *c) {
    if (c->state == CLIENT_UNUSED)
        return;
    c->is_leaving = true;
    if (c->state == CLIENT_CONNECTED)
        client_cut(c);
    else
        go_away(c);
}
