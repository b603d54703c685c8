/* What must hold, looked at whenever a client reads a block of its stream.
 *
 * The world knows each event that was ever published, and the server's list of them for each topic.
 * A client's cursor is a place in that list. Whenever its cursor moves, all events of its topics
 * between the old place and the new one were delivered, or it was told:
 *
 *   lost      an event was passed over, and no reset said so
 *   twice     an event came twice, or out of order
 *   strange   an event that nobody published, or an id that stands for another one
 *   untold    another birth, or events gone that it saw, or a topic's keys gone before their time
 *             (vanished.c), and no reset said so
 *   unneeded  a reset, and none of the reasons below
 *
 * What a reset may be told for, and nothing else:
 *
 * - trimmed: an event of the topic behind the place is no longer in the log, or was not any more
 *   when its server was lost; or an event of the topic was not announced. Or the place, or the
 *   topic's latest event, is so old that Redis may have forgotten the topic (--memory); or was when
 *   the one behind it was published, since a relay that saw nothing of the topic meanwhile cannot
 *   know how often that happened. Or a server took over, while it was connected, that lacks events
 *   of the topic: until the next epoch begins, they look as though deleted. Or keys were deleted by
 * hand; or birth or failover is told too.
 * - birth: the client's id is of another birth, or is no id, or there is no clock.
 * - failover: a server took over that lacks what the client may have seen, by its id, or by the
 *   position of its stream, where it was connected then; or the id's epoch is of none that this
 *   server knows; or keys were deleted by hand.
 * - limit: there is a --replay-limit, or memory was short.
 * - live: there were live events on the topic.
 *
 * What is excused without a reset:
 *
 * - An event that was stored and not announced, since its publisher lacked the right to the
 *   channel, may be passed by ids of other topics, since nobody hears of it before the next one of
 *   its own: by then a stream that is still open is told (trimmed).
 * - Who comes with last= or since= is owed what the logs hold when the relay chooses where to
 * begin. What is trimmed between the coming and that moment the relay never saw. */
#include <string.h>

#include "relay/base/err.h"
#include "relay/wire/id.h"
#include "tests/simulation/world.h"

/* A rule that cannot hold, to see that a failure is found and made small. */
bool check_breaks;

enum {
    TELL_SILENT_US = 2 * SECOND,
    NOTICED_US = 10 * SECOND /* by then a node knows that its server is another one */
};

static bool is_of_birth(const struct event_id *a, const struct event_id *b) {
    return strcmp(a->birth, b->birth) == 0;
}

static bool is_above(const struct event_id *a, const struct event_id *b) {
    return is_of_birth(a, b) && id_compare(a, b) > 0;
}

static bool is_same(const struct event_id *a, const struct event_id *b) {
    return is_of_birth(a, b) && id_compare(a, b) == 0;
}

static const char *text_of(const struct event_id *id) {
    static char texts[4][TEXT_MAX];
    static int at;
    char *out = texts[at++ % 4];
    put_id(out, id);
    return out;
}

/* ---- the place ---- */

/* The number of the first event that was published when the cursor's clock was no more. */
static unsigned end_of_birth(const struct client *c) {
    const struct world *w = c->world;
    unsigned end = w->events_len;
    while (end > 0 && !is_of_birth(&w->events[end - 1].id, &c->cursor))
        end--;
    return strcmp(c->cursor.birth, w->server.clock.birth) == 0 ? w->events_len : end;
}

/* The first event of each topic behind the cursor, in the list of the present server: of the
 * cursor's birth, or of one that came later. */
static void find_place(struct client *c) {
    struct world *w = c->world;
    const unsigned end = end_of_birth(c);
    c->lineage = w->lineage;
    for (unsigned t = 0; t < w->settings.topics; t++) {
        const struct topic_keys *k = &w->server.topics[t];
        unsigned next = k->len;
        while (next > 0 && (k->events[next - 1] >= end ||
                            is_above(&w->events[k->events[next - 1]].id, &c->cursor)))
            next--;
        c->next[t] = next;
    }
}

static void set_place(struct client *c, const struct event_id *id) {
    c->cursor = *id;
    c->has_cursor = c->began = true;
    find_place(c);
}

