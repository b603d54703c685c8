/* Pages of logs: what replays are served from that go back further than the rings.
 *
 * A page is read once for all who wait for it, encoded once, and kept for a moment, since those who
 * come back in a storm come with nearly equal cursors: whoever's cursor lies within a page takes
 * the rest of it. Held pages (by requests, and by the read under way) stay; the others are bounded
 * in bytes and time, and forgotten with their topic or when the clock is another one.
 *
 * What is read of Redis is to be little more than what is delivered, also where a replay has many
 * topics and each needs a page, of which a slice takes a little:
 * - What was read is kept whole, and so much is read at once as is likely to fit: the less, the
 *   more topics the replay has, and the more pages there are.
 * - Where pages get too many, the bodies of the largest go first, and its outline stays: which
 *   events there are. That is all that a replay needs to know until the first of them is the next
 *   to be delivered; then it is read again. So an event is read twice at most, be it ever so large.
 */
#include "relay/bus/log_pages.h"

#include <stdlib.h>
#include <utlist.h>

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/core_state.h"
#include "relay/bus/log_reader.h"

enum {
    PAGE_ENTRIES = 250,          /* more are not faster, and cost more where large events come */
    PAGE_BYTES = 512 * 1024,     /* of events, as much as is wanted at most, about */
    PAGE_LEAST_BYTES = 4 * 1024, /* and at least */
    PAGE_MAX_BYTES = 2 * 1024 * 1024, /* encoded; one event may exceed it */
    IDLE_BYTES = 8 * 1024 * 1024,     /* of all pages that nobody holds */
    AHEAD_TOPICS = 4,                 /* with more, what is read ahead waits for long */
    IDLE_MS = 2000,
    DUE_MS = 60 * 1000, /* a slow client takes so long for what it is sent at once */
    PASSED_MS = 100
};

/* ---- life ---- */

static size_t body_bytes(const struct log_page *p) {
    size_t bytes = 0;
    for (unsigned format = 0; format < FRAME_FORMATS; format++)
        bytes += p->bodies[format].cap;
    return bytes;
}

static size_t bytes_of(const struct log_page *p) {
    return sizeof(*p) + p->cap * sizeof(*p->entries) + body_bytes(p);
}

static void bodies_free(struct log_page *p) {
    for (unsigned format = 0; format < FRAME_FORMATS; format++)
        buf_fini(&p->bodies[format]);
}

static void page_free(struct log_page *p) {
    p->domain->bus->pages_count--;
    bodies_free(p);
    free(p->entries);
    free(p);
}

static struct log_page *hold(struct log_page *p) {
    if (p->refs++ == 0) {
        DL_DELETE(p->domain->bus->idle_pages, p);
        p->domain->bus->idle_page_bytes -= bytes_of(p);
    }
    return p;
}

/* Nobody finds it any more; it is freed when nobody holds it. */
static void forget(struct log_page *p) {
    DL_DELETE2(p->topic->pages, p, of_topic_prev, of_topic_next);
    p->topic = NULL;
    if (p->refs > 0)
        return;
    DL_DELETE(p->domain->bus->idle_pages, p);
    p->domain->bus->idle_page_bytes -= bytes_of(p);
    page_free(p);
}

static bool is_due(const struct log_page *p, uint64_t now_ms) {
    return now_ms < p->due_ms;
}

/* Whose bodies go: the page that nobody has wanted for a while, since whoever reads on has passed
 * it, or else the largest. NULL: none has any. */
static struct log_page *least_wanted(const struct bus *bus) {
    struct log_page *p, *largest = NULL;
    uint64_t now_ms = clock_mono_ms();
    DL_FOREACH(bus->idle_pages, p) { /* those that have been idle longest are first */
        if (body_bytes(p) > 0 && now_ms >= p->idle_since_ms + PASSED_MS && !is_due(p, now_ms))
            return p;
        if (body_bytes(p) > 0 && (largest == NULL || body_bytes(p) > body_bytes(largest)))
            largest = p;
    }
    return largest;
}

static void make_outline(struct log_page *p) {
    struct bus *bus = p->domain->bus;
    bus->idle_page_bytes -= bytes_of(p);
    bodies_free(p);
    p->state = PAGE_OUTLINE;
    bus->idle_page_bytes += bytes_of(p);
}

static void bound_idle(struct bus *bus) {
    while (bus->idle_page_bytes > IDLE_BYTES) {
        struct log_page *p = least_wanted(bus);
        if (p != NULL)
            make_outline(p);
        else
            forget(bus->idle_pages);
    }
}

