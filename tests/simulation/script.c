/* relay/wire/publish.lua again, in C: the same questions in the same order, the same writes.
 *
 * What the script checks of its arguments (their number and form) is not repeated, since all who
 * call it here make them by the relay's own code; test_redis.py holds this to the script in a real
 * redis-server. */
#include <string.h>

#include "relay/base/err.h"
#include "tests/simulation/record.h"

static int compare_places(uint64_t ms, uint64_t seq, const struct place *b) {
    if (ms != b->ms)
        return ms < b->ms ? -1 : 1;
    return seq < b->seq ? -1 : seq > b->seq;
}

static const struct note *note_of(const struct clock_state *c, uint64_t epoch) {
    for (unsigned i = 0; i < c->notes_len; i++)
        if (c->notes[i].epoch == epoch)
            return &c->notes[i];
    return NULL;
}

static void add_note(struct clock_state *c, uint64_t epoch, uint64_t ms, uint64_t seq) {
    if (c->notes_len == NOTES_MAX) { /* worlds are short; forget the second rather than the birth */
        memmove(&c->notes[1], &c->notes[2], (NOTES_MAX - 2) * sizeof(c->notes[0]));
        c->notes_len--;
    }
    c->notes[c->notes_len++] = (struct note){epoch, {ms, seq}};
}

/* What one call knows. */
struct call {
    struct world *w;
    struct server *s;
    const struct publish *p;
    struct clock_state clock; /* as it will be */
    bool born, begun;         /* it changes beside ms and seq */
    bool known;
    int prev[TOPICS_MAX];
    uint64_t now_ms, micros;
    unsigned run; /* the caller's word counts where it is the clock's */
};

static int newest_entry(struct call *c, unsigned topic) {
    const struct topic_keys *k = &c->s->topics[topic];
    return server_first(c->w, topic) < k->len ? k->events[k->len - 1] : NO_EVENT;
}

static void bear(struct call *c, uint64_t ms, uint64_t seq) {
    if (ms < c->now_ms) {
        ms = c->now_ms;
        seq = 0;
    }
    if (ms == c->now_ms) /* the end of this millisecond */
        seq += 999999;
    c->clock = (struct clock_state){.exists = true,
                                    .epoch = 1,
                                    .memory_ms = c->p->memory_ms,
                                    .run = c->run,
                                    .ms = ms,
                                    .seq = seq};
    memcpy(c->clock.birth, c->p->birth, sizeof(c->clock.birth));
    add_note(&c->clock, 1, ms, seq);
    c->born = true;
    c->w->latest_epoch = 1;
    for (unsigned i = 0; i < c->p->topics_len; i++)
        c->prev[i] = NO_EVENT;
}

/* The ends of the logs have to be read as well. */
static void look_at_ends(struct call *c) {
    int ends[TOPICS_MAX];
    struct place top = {0, 0};
    for (unsigned i = 0; i < c->p->topics_len; i++) {
        ends[i] = newest_entry(c, c->p->topics[i]);
        const struct event_id *id = ends[i] == NO_EVENT ? NULL : &c->w->events[ends[i]].id;
        if (id != NULL && compare_places(id->ms, id->seq, &top) > 0)
            top = (struct place){id->ms, id->seq};
    }
    if (!c->clock.exists || compare_places(c->clock.ms, c->clock.seq, &top) < 0) {
        bear(c, top.ms, top.seq);
        return;
    }
    const struct note *birth = note_of(&c->clock, 1);
    for (unsigned i = 0; i < c->p->topics_len; i++) {
        if (ends[i] == NO_EVENT || c->prev[i] != NO_EVENT)
            continue;
        const struct event_id *id = &c->w->events[ends[i]].id;
        if (birth == NULL || compare_places(id->ms, id->seq, &birth->place) > 0)
            c->prev[i] = ends[i];
    }
}

static void begin_epoch(struct call *c) {
    const struct note *birth = note_of(&c->clock, 1);
    uint64_t born_ms = birth != NULL ? birth->place.ms : c->now_ms;
    uint64_t seconds = c->now_ms > born_ms ? (c->now_ms - born_ms) / 1000 : 0;
    uint64_t epoch = c->clock.epoch + 1;
    c->clock.epoch = epoch > seconds + 1 ? epoch : seconds + 1;
    c->clock.run = c->run;
    add_note(&c->clock, c->clock.epoch, c->clock.ms, c->clock.seq);
    c->begun = true;
    if (c->clock.epoch > c->w->latest_epoch)
        c->w->latest_epoch = c->clock.epoch;
}

/* The expiry of a last id is set anew by the first event of each 36 * 36 ms. */
static bool keeps_ttl(const struct call *c) {
    const struct sim_event *prev = c->prev[0] == NO_EVENT ? NULL : &c->w->events[c->prev[0]];
    return c->known && prev != NULL && prev->id.epoch == c->clock.epoch &&
           prev->id.ms / 1296 == c->clock.ms / 1296;
}