static bool is_excused(struct client *c, unsigned topic, unsigned i) {
    struct world *w = c->world;
    const struct sim_event *e = &w->events[w->server.topics[topic].events[i]];
    bool is_gone = e->was_gone || i < server_first(w, topic);
    if (is_gone && c->chooses && !is_above(&e->id, &c->chosen))
        return true;
    return e->foreign || ((e->is_silent || e->unreadable) && i < c->silent_told[topic]) ||
           c->limited[topic] || i < c->excused[topic] || (c->hole[topic] && is_gone);
}

/* The cursor moves to @to; @delivered is the event that moves it. */
static void move(struct client *c, const struct event_id *to, int delivered) {
    struct world *w = c->world;
    if (c->lineage != w->lineage)
        find_place(c);
    for (unsigned t = 0; t < w->settings.topics; t++) {
        const struct topic_keys *k = &w->server.topics[t];
        if ((c->topics >> t & 1) == 0)
            continue;
        for (; c->next[t] < k->len; c->next[t]++) {
            int number = k->events[c->next[t]];
            const struct sim_event *e = &w->events[number];
            if (!is_of_birth(&e->id, to) || id_compare(&e->id, to) > 0)
                break;
            if (number == delivered)
                c->hole[t] = c->limited[t] = false;
            else if (e->is_silent)
                c->silent_owed[t] = c->silent_owed[t] || (!has_seen(c, (unsigned)number) &&
                                                          !is_excused(c, t, c->next[t]));
            else if (!is_excused(c, t, c->next[t]))
                violate(w, "lost",
                        "client %u: event %s (data %u) of topic %c was passed over by %s", c->index,
                        e->id_text, e->content, 'a' + t, text_of(to));
        }
    }
    c->cursor = *to;
}

static struct event_id position(const struct world *w) {
    const struct clock_state *clock = &w->server.clock;
    struct event_id id = {.epoch = clock->epoch, .ms = clock->ms, .seq = clock->seq};
    memcpy(id.birth, clock->birth, sizeof(id.birth));
    return id;
}

/* Its first id comes: by now the relay has chosen where its last= or since= begins. */
static bool note_choice(struct client *c) {
    c->chooses = !c->began && (c->start.kind == CURSOR_SINCE || c->start.kind == CURSOR_LAST);
    c->chosen = position(c->world);
    return c->chooses;
}

/* The first id that a client gets: what of its `since` lies before it, and is still there, is lost.
 * One that was told that there is no clock is owed all of the next clock; a relay that has not
 * heard of that yet may go on with the one before. */
static void begin_at(struct client *c, const struct event_id *id, int delivered) {
    struct world *w = c->world;
    bool chooses = note_choice(c);
    bool counts =
        c->since_birth ? !is_of_birth(id, &c->cursor) : chooses && c->start.kind == CURSOR_SINCE;
    uint64_t since_ms = c->since_birth ? 0 : c->start.since_ms;
    for (unsigned t = 0; counts && t < w->settings.topics; t++) {
        const struct topic_keys *k = &w->server.topics[t];
        for (unsigned i = server_first(w, t); (c->topics >> t & 1) != 0 && i < k->len; i++) {
            const struct sim_event *e = &w->events[k->events[i]];
            if (!e->foreign && !e->is_silent && !e->was_gone && k->events[i] != delivered &&
                is_of_birth(&e->id, id) && e->id.epoch == id->epoch && e->id.ms >= since_ms &&
                id_compare(&e->id, id) <= 0)
                violate(w, "lost",
                        "client %u: event %s of topic %c, which it asked for, was passed "
                        "over by %s",
                        c->index, e->id_text, 'a' + t, text_of(id));
        }
    }
    c->since_birth = false;
    set_place(c, id);
}

/* ---- events lost with their server ---- */

static void find_ghosts(struct client *c) {
    struct world *w = c->world;
    memset(c->ghost, 0, sizeof(c->ghost));
    for (unsigned i = 0; i < w->events_len; i++)
        if (w->events[i].is_lost && has_seen(c, i))
            c->ghost[w->events[i].topic] = true;
}

/* The list of the server that took over begins as that of the one before it does. */
static void keep_within(struct client *c) {
    const struct world *w = c->world;
    for (unsigned t = 0; t < w->settings.topics; t++) {
        unsigned len = w->server.topics[t].len;
        c->excused[t] = c->excused[t] < len ? c->excused[t] : len;
        c->silent_told[t] = c->silent_told[t] < len ? c->silent_told[t] : len;
    }
}

