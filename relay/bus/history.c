/* What the bus knows of each topic's durable events, and how it comes to know it.
 *
 * A topic that was just confirmed is READING: its last id is asked for. Nothing known of it before:
 * the ring starts there, empty. Known from before (the connection was lost): what was published
 * since is read from the log into the ring. Then it is SYNCED, and each message is checked against
 * the ring's top: its `prev` is the top, and it is delivered; it is not above the top, and it is a
 * duplicate; its `prev` is above, and something was missed: subscribers are told to ask for a
 * replay, and the log fills the gap, once, for all of them. Messages that come while a topic is
 * READING wait. What the clock cannot have given out is left to doubt.c. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/internal.h"
#include "relay/wire/names.h"

enum { PAGE_ENTRIES = 256, PENDING_MAX_BYTES = 1024 * 1024, DOUBT_MS = 1000 };

/* A command on the reading connection on behalf of a topic, which may be given up meanwhile. */
struct history_read {
    struct bus *bus;
    struct bus_subscription
        *subscription;     /* NULL: it was given up, or the read is to be forgotten */
    struct event_id floor; /* of the ring when it was asked for */
    struct event_id goal;  /* of fill(): what was published, whether or not the log still has it */
    size_t count;          /* of a log's entries that were asked for */
};

static void read_last(struct bus_subscription *s);
static void fill(struct bus_subscription *s, const struct event_id *goal);

/* ---- reads ---- */

static struct history_read *read_new(struct bus_subscription *s) {
    struct history_read *read = mem_zalloc(sizeof(*read));
    read->bus = s->bus;
    read->subscription = s;
    read->floor = s->ring.floor;
    s->read = read;
    return read;
}

static void read_forget(struct bus_subscription *s) {
    if (s->read != NULL)
        s->read->subscription = NULL;
    s->read = NULL;
}

/* The topic that an answer is for; NULL where nobody wants it, or it failed: then the connection's
 * return reads anew. */
static struct bus_subscription *read_done(void *arg, int status) {
    struct history_read *read = arg;
    struct bus_subscription *s = read->subscription;
    free(read);
    if (s == NULL)
        return NULL;
    s->read = NULL;
    return status == RELAY_OK ? s : NULL;
}

/* The same for entries of a log. */
static struct bus_subscription *log_read_done(void *arg, int status, const redisReply *reply) {
    struct bus_subscription *s = ((struct history_read *)arg)->subscription;
    if (s != NULL)
        log_answered(s, status, reply);
    return read_done(arg, status);
}

/* ---- rings ---- */

static void ring_account(struct bus_subscription *s, size_t before) {
    s->bus->ring_bytes += s->ring.bytes - before;
}

static void restart_ring(struct bus_subscription *s, const struct event_id *at) {
    size_t before = s->ring.bytes;
    ring_reset(&s->ring, at);
    ring_account(s, before);
    s->known = true;
    s->extended = s->reaches_back = false;
}

static bool is_over(const struct bus_subscription *s) {
    const struct bus_options *o = &s->bus->options;
    return s->ring.bytes > o->ring_topic_bytes || s->bus->ring_bytes > o->ring_node_bytes;
}

void history_served(struct bus_subscription *s, size_t before) {
    ring_account(s, before);
    if (!is_over(s))
        return;
    before = s->ring.bytes;
    ring_drop_frames(&s->ring); /* rather than events, which the next in a storm wants too */
    ring_account(s, before);
    history_keep_within(s);
}

bool history_keep_within(struct bus_subscription *s) {
    bool dropped = false;
    while (s->ring.len > 0 && is_over(s)) {
        size_t before = s->ring.bytes;
        ring_drop_oldest(&s->ring);
        ring_account(s, before);
        s->reaches_back = false;
        dropped = true;
    }
    return dropped;
}

/* Add the event behind the top; where it is not linked to the top, the ring begins anew with it. */
static void add(struct bus_subscription *s, const struct event_id *id, const struct event_id *prev,
                const char *message, size_t len, struct frame *frame) {
    if (id_compare(prev, &s->ring.top) != 0)
        restart_ring(s, prev);
    size_t before = s->ring.bytes;
    ring_append(&s->ring, id, prev, message, len, frame, s->forms);
    ring_account(s, before);
    history_keep_within(s);
}

/* ---- becoming synced ---- */

static void drop_pending(struct bus_subscription *s) {
    struct pending_message *p, *next;
    DL_FOREACH_SAFE(s->pending, p, next) {
        DL_DELETE(s->pending, p);
        free(p);
    }
    s->pending_bytes = 0;
}