static void trim(struct call *c, unsigned topic, unsigned turn) {
    struct topic_keys *k = &c->s->topics[topic];
    if (turn > 3)
        return;
    if (turn > 0) {
        server_trim(c->w, topic, (unsigned)c->p->history);
        return;
    }
    uint64_t oldest_ms = c->clock.ms > c->p->ttl_ms ? c->clock.ms - c->p->ttl_ms : 0;
    unsigned node = c->w->settings.node_entries;
    while (k->first < k->len) { /* whole nodes whose last entry is too old */
        unsigned end = k->first + node - (k->first - k->base) % node;
        if (end > k->len)
            end = k->len;
        if (c->w->events[k->events[end - 1]].id.ms >= oldest_ms)
            return;
        k->first = end;
    }
}

static void add_event(struct call *c, unsigned i, struct published *out) {
    unsigned slot = c->p->event_topics[i], topic = c->p->topics[slot];
    struct topic_keys *k = &c->s->topics[topic];
    struct sim_event e = {.topic = (uint8_t)topic,
                          .prev = c->prev[slot],
                          .unreadable = c->p->unreadable,
                          .content = c->p->content};
    e.id = (struct event_id){.epoch = c->clock.epoch, .ms = c->clock.ms, .seq = ++c->clock.seq};
    memcpy(e.id.birth, c->clock.birth, sizeof(e.id.birth));
    int number = event_new(c->w, &e, c->p->padding);
    if (server_first(c->w, topic) == k->len)
        k->base = k->len; /* no node is left: a new one begins */
    k->events[k->len++] = (uint16_t)number;
    trim(c, topic, (unsigned)((c->micros + i + 1) % 11));
    c->prev[slot] = number;
    out->events[i] = (uint16_t)number;
    if ((c->p->denied >> topic & 1) != 0) {
        out->announced = false;
        c->w->events[number].is_silent = true;
        return;
    }
    struct parcel message = {.kind = PARCEL_MESSAGE, .topic = (uint8_t)topic, .event = number};
    links_publish(c->w, topic, NULL, &message);
}

static void write_keys(struct call *c, bool keep_ttl) {
    uint64_t now_us = c->w->scheduler.now_us;
    for (unsigned i = 0; i < c->p->topics_len; i++) {
        struct topic_keys *k = &c->s->topics[c->p->topics[i]];
        k->log_dies_us = k->first < k->len ? now_us + c->p->ttl_ms * MS : 0;
        k->last = c->prev[i];
        if (!keep_ttl)
            k->last_dies_us = now_us + (c->clock.memory_ms + 1296) * MS;
    }
}

static void run_script(struct world *w, const struct publish *p, struct published *out) {
    struct call c = {.w = w, .s = &w->server, .p = p, .clock = w->server.clock};
    *out = (struct published){.announced = true};
    c.now_ms = server_ms(w);
    c.run = c.clock.run == p->run ? p->run : w->server.run;
    c.micros = w->scheduler.now_us % SECOND;
    c.known = c.clock.exists && p->topics_len < 2;
    for (unsigned i = 0; i < p->topics_len; i++) {
        c.prev[i] = server_last(w, p->topics[i]);
        if (c.prev[i] != NO_EVENT &&
            (!c.clock.exists || strcmp(w->events[c.prev[i]].id.birth, c.clock.birth) != 0))
            c.prev[i] = NO_EVENT;
        c.known = c.known && c.prev[i] != NO_EVENT;
    }
    if (!c.known)
        look_at_ends(&c);
    if (!c.born && c.clock.run != c.run)
        begin_epoch(&c);
    if (p->topics_len > 0 && p->ttl_ms > c.clock.memory_ms) {
        out->error = "SSETTL the time to live is above the memory";
        return;
    }
    if (p->topics_len > 0 && c.now_ms > c.clock.ms) {
        c.clock.ms = c.now_ms;
        c.clock.seq = UINT64_MAX; /* the first event has 0 */
    }
    if (p->events_len > 0 && w->events_len + p->events_len > EVENTS_MAX) {
        out->error = "OOM the world has as many events as it may have";
        return;
    }
    bool keep_ttl = keeps_ttl(&c);
    out->count = p->events_len;
    for (unsigned i = 0; i < p->events_len; i++)
        add_event(&c, i, out);
    if (p->events_len > 0)
        write_keys(&c, keep_ttl);
    w->server.clock = c.clock;
    out->position = (struct event_id){.epoch = c.clock.epoch, .ms = c.clock.ms, .seq = c.clock.seq};
    memcpy(out->position.birth, c.clock.birth, sizeof(c.clock.birth));
}

void server_publish(struct world *w, const struct publish *p, struct published *out) {
    run_script(w, p, out);
    record_publish(w, p, out);
}