void check_lineage_changed(struct world *w) {
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (w->clients[i].state != CLIENT_UNUSED) {
            vanish_was_told(&w->clients[i], ~0u); /* the keys may be there again */
            find_ghosts(&w->clients[i]);
            keep_within(&w->clients[i]);
        }
}

static void lay_ghosts(struct client *c, unsigned topics) {
    struct world *w = c->world;
    for (unsigned i = 0; i < w->events_len; i++)
        if (w->events[i].is_lost && (topics >> w->events[i].topic & 1) != 0)
            c->seen[i / 64] &= ~(UINT64_C(1) << i % 64);
    for (unsigned t = 0; t < TOPICS_MAX; t++)
        c->ghost[t] = c->ghost[t] && (topics >> t & 1) == 0;
}

/* @id is of what came after a failover. */
static void expect_no_ghost(struct client *c, const struct event_id *id) {
    for (unsigned t = 0; t < TOPICS_MAX; t++)
        if (c->ghost[t] && c->has_cursor && is_of_birth(id, &c->cursor) &&
            id->epoch > c->cursor.epoch) {
            violate(c->world, "untold",
                    "client %u: it saw events of topic %c that are gone, was not told, and goes on "
                    "at %s",
                    c->index, 'a' + t, text_of(id));
            return;
        }
}

/* ---- resets ---- */

/* The topics that the present group of resets names for one of @reasons. */
static unsigned told(const struct client *c, unsigned reasons) {
    unsigned topics = 0;
    for (unsigned bit = 0; bit < RESET_REASONS; bit++)
        if ((reasons >> bit & 1) != 0)
            topics |= c->group.topics[bit];
    return topics;
}

/* @before: where it was. One that is live, and was before the clock was born, has no id of its own;
 * its stream has a position all the same. */
static bool is_failover_needed(const struct client *c, const struct event_id *before) {
    const struct world *w = c->world;
    const struct clock_state *clock = &w->server.clock;
    bool known = !c->group.had_cursor || before->epoch == clock->epoch || before->epoch == 0;
    for (unsigned i = 0; i < clock->notes_len; i++)
        known = known || clock->notes[i].epoch == before->epoch;
    for (unsigned i = 0; i < w->failovers_len; i++) {
        const struct event_id *kept = &w->failovers[i].kept;
        if (w->failovers[i].at_us + NOTICED_US >= c->connected_us)
            return true;
        if (!c->group.had_cursor)
            continue;
        if (is_above(before, kept) && before->epoch <= w->failovers[i].lost_epoch)
            return true;
        if (before->epoch > kept->epoch && before->epoch <= w->failovers[i].lost_epoch)
            return true;
    }
    return !known || w->keys_were_deleted;
}

static bool is_forgotten_by(const struct world *w, const struct event_id *id, uint64_t ms) {
    uint64_t memory_ms = w->settings.memory_ms;
    return id->ms + memory_ms - memory_ms / 32 <= ms;
}

static bool may_be_forgotten(const struct world *w, const struct event_id *id) {
    return is_forgotten_by(w, id, server_ms(w));
}

/* Whether a relay that saw nothing of the topic meanwhile cannot know what came before this event,
 * which stands behind no other although there was one: the topic may have been forgotten more than
 * once, or with an event that was not announced. */
static bool is_new_root(const struct world *w, const struct topic_keys *k, unsigned i) {
    const struct sim_event *e = &w->events[k->events[i]];
    uint64_t late_us = w->settings.tail_one_in > 0 ? w->settings.tail_us : 0; /* of messages */
    return i > 0 && e->prev == NO_EVENT &&
           w->hidden_us[e->topic] + 8 * late_us >= w->settings.memory_ms * MS / 4 &&
           is_forgotten_by(w, &w->events[k->events[i - 1]].id, e->id.ms);
}

/* A server that lacks events of the topic took over while it was connected. Until somebody begins
 * the next epoch there, that is keys that are gone: the relay tells `failover` only then. */
static bool was_taken(const struct client *c, unsigned topic) {
    const struct world *w = c->world;
    bool took_over = false, lacks = false;
    for (unsigned i = 0; i < w->failovers_len; i++)
        took_over = took_over || w->failovers[i].at_us + NOTICED_US >= c->connected_us;
    for (unsigned i = 0; took_over && i < w->events_len; i++)
        lacks = lacks || (w->events[i].topic == topic && w->events[i].is_lost);
    return lacks;
}

