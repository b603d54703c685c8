/* Slices of replays; see replay_slice.h. */
#include "relay/bus/replay_slice.h"

#include <stdlib.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/core_state.h"
#include "relay/bus/topic_sync.h"

struct stretch stretch_of(struct bus_topic *topic, const struct log_page *page,
                          const struct event_id *pos) {
    size_t next = page != NULL ? page_find(page, pos) : ring_find(&topic->history.ring, pos);
    return (struct stretch){
        .page = page, .next = next, .bytes = topic->history.ring.bytes, .topic = topic};
}

const struct event_id *stretch_peek(const struct stretch *s) {
    if (s->page != NULL)
        return s->next < s->page->len ? &s->page->entries[s->next].id : NULL;
    return s->next < s->topic->history.ring.len ? &ring_at(&s->topic->history.ring, s->next)->id
                                                : NULL;
}

/* Its bytes. Returns RELAY_OK, or RELAY_ENOMEM, or RELAY_EINVAL: it does not decode. */
static int body_of(const struct stretch *s, enum frame_format format, struct frame_slice *out) {
    if (s->page != NULL) {
        *out = page_body(s->page, s->next, format);
        return out->len > 0 ? RELAY_OK : RELAY_EINVAL;
    }
    struct ring *ring = &s->topic->history.ring;
    struct frame *f;
    int rc =
        ring_frame(ring, ring_at(ring, s->next), s->topic->name, s->topic->name_len, format, &f);
    if (rc == RELAY_OK)
        *out = frame_slice(f, format, FRAMING_NONE);
    return rc;
}

static struct stretch *earliest(struct stretch *stretches, size_t len,
                                const struct event_id *bound) {
    struct stretch *best = NULL;
    for (size_t i = 0; i < len; i++) {
        const struct event_id *id = stretch_peek(&stretches[i]);
        if (id == NULL || (bound != NULL && id_compare(id, bound) > 0))
            continue;
        if (best == NULL || id_compare(id, stretch_peek(best)) < 0)
            best = &stretches[i];
    }
    return best;
}

/* Whether another event of @bytes may go in. */
static bool has_room(const struct slice *slice, const struct bus_replay *r, size_t bytes) {
    return slice->count < slice->max &&
           (slice->bytes.len == 0 || slice->bytes.len + bytes <= r->limit_bytes);
}

/* Nobody can be given this one: the topic's subscribers are told. */
static void note_lost(struct stretch *s, int rc) {
    s->reasons |= rc == RELAY_ENOMEM ? RESET_LIMIT : RESET_TRIMMED;
    metric_add(&s->topic->domain->bus->metrics->events_malformed, rc == RELAY_EINVAL);
}

static bool is_too_long(const struct bus_replay *r, size_t bytes) {
    return r->max_event_bytes > 0 && bytes > r->max_event_bytes;
}

static void put_body(const struct stretch *s, const struct bus_replay *r,
                     const struct frame_slice *body, struct buf *out) {
    struct buf id = BUF_INIT;
    if (!is_too_long(r, body->len)) {
        buf_append(out, body->bytes, body->len);
        return;
    }
    id_format(&id, stretch_peek(s));
    frame_put_large(out, s->topic->name, s->topic->name_len, id.data, body->len);
    buf_fini(&id);
}

void slice_gather(struct stretch *stretches, size_t len, const struct event_id *bound,
                  const struct bus_replay *r, struct slice *out) {
    struct stretch *s;
    while ((s = earliest(stretches, len, bound)) != NULL) {
        struct frame_slice body = {.len = 0};
        int rc = body_of(s, r->format, &body);
        bool waits = rc == RELAY_ENOMEM && out->count > 0; /* there may be some for the next step */
        size_t bytes = is_too_long(r, body.len) ? 0 : body.len; /* what replaces it is small */
        if (waits || (rc == RELAY_OK && !has_room(out, r, bytes))) {
            out->cut = true;
            return;
        }
        if (rc == RELAY_OK) {
            put_body(s, r, &body, &out->bytes);
            out->count++;
        } else {
            note_lost(s, rc);
        }
        out->last = *stretch_peek(s);
        s->taken = true;
        s->next++;
    }
}

void stretches_free(struct stretch *stretches, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (stretches[i].page == NULL)
            topic_sync_served(stretches[i].topic, stretches[i].bytes);
    free(stretches);
}

struct bus_event *slice_event(struct slice *slice, enum frame_format format) {
    if (slice->count == 0)
        return NULL;
    struct bus_event *e =
        bus_event_new(frame_of_bodies(slice->bytes.data, slice->bytes.len, format), NULL, 0, 0);
    e->durable = true;
    e->count = slice->count;
    e->id = slice->last;
    return e;
}