/* Its latest event is of an epoch that began after the clock was read: what of the past is gone has
 * to be known before anything of it is given out. */
static bool is_ahead_of_clock(struct bus_subscription *s) {
    struct bus *bus = s->bus;
    if (!bus->domain.exists || s->ring.top.epoch <= bus->domain.position.epoch)
        return false;
    s->history = HISTORY_UNKNOWN;
    if (s->clock_doubted_ms == 0 || uv_now(&bus->loop) >= s->clock_doubted_ms + DOUBT_MS) {
        s->clock_doubted_ms = uv_now(&bus->loop);
        bus->clock_due = true; /* and then it is read again; history_watch() would, too */
    }
    return true;
}

static void synced(struct bus_subscription *s) {
    if (is_ahead_of_clock(s))
        return;
    if (s->pending_lost) { /* messages that came meanwhile did not fit; the log has them */
        s->pending_lost = false;
        drop_pending(s);
        read_last(s);
        return;
    }
    s->history = HISTORY_SYNCED;
    s->doubted = false; /* whatever was put aside came before the log was read */
    s->bus->replays_due = true;
    clock_advance(s->bus, &s->ring.top);
    while (s->pending != NULL && s->history == HISTORY_SYNCED) {
        struct pending_message *p = s->pending;
        struct envelope envelope;
        const char *why;
        DL_DELETE(s->pending, p);
        s->pending_bytes -= p->len;
        redisReply message = {.type = REDIS_REPLY_STRING, .str = p->bytes, .len = p->len};
        if (envelope_decode(p->bytes, p->len, &envelope, &why) == RELAY_OK) {
            history_event(s, &envelope, &message);
            envelope_fini(&envelope);
        }
        free(p);
    }
}

static void on_settled(void *arg, int status, const struct redisReply *reply) {
    struct bus_subscription *s = read_done(arg, status);
    (void)reply;
    if (s != NULL)
        synced(s);
}

/* What was read may be ahead of the subscription connection: events of other topics with lower ids
 * may still be on their way there, and must not be passed. Behind its answer to a PING they are
 * not. */
static void settle(struct bus_subscription *s) {
    struct history_read *read = read_new(s);
    if (bus_settle(s->bus, on_settled, read) != RELAY_OK)
        read_done(read, RELAY_ECONN); /* it is gone, and its return begins anew */
}

static void on_page(void *arg, int status, const struct redisReply *reply) {
    const struct event_id goal = ((struct history_read *)arg)->goal;
    const size_t count = ((struct history_read *)arg)->count;
    struct bus_subscription *s = log_read_done(arg, status, reply);
    if (s == NULL || reply->type != REDIS_REPLY_ARRAY)
        return;
    struct buf message = BUF_INIT;
    bool moved = false;
    for (size_t i = 0; i < reply->elements; i++) {
        struct log_entry e;
        if (!log_entry_parse(&s->bus->domain, reply->element[i], &e) ||
            id_compare(&e.id, &s->ring.top) <= 0)
            continue;
        log_entry_message(&e, &message);
        add(s, &e.id, &e.prev, message.data, message.len, NULL);
        moved = true;
    }
    buf_fini(&message);
    if (moved && reply->elements == count) {
        fill(s, &goal);
        return;
    }
    if (id_compare(&goal, &s->ring.top) > 0)
        restart_ring(s, &goal); /* trimmed meanwhile: replays find that out from the log */
    settle(s);
}

/* Read what was published behind the top, at least up to @goal. */
static void fill(struct bus_subscription *s, const struct event_id *goal) {
    struct history_read *read = read_new(s);
    read->goal = *goal;
    read->count = log_count(s, PAGE_ENTRIES);
    s->history = HISTORY_READING;
    if (log_read(s->bus, s, false, &s->ring.top, NULL, read->count, on_page, read) != RELAY_OK)
        read_done(read, RELAY_ECONN);
}

/* After a failover the top may be of what is gone, and ids of now be behind it in the log. */
static void set_back_top(struct bus_subscription *s) {
    struct event_id pos;
    if (domain_place(&s->bus->domain, &s->ring.top, &pos) != 0)
        restart_ring(s, &pos);
}

static void take_last(struct bus_subscription *s, const struct event_id *last) {
    if (s->known)
        set_back_top(s);
    if (s->known && id_compare(last, &s->ring.top) > 0) {
        fill(s, last);
        return;
    }
    if (!s->known || id_compare(last, &s->ring.top) < 0)
        restart_ring(s, last);
    settle(s);
}