/* Something of the topic behind the place is gone. */
static bool is_trimmed_needed(struct client *c, unsigned topic) {
    struct world *w = c->world;
    const struct topic_keys *k = &w->server.topics[topic];
    unsigned first = server_first(w, topic);
    for (unsigned i = c->next[topic]; i < k->len; i++)
        if (!w->events[k->events[i]].foreign &&
            (i < first || w->events[k->events[i]].was_gone || w->events[k->events[i]].unreadable ||
             is_new_root(w, k, i)))
            return true;
    for (unsigned i = 0; i < w->events_len; i++) {
        const struct sim_event *e = &w->events[i];
        bool is_gone = e->is_lost && !has_seen(c, i) && is_above(&e->id, &c->group.before);
        if (e->topic == topic && (e->is_silent || is_gone))
            return true;
    }
    if (k->len > 0 && may_be_forgotten(w, &w->events[k->events[k->len - 1]].id))
        return true;
    if (was_taken(c, topic))
        return true;
    return w->keys_were_deleted || may_be_forgotten(w, &c->cursor);
}

static void judge(struct client *c, unsigned topic, unsigned reason) {
    struct world *w = c->world;
    const struct event_id *before = &c->group.before;
    bool needed = true;
    switch (reason) {
    case RESET_TRIMMED:
        needed = told(c, RESET_BIRTH | RESET_FAILOVER) != 0 || is_trimmed_needed(c, topic);
        break;
    case RESET_BIRTH:
        needed = !c->group.has_id || !c->group.had_cursor || !is_of_birth(before, &c->group.id);
        break;
    case RESET_LIMIT:
        needed = w->settings.replay_limit > 0 || w->memory_was_short;
        break;
    case RESET_FAILOVER:
        needed = is_failover_needed(c, before);
        break;
    case RESET_LIVE:
        needed = w->live_published[topic];
        break;
    }
    if (!needed || check_breaks)
        violate(w, "unneeded", "client %u: a reset \"%s\" of topic %c at %s, and it lost nothing",
                c->index, reset_reason_name((unsigned)__builtin_ctz(reason)), 'a' + topic,
                c->group.has_id ? text_of(&c->group.id) : "no id");
}

static void move_by_resets(struct client *c) {
    struct world *w = c->world;
    if (!c->group.has_id) { /* there is no clock: what comes is of the next birth */
        c->has_cursor = c->has_cursor && told(c, RESET_BIRTH) == 0;
        c->since_birth = told(c, RESET_BIRTH) != 0;
        return;
    }
    bool jumps = told(c, RESET_BIRTH | RESET_LIMIT | RESET_FAILOVER) != 0;
    if (!jumps && !c->group.had_cursor)
        begin_at(c, &c->group.id, NO_EVENT);
    else if (!jumps && !is_of_birth(&c->group.before, &c->group.id))
        violate(w, "untold", "client %u: a reset at %s, which is of another birth, told as none",
                c->index, text_of(&c->group.id));
    else if (!jumps && id_compare(&c->group.id, &c->group.before) < 0)
        violate(w, "untold", "client %u: a reset sets it back to %s without a reason", c->index,
                text_of(&c->group.id));
    else if (!jumps)
        move(c, &c->group.id, NO_EVENT);
    if (!jumps)
        return;
    if (!c->began)
        note_choice(c);
    set_place(c, &c->group.id);
}

/* All that was told at one moment is known. */
static void end_group(struct client *c) {
    struct world *w = c->world;
    if (!c->group.open)
        return;
    c->group.open = false;
    for (unsigned t = 0; t < w->settings.topics; t++) /* what it is told of may lie before its id */
        c->hole[t] = c->hole[t] || (told(c, RESET_TRIMMED) >> t & 1) != 0;
    move_by_resets(c);
    for (unsigned reason = 0; reason < RESET_REASONS; reason++)
        for (unsigned t = 0; t < TOPICS_MAX; t++)
            if ((c->group.topics[reason] >> t & 1) != 0)
                judge(c, t, 1u << reason);
    for (unsigned t = 0; t < w->settings.topics; t++) {
        if ((told(c, RESET_BIRTH) >> t & 1) != 0)
            c->excused[t] = server_first(w, t);
        c->limited[t] = (told(c, RESET_LIMIT) >> t & 1) != 0;
        if ((told(c, ~0u) >> t & 1) != 0)
            c->silent_owed[t] = false, c->silent_due_us[t] = 0;
        if ((told(c, RESET_TRIMMED) >> t & 1) != 0)
            c->silent_told[t] = w->server.topics[t].len;
        c->hole[t] =
            (c->hole[t] && told(c, RESET_BIRTH) == 0) || (told(c, RESET_TRIMMED) >> t & 1) != 0;
    }
    lay_ghosts(c, told(c, RESET_BIRTH) | told(c, RESET_FAILOVER));
    vanish_was_told(c, told(c, ~0u));
}