void page_put(struct log_page *p) {
    struct bus *bus = p->domain->bus;
    if (--p->refs > 0)
        return;
    if (p->topic == NULL) {
        page_free(p);
        return;
    }
    p->idle_since_ms = clock_mono_ms();
    DL_APPEND(bus->idle_pages, p);
    bus->idle_page_bytes += bytes_of(p);
    bound_idle(bus);
}

void pages_forget(struct bus_topic *t) {
    while (t->pages != NULL)
        forget(t->pages);
}

void pages_expire(struct bus *bus) {
    struct log_page *p, *next;
    uint64_t now_ms = clock_mono_ms();
    DL_FOREACH_SAFE(bus->idle_pages, p, next) {
        if (p->idle_since_ms + IDLE_MS > now_ms)
            return; /* so are all behind it */
        if (!is_due(p, now_ms))
            forget(p);
    }
}

/* ---- reading ---- */

/* Encode @e behind what the page holds, its id as text in @id. What does not decode is an entry
 * without a body. */
static void encode(struct log_page *p, const struct log_entry *e, const struct buf *id) {
    struct page_entry *entry = &p->entries[p->len++];
    struct envelope envelope;
    const char *why;
    bool readable = envelope_decode_json(e->json, e->json_len, &envelope, &why) == RELAY_OK;
    entry->id = e->id;
    for (unsigned format = 0; format < FRAME_FORMATS; format++) {
        if (readable && (p->formats & (1u << format)) != 0) {
            struct frame_source source = {.topic = p->topic->name,
                                          .topic_len = p->topic->name_len,
                                          .event = envelope.event,
                                          .id = id->data,
                                          .id_len = id->len,
                                          .time_ms = e->id.ms};
            frame_put_body(&p->bodies[format], &source, format);
        }
        entry->ends[format] = (uint32_t)p->bodies[format].len;
    }
    if (readable)
        envelope_fini(&envelope);
}

static bool has_room(const struct log_page *p, const struct log_entry *e) {
    size_t bytes = e->json_len;
    for (unsigned format = 0; format < FRAME_FORMATS; format++)
        bytes += p->bodies[format].len;
    return p->len == 0 || bytes <= PAGE_MAX_BYTES;
}

/* Take entries until the page is full, or one is not linked to the one before it: what is behind
 * that is another page, whose beginning is missing. */
static void take_entries(struct log_page *p, const redisReply *reply) {
    const struct domain_clock *clock = &p->domain->clock;
    struct buf id = BUF_INIT;
    struct log_entry e;
    size_t taken = 0;
    p->cap = reply->elements;
    p->entries = mem_zalloc((p->cap + 1) * sizeof(*p->entries));
    for (; taken < reply->elements; taken++) {
        const struct event_id *last = p->len > 0 ? &p->entries[p->len - 1].id : &p->from;
        if (!log_entry_known(clock, reply->element[taken], &e) || id_compare(&e.id, last) <= 0)
            continue;
        if (!has_room(p, &e) || (p->len > 0 && id_compare(&e.prev, last) > 0))
            break;
        if (p->len == 0)
            p->linked_to = e.prev;
        buf_reset(&id);
        id_format(&id, &e.id);
        encode(p, &e, &id);
    }
    buf_fini(&id);
    for (unsigned format = 0; format < FRAME_FORMATS; format++)
        buf_trim(&p->bodies[format]);
    if (taken == reply->elements && taken < p->count)
        return; /* complete up to where it was asked for */
    if (p->len > 0)
        p->top = p->entries[p->len - 1].id;
    else if (log_entry_place(reply->element[taken - 1], &e.id)) { /* all of a clock before ours */
        p->top = p->from;
        p->top.ms = e.id.ms;
        p->top.seq = e.id.seq;
    }
}

static void on_page(void *arg, int status, const struct redisReply *reply) {
    struct log_page *p = arg;
    struct bus *bus = p->domain->bus;
    bus->replays_due = true;
    if (p->topic != NULL)
        log_answered(p->topic, status, reply, p->count);
    if (p->topic != NULL && status == RELAY_OK && reply->type == REDIS_REPLY_ARRAY) {
        p->state = PAGE_READY;
        take_entries(p, reply);
    } else if (p->topic != NULL) {
        forget(p); /* who holds it asks again */
    }
    page_put(p);
}