static void on_newest(void *arg, int status, const struct redisReply *reply) {
    struct bus_subscription *s = read_done(arg, status);
    struct log_entry e;
    if (s == NULL || reply->type != REDIS_REPLY_ARRAY)
        return;
    struct event_id last = domain_zero(&s->bus->domain);
    if (reply->elements > 0 && log_entry_parse(&s->bus->domain, reply->element[0], &e))
        last = e.id;
    take_last(s, &last);
}

static void on_last(void *arg, int status, const struct redisReply *reply) {
    struct bus_subscription *s = read_done(arg, status);
    struct event_id last;
    if (s == NULL)
        return;
    if (reply->type == REDIS_REPLY_STRING && id_parse(reply->str, reply->len, &last) == RELAY_OK &&
        strcmp(last.birth, s->bus->domain.position.birth) == 0) {
        take_last(s, &last);
        return;
    }
    s->bus->clock_due = true; /* there may have been a birth, and then all is read anew */
    struct history_read *read = read_new(s); /* its last id is not kept: the log's newest entry */
    if (log_read(s->bus, s, true, NULL, NULL, 1, on_newest, read) != RELAY_OK)
        read_done(read, RELAY_ECONN);
}

static void read_last(struct bus_subscription *s) {
    struct buf key = BUF_INIT;
    struct history_read *read = read_new(s);
    s->history = HISTORY_READING;
    names_last(&key, s->bus->options.prefix, BUS_TAG, s->topic, s->topic_len);
    const char *argv[] = {"GET", key.data};
    const size_t argv_len[] = {3, key.len};
    if (redis_client_command(&s->bus->reader, 2, argv, argv_len, on_last, read) != RELAY_OK)
        read_done(read, RELAY_ECONN);
    buf_fini(&key);
}

void history_begin(struct bus_subscription *s) {
    struct bus *bus = s->bus;
    read_forget(s);
    s->history = HISTORY_UNKNOWN;
    s->doubted = false;
    s->extended = s->reaches_back = false; /* a server before this one may have trimmed more */
    if (!bus->domain.known || bus->reader.state != REDIS_CLIENT_READY)
        return; /* history_resume() comes */
    if (s->known && strcmp(s->ring.top.birth, bus->domain.position.birth) != 0) {
        struct event_id zero = domain_zero(&bus->domain);
        restart_ring(s, &zero);
        s->known = false;
    }
    read_last(s);
}

void history_resume(struct bus *bus) {
    if (!bus->domain.known) {
        clock_read(bus);
        return;
    }
    for (struct bus_subscription *s = bus->subscriptions; s != NULL; s = s->hh.next)
        if (s->state == BUS_TOPIC_CONFIRMED && s->history != HISTORY_SYNCED && s->read == NULL)
            history_begin(s);
}

/* A read that Redis refused (it was loading, say) is asked for by nobody else. */
void history_watch(struct bus *bus) {
    bool under_way = bus->domain.reads_sent != bus->domain.reads_done;
    if (bus->reader.state != REDIS_CLIENT_READY || bus->subscriber.state != REDIS_CLIENT_READY ||
        (!bus->domain.known && under_way))
        return;
    history_resume(bus);
    bus->replays_due = true;
}

void history_restart(struct bus *bus) {
    bus->domain.known = false;
    doubt_forget(bus);
    for (struct bus_subscription *s = bus->subscriptions; s != NULL; s = s->hh.next) {
        if (s->history == HISTORY_SYNCED)
            subscriptions_tell_gap_to_all(s, 0);
        read_forget(s);
        s->history = HISTORY_UNKNOWN;
    }
    clock_read(bus);
}

/* The script has looked at the clock over the publishing connection, and may have begun an epoch.
 */
void history_clock_known(struct bus *bus, const struct event_id *position) {
    const struct domain *d = &bus->domain;
    if (!d->known || !d->exists || strcmp(d->position.birth, position->birth) != 0 ||
        d->position.epoch != position->epoch)
        clock_read(bus);
}

void history_free(struct bus_subscription *s) {
    read_forget(s);
    pages_forget(s);
    drop_pending(s);
    s->bus->ring_bytes -= s->ring.bytes;
    ring_fini(&s->ring);
}

/* ---- one message ---- */