static bool take_id(struct client *c, const char *text, uint32_t len, struct event_id *id) {
    if (len >= TEXT_MAX || id_parse(text, len, id) != RELAY_OK) {
        violate(c->world, "strange", "client %u: an id that is none: %.*s", c->index, (int)len,
                text);
        return false;
    }
    memcpy(c->cursor_text, text, len);
    c->cursor_text[len] = '\0';
    return true;
}

void check_reset(struct client *c, unsigned topics, unsigned reason, const char *text,
                 uint32_t len) {
    struct event_id id = {.epoch = 0};
    TRACE(c->world, "client %u reads reset %s of %x at %.*s", c->index,
          reset_reason_name((unsigned)__builtin_ctz(reason)), topics, text ? (int)len : 4,
          text ? text : "none");
    if (text != NULL && !take_id(c, text, len, &id))
        return;
    if (c->group.open &&
        (c->group.has_id != (text != NULL) || (text != NULL && !is_same(&id, &c->group.id))))
        end_group(c);
    if (!c->group.open) {
        memset(&c->group, 0, sizeof(c->group));
        c->group.open = true;
        c->group.id = id;
        c->group.has_id = text != NULL;
        c->group.before = c->cursor;
        c->group.had_cursor = c->has_cursor;
    }
    c->group.topics[__builtin_ctz(reason)] |= topics;
    c->resets++;
}

/* ---- blocks ---- */

/* The event with this id: mostly the next one of a topic. */
static int find_event(struct client *c, const char *text, uint32_t len) {
    struct world *w = c->world;
    for (unsigned t = 0; c->lineage == w->lineage && t < w->settings.topics; t++) {
        if ((c->topics >> t & 1) == 0 || c->next[t] >= w->server.topics[t].len)
            continue;
        int number = w->server.topics[t].events[c->next[t]];
        if (w->events[number].id_len == len && memcmp(w->events[number].id_text, text, len) == 0)
            return number;
    }
    for (unsigned i = w->events_len; i > 0; i--) {
        const struct sim_event *e = &w->events[i - 1];
        if (e->id_len == len && memcmp(e->id_text, text, len) == 0 &&
            (c->topics >> e->topic & 1) != 0)
            return (int)i - 1;
    }
    return NO_EVENT;
}

/* An event of the topic that was not announced was passed over. Now that one is there that was, the
 * relay knows of it, and tells it within moments. */
static void expect_told(struct client *c, const struct sim_event *e) {
    struct world *w = c->world;
    uint64_t *due_us = &c->silent_due_us[e->topic];
    if (*due_us == 0)
        *due_us = w->scheduler.now_us + TELL_SILENT_US;
    if (w->scheduler.now_us > *due_us)
        violate(
            w, "lost",
            "client %u: an event of topic %c that was not announced was passed over, and %s comes, "
            "and it was not told",
            c->index, 'a' + e->topic, e->id_text);
}

void check_event(struct client *c, const char *text, uint32_t len, uint32_t content) {
    struct world *w = c->world;
    end_group(c);
    TRACE(w, "client %u reads event %.*s, data %u", c->index, (int)len, text, content);
    int number = find_event(c, text, len);
    if (number == NO_EVENT || w->events[number].content != content) {
        violate(w, "strange", "client %u: event %.*s with data %u, which nobody published",
                c->index, (int)len, text, content);
        return;
    }
    const struct sim_event *e = &w->events[number];
    memcpy(c->cursor_text, text, len);
    c->cursor_text[len] = '\0';
    if (has_seen(c, (unsigned)number) ||
        (c->has_cursor && is_of_birth(&e->id, &c->cursor) && id_compare(&e->id, &c->cursor) <= 0))
        violate(w, "twice", "client %u: event %s came twice, or behind %s", c->index, e->id_text,
                text_of(&c->cursor));
    vanish_expect_told(c, (unsigned)number);
    c->seen[number / 64] |= UINT64_C(1) << number % 64;
    c->durable++;
    if (!e->is_lost) /* else it was on its way when its server went */
        expect_no_ghost(c, &e->id);
    if (!c->has_cursor) {
        begin_at(c, &e->id, number);
    } else if (!is_of_birth(&e->id, &c->cursor)) {
        violate(w, "untold", "client %u: event %s is of another birth than %s, and it was not told",
                c->index, e->id_text, text_of(&c->cursor));
    } else {
        move(c, &e->id, number);
    }
    c->ghost[e->topic] = c->ghost[e->topic] || e->is_lost;
    if (c->silent_owed[e->topic])
        expect_told(c, e);
}