/* How many bytes to ask for: what all topics of the replay have fits twice, and all pages do. */
static size_t wanted_bytes(const struct bus *bus, const struct page_wish *wish) {
    size_t others = bus->pages_count / 2 > wish->share ? bus->pages_count / 2 : wish->share;
    size_t bytes = IDLE_BYTES / 4 / (others + 1);
    if (bytes > PAGE_BYTES)
        return PAGE_BYTES;
    return bytes > PAGE_LEAST_BYTES ? bytes : PAGE_LEAST_BYTES;
}

/* Held by the read. NULL: it cannot be read now. */
static struct log_page *read_page(struct bus_topic *t, const struct event_id *from,
                                  const struct page_wish *wish) {
    size_t bytes = wanted_bytes(t->domain->bus, wish);
    size_t count = wish->count > 0 ? wish->count : log_count_of(t, PAGE_ENTRIES, bytes);
    struct log_page *p = mem_zalloc(sizeof(*p));
    *p = (struct log_page){.domain = t->domain,
                           .topic = t,
                           .refs = 1,
                           .formats = t->formats,
                           .count = count,
                           .from = *from,
                           .top = t->history.ring.floor};
    const struct log_range range = {.from = from, .to = &p->top};
    if (log_read(t, &range, p->count, on_page, p) != RELAY_OK) {
        free(p);
        return NULL;
    }
    DL_APPEND2(t->pages, p, of_topic_prev, of_topic_next);
    t->domain->bus->pages_count++;
    return p;
}

struct log_page *page_get(struct bus_topic *t, const struct event_id *pos,
                          const struct page_wish *wish) {
    struct log_page *p, *best = NULL, *outline = NULL;
    DL_FOREACH2(t->pages, p, of_topic_next) {
        bool may = page_covers(p, pos) && (p->formats & (1u << wish->format)) != 0;
        if (may && p->state == PAGE_READY)
            return hold(p);
        if (may && p->state == PAGE_OUTLINE) {
            outline = wish->is_whole ? NULL : p;
            continue;
        }
        if (may && wish->is_sure)
            may = id_compare(&p->from, pos) == 0;
        if (may && (best == NULL || id_compare(&p->from, &best->from) > 0))
            best = p;
    }
    if (best == NULL)
        best = outline;
    if (best == NULL)
        best = read_page(t, pos, wish);
    return best != NULL ? hold(best) : NULL;
}

size_t page_outline_count(const struct log_page *p, const struct event_id *pos,
                          const struct page_wish *wish) {
    size_t first = page_find(p, pos), count = 0;
    size_t bytes = wanted_bytes(p->domain->bus, wish);
    uint32_t start = first > 0 ? p->entries[first - 1].ends[wish->format] : 0;
    while (first + count < p->len && p->entries[first + count].ends[wish->format] - start <= bytes)
        count++;
    return count > 0 ? count : 1;
}

void page_read_ahead(struct log_page *page, const struct page_wish *wish) {
    struct bus_topic *t = page->topic;
    struct log_page *p;
    if (id_compare(&page->top, &t->history.ring.floor) >= 0 || wish->share > AHEAD_TOPICS ||
        t->domain->bus->idle_page_bytes > IDLE_BYTES / 2)
        return;
    DL_FOREACH2(t->pages, p, of_topic_next) {
        if (page_covers(p, &page->top) && (p->formats & (1u << wish->format)) != 0)
            break;
    }
    if (p == NULL)
        p = read_page(t, &page->top, wish);
    if (p != NULL)
        page_keep_for(p, &page->top);
}

void page_keep_for(struct log_page *p, const struct event_id *pos) {
    p->due_ms = page_covers(p, pos) ? clock_mono_ms() + DUE_MS : 0;
}

/* ---- what is in it ---- */

bool page_covers(const struct log_page *p, const struct event_id *pos) {
    return id_compare(pos, &p->from) >= 0 && id_compare(pos, &p->top) < 0;
}

size_t page_find(const struct log_page *p, const struct event_id *pos) {
    size_t low = 0, high = p->len;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (id_compare(&p->entries[middle].id, pos) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

struct frame_slice page_body(const struct log_page *p, size_t i, enum frame_format format) {
    uint32_t start = i > 0 ? p->entries[i - 1].ends[format] : 0, end = p->entries[i].ends[format];
    return (struct frame_slice){end > start ? p->bodies[format].data + start : NULL, end - start};
}

bool page_misses(const struct log_page *p, const struct event_id *pos) {
    size_t i = page_find(p, pos);
    if (i == p->len)
        return true;
    return i == 0 && (id_compare(&p->linked_to, pos) > 0 ||
                      (p->linked_to.ms == 0 &&
                       domain_clock_forgot(&p->domain->clock, pos, p->entries[0].id.ms)));
}