static void keep_pending(struct bus_subscription *s, const redisReply *message) {
    if (s->pending_bytes + message->len > PENDING_MAX_BYTES) {
        s->pending_lost = true;
        return;
    }
    struct pending_message *p = mem_zalloc(sizeof(*p) + message->len);
    p->len = message->len;
    memcpy(p->bytes, message->str, message->len);
    s->pending_bytes += p->len;
    DL_APPEND(s->pending, p);
}

/* Both were checked by envelope_decode(). */
static void ids_of(const struct domain *d, const struct envelope *envelope, struct event_id *id,
                   struct event_id *prev) {
    id_parse(envelope->id, envelope->id_len, id);
    if (id_parse(envelope->prev, envelope->prev_len, prev) != RELAY_OK || /* 0 */
        strcmp(prev->birth, d->position.birth) != 0)
        *prev = domain_zero(d);
}

static struct frame *encode(const struct bus_subscription *s, const struct envelope *envelope,
                            const struct event_id *id) {
    struct frame_source source = {.topic = s->topic,
                                  .topic_len = s->topic_len,
                                  .event = envelope->event,
                                  .id = envelope->id,
                                  .id_len = envelope->id_len,
                                  .time_ms = id->ms};
    return frame_encode(&source, s->forms);
}

static void deliver(struct bus_subscription *s, const struct envelope *envelope,
                    const redisReply *message, const struct event_id *id,
                    const struct event_id *prev) {
    struct frame *frame = encode(s, envelope, id);
    if (frame != NULL)
        events_hand_over(s, frame_ref(frame), id);
    else
        subscriptions_tell_gap_to_all(s, 0); /* memory was short; a replay tries again */
    clock_advance(s->bus, id);
    add(s, id, prev, message->str, message->len, frame);
}

bool history_event(struct bus_subscription *s, const struct envelope *envelope,
                   const redisReply *message) {
    struct event_id id, prev, *top = &s->ring.top;
    if (s->history != HISTORY_SYNCED) {
        keep_pending(s, message);
        return true;
    }
    ids_of(&s->bus->domain, envelope, &id, &prev);
    if (strcmp(id.birth, top->birth) == 0 && id_compare(&id, top) <= 0)
        return true; /* seen */
    if (doubt_message(s, &id))
        return false;
    int link = id_compare(&prev, top);
    if (link > 0) {
        figure_add(&s->bus->figures->gaps, 1);
        subscriptions_tell_gap_to_all(s, 0);
        keep_pending(s, message);
        fill(s, &prev);
        return true;
    }
    if (link < 0) { /* a fork: what we saw last is not what was published before this */
        subscriptions_tell_gap_to_all(s, RESET_FAILOVER);
        restart_ring(s, &prev);
    }
    deliver(s, envelope, message, &id, &prev);
    return true;
}

/* ---- backwards ---- */

static void on_older(void *arg, int status, const struct redisReply *reply) {
    const struct event_id floor = ((struct history_read *)arg)->floor;
    const size_t count = ((struct history_read *)arg)->count;
    struct bus_subscription *s = log_read_done(arg, status, reply);
    if (s == NULL || reply->type != REDIS_REPLY_ARRAY)
        return;
    if (id_compare(&floor, &s->ring.floor) != 0) { /* it had to drop its oldest meanwhile */
        s->extended = true;
        s->bus->replays_due = true;
        return;
    }
    struct buf message = BUF_INIT;
    const struct bus_options *o = &s->bus->options;
    bool full = false, linked = true;
    for (size_t i = 0; i < reply->elements; i++) {
        struct log_entry e;
        linked = log_entry_parse(&s->bus->domain, reply->element[i], &e) &&
                 id_compare(&e.id, &s->ring.floor) == 0;
        if (!linked) /* trimmed in between, or of another birth */
            break;
        full = s->ring.bytes >= o->ring_topic_bytes * 3 / 4 ||
               s->bus->ring_bytes >= o->ring_node_bytes * 3 / 4;
        if (full)
            break;
        size_t before = s->ring.bytes;
        log_entry_message(&e, &message);
        ring_prepend(&s->ring, &e.id, &e.prev, message.data, message.len);
        ring_account(s, before);
    }
    buf_fini(&message);
    s->reaches_back = !full && (!linked || reply->elements < count);
    s->extended = full || s->reaches_back;
    s->bus->replays_due = true;
}

void history_extend(struct bus_subscription *s) {
    struct history_read *read = read_new(s);
    read->count = log_count(s, PAGE_ENTRIES);
    if (log_read(s->bus, s, true, NULL, &s->ring.floor, read->count, on_older, read) != RELAY_OK)
        read_done(read, RELAY_ECONN);
}