void check_live(struct client *c, const char *text, uint32_t len) {
    struct event_id id;
    end_group(c);
    TRACE(c->world, "client %u is live at %.*s", c->index, text ? (int)len : 4,
          text ? text : "none");
    c->is_live = true;
    if (text == NULL) {
        c->since_birth = !c->has_cursor;
        return;
    }
    if (!take_id(c, text, len, &id))
        return;
    if (id.epoch == c->world->server.clock.epoch)
        expect_no_ghost(c, &id);
    if (!c->has_cursor)
        begin_at(c, &id, NO_EVENT);
    else if (!is_of_birth(&id, &c->cursor))
        violate(c->world, "untold", "client %u: live at %s, of another birth than %s, and not told",
                c->index, text_of(&id), text_of(&c->cursor));
    else if (id_compare(&id, &c->cursor) < 0)
        violate(c->world, "twice", "client %u: live at %s, behind %s", c->index, text_of(&id),
                text_of(&c->cursor));
    else
        move(c, &id, NO_EVENT);
    c->chooses = false;
}

/* What was trimmed before it came with last= or since= it did not ask for. */
void check_connected(struct client *c) {
    struct world *w = c->world;
    if (c->cursor_text[0] == '\0') /* it begins anew */
        c->since_birth = c->began = false;
    c->chooses = false;
    for (unsigned t = 0; t < w->settings.topics; t++) {
        c->hole[t] = false;
        c->silent_owed[t] = false;
        c->silent_due_us[t] = 0;
        c->excused[t] = c->has_cursor ? c->excused[t] : server_first(w, t);
    }
}

/* What it read of resets that belong together counts. */
void check_disconnected(struct client *c) {
    end_group(c);
    vanish_was_told(c, ~0u);
    c->is_live = false;
}

bool check_is_settled(struct client *c) {
    struct world *w = c->world;
    end_group(c);
    if (c->state != CLIENT_CONNECTED || !c->is_live)
        return false;
    if (c->has_cursor && c->lineage != w->lineage)
        find_place(c);
    for (unsigned t = 0; t < w->settings.topics; t++) {
        const struct topic_keys *k = &w->server.topics[t];
        if ((c->topics >> t & 1) == 0)
            continue;
        if (k->len > 0 && !c->has_cursor)
            return false;
        for (unsigned i = c->next[t]; i < k->len; i++)
            if (!is_excused(c, t, i))
                return false;
        if (k->len > 0 && !is_of_birth(&w->events[k->events[k->len - 1]].id, &c->cursor))
            return false;
    }
    return true;
}

/* ---- connections ---- */

/* A relay gives up its subscription connection, which Redis serves. It may where a probe says that
 * it does not deliver, or a subscription was refused, or its server is a master again. */
void check_reconnect(struct link *l) {
    const struct node *n = l->node;
    struct world *w = n->world;
    uint64_t now_us = w->scheduler.now_us, timeout_us = w->settings.timeout_ms * MS;
    if (l->role != LINK_SUBSCRIBER)
        return;
    bool overdue = n->probe_sent_us != 0 && now_us - n->probe_sent_us > timeout_us;
    bool unconfirmed = !n->probe_confirmed && now_us - l->ready_us >= timeout_us;
    bool publisher_ends = n->links[LINK_PUBLISHER].state == LINK_ENDING;
    bool refused = n->refused_us != 0 && n->refused_us + 2 * timeout_us > now_us;
    if (n->probe_had_receiver && !overdue && !publisher_ends && !refused && !unconfirmed &&
        !n->saw_replica)
        violate(w, "reconnect", "node %u gives up a subscription connection that is in order",
                n->index);
}
