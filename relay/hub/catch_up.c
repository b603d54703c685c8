/* From a cursor to the present, step by step.
 *
 * A step is one request to the bus and its answer: a slice of events that fits the outbox, the
 * cursor behind it, and whether the stream is live from there on. The next step waits until the
 * outbox has drained to a half; so a client that reads slowly through a long replay costs no more
 * than its outbox. A worker has a bounded number of steps under way and lets the others wait in
 * line, or a storm of reconnects would pile up slices.
 *
 * What cannot be answered soon, whatever it waits for, is deferred by the bus and goes on in a lane
 * of its own, with a bound of its own: it takes nobody's place. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "relay/base/mem.h"
#include "relay/hub/internal.h"

enum {
    REPLAYS_UNDER_WAY = 64, /* in each lane */
    PATIENCE_MS = 1000,
    PATIENCE_DEFERRED_MS = 30 * 1000 /* long: what takes several reads gets through, however slow */
};

void replay_init(struct hub *hub) {
    hub->lanes[false].patience_ms = PATIENCE_MS;
    hub->lanes[true].patience_ms = PATIENCE_DEFERRED_MS;
}

bool replay_is_idle(const struct hub *hub) {
    return hub->replays == NULL && hub->lanes[false].line == NULL && hub->lanes[true].line == NULL;
}

static bool has_room(const struct subscriber *s) {
    return outbox_is_empty(&s->outbox) || s->outbox.bytes <= s->hub->options.outbox_limit_bytes / 2;
}

static struct bus_replay *make_request(const struct subscriber *s) {
    size_t names_len = 0;
    for (uint32_t i = 0; i < s->subscriptions_len; i++)
        names_len += s->subscriptions[i].topic->name_len + 1;
    struct bus_replay *r = bus_replay_new(s->subscriptions_len, names_len);
    char *at = r->names;
    for (uint32_t i = 0; i < s->subscriptions_len; i++) {
        const struct hub_topic *t = s->subscriptions[i].topic;
        memcpy(at, t->name, t->name_len + 1);
        at += t->name_len + 1;
    }
    r->format = s->outbox.format;
    r->max_event_bytes = s->max_event_bytes;
    r->limit_bytes = s->hub->options.outbox_limit_bytes / 2;
    r->replayed = s->replayed;
    r->base.worker = s->hub->options.worker;
    return r;
}

static void send_step(struct replay *step) {
    struct subscriber *s = step->subscriber;
    struct hub *hub = s->hub;
    struct bus_replay *r = make_request(s);
    if (s->start != NULL) {
        r->start = *s->start;
    } else if (cursor_is_set(&s->cursor)) {
        r->start = (struct cursor_request){.kind = CURSOR_ID, .id = s->cursor.at};
    } else { /* behind a first answer without a clock: all that the next one has came since */
        r->start = (struct cursor_request){.kind = CURSOR_BIRTH};
    }
    r->patience_ms = step->lane->patience_ms;
    step->token = r->token = ++hub->next_token;
    HASH_ADD(hh, hub->replays, token, sizeof(step->token), step);
    step->lane->sent++;
    subscriber_set_state(s, SUBSCRIBER_REPLAY);
    hub->options.send(hub->options.send_ctx, &r->base);
}

static void send_waiting(struct replay_lane *lane) {
    while (lane->line != NULL && lane->sent < REPLAYS_UNDER_WAY) {
        struct replay *step = lane->line;
        DL_DELETE(lane->line, step);
        send_step(step);
    }
}

void replay_want(struct subscriber *s) {
    if (s->replay != NULL || s->state == SUBSCRIBER_CLOSING || !has_room(s))
        return;
    s->replay = mem_zalloc(sizeof(*s->replay));
    s->replay->subscriber = s;
    s->replay->lane = &s->hub->lanes[s->deferred];
    DL_APPEND(s->replay->lane->line, s->replay);
    send_waiting(s->replay->lane);
}

/* Forget the step; an answer to it finds nobody. */
static void drop_step(struct hub *hub, struct replay *step) {
    if (step->token != 0) {
        HASH_DEL(hub->replays, step);
        step->lane->sent--;
    } else {
        DL_DELETE(step->lane->line, step);
    }
    step->subscriber->replay = NULL;
    free(step);
}

void replay_cancel(struct subscriber *s) {
    struct hub *hub = s->hub;
    if (s->replay == NULL)
        return;
    struct replay_lane *lane = s->replay->lane;
    drop_step(hub, s->replay);
    send_waiting(lane);
}

static void take_slice(struct subscriber *s, const struct bus_replayed *m) {
    if (m->slice != NULL) {
        subscriber_push(s, m->slice);
        s->replayed += m->slice->count;
        metric_add(&s->hub->metrics->replayed, m->slice->count);
    }
    if (cursor_is_set(&m->cursor))
        s->cursor = m->cursor;
}

/* A hole that several steps go through is told once. */
static void note_reset(struct subscription *sub, unsigned char reset) {
    const unsigned another = RESET_BIRTH | RESET_FAILOVER | REPLAY_SKIPS_SOME;
    bool known = sub->in_hole && (reset & another) == 0 && (reset & RESET_TRIMMED) != 0;
    sub->in_hole = (reset & RESET_TRIMMED) != 0 && (reset & REPLAY_HAS_SOME) == 0;
    sub->reasons |= (unsigned char)(reset & ~(REPLAY_MARKS | (known ? RESET_TRIMMED : 0)));
}

/* Whether durable events are known to be gone that stand below what comes next. */
static bool has_lost(const struct subscriber *s) {
    for (size_t i = 0; i < s->subscriptions_len; i++)
        if (s->subscriptions[i].reasons & RESET_TRIMMED)
            return true;
    return false;
}

/* Live: what is gone from here on is another hole. */
static void end_holes(struct subscriber *s) {
    for (size_t i = 0; i < s->subscriptions_len; i++)
        s->subscriptions[i].in_hole = false;
}

static void take_answer(struct subscriber *s, struct bus_replayed *m) {
    s->deferred = m->deferred;
    if (m->deferred) {
        replay_want(s);
        return;
    }
    subscriber_set_blocked(s, m->refused);
    if (m->refused)
        return; /* it asks again behind a gap, or with the next heartbeat */
    free(s->start);
    s->start = NULL;
    for (size_t i = 0; i < s->subscriptions_len; i++)
        note_reset(&s->subscriptions[i], i < m->resets_len ? m->resets[i] : 0);
    if (m->resets_len > 0)
        subscriber_announce_resets(s, &m->start);
    else if (m->slice != NULL && has_lost(s)) /* before its cursor goes on */
        subscriber_announce_resets(s, &s->cursor);
    take_slice(s, m);
    if (m->live) {
        end_holes(s);
        s->replayed = 0;
        subscriber_set_state(s, SUBSCRIBER_LIVE);
        subscriber_announce_live(s);
    } else {
        replay_want(s); /* or when the outbox has drained */
    }
}

size_t replay_answered(struct hub *hub, struct bus_replayed *m) {
    struct replay *step;
    HASH_FIND(hh, hub->replays, &m->token, sizeof(m->token), step);
    if (step == NULL)
        return 0; /* the subscriber has gone */
    struct subscriber *s = step->subscriber;
    struct replay_lane *lane = step->lane;
    drop_step(hub, step);
    take_answer(s, m);
    send_waiting(lane);
    return 1;
}
