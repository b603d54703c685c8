/* Pages of logs: what replays are served from that go back further than the rings.
 *
 * A page is read once for all who wait for it, encoded once, and kept for a moment, since those who
 * come back in a storm come with nearly equal cursors: whoever's cursor lies within a page takes
 * the rest of it. Held pages (by requests, and by the read under way) stay; the others are bounded
 * in bytes and time, and forgotten with their topic or when the clock is another one. */
#include <stdlib.h>
#include <utlist.h>

#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/bus/internal.h"

enum {
    PAGE_ENTRIES = 1000,
    PAGE_BYTES = 512 * 1024,      /* encoded; one event may exceed it */
    IDLE_BYTES = 8 * 1024 * 1024, /* of all pages that nobody holds */
    IDLE_MS = 2000
};

/* ---- life ---- */

static size_t bytes_of(const struct log_page *p) {
    size_t bytes = sizeof(*p) + p->cap * sizeof(*p->entries);
    for (unsigned form = 0; form < FRAME_FORMS; form++)
        bytes += p->bodies[form].cap;
    return bytes;
}

static void page_free(struct log_page *p) {
    for (unsigned form = 0; form < FRAME_FORMS; form++)
        buf_fini(&p->bodies[form]);
    free(p->entries);
    free(p);
}

static struct log_page *hold(struct log_page *p) {
    if (p->refs++ == 0) {
        DL_DELETE(p->bus->idle_pages, p);
        p->bus->idle_page_bytes -= bytes_of(p);
    }
    return p;
}

/* Nobody finds it any more; it is freed when nobody holds it. */
static void forget(struct log_page *p) {
    DL_DELETE2(p->topic->pages, p, of_topic_prev, of_topic_next);
    p->topic = NULL;
    if (p->refs > 0)
        return;
    DL_DELETE(p->bus->idle_pages, p);
    p->bus->idle_page_bytes -= bytes_of(p);
    page_free(p);
}

void page_put(struct log_page *p) {
    struct bus *bus = p->bus;
    if (--p->refs > 0)
        return;
    if (p->topic == NULL) {
        page_free(p);
        return;
    }
    p->idle_since_ms = uv_now(&bus->loop);
    DL_APPEND(bus->idle_pages, p);
    bus->idle_page_bytes += bytes_of(p);
    while (bus->idle_page_bytes > IDLE_BYTES)
        forget(bus->idle_pages); /* the one that has been idle longest */
}

void pages_forget(struct bus_subscription *s) {
    while (s->pages != NULL)
        forget(s->pages);
}

void pages_expire(struct bus *bus) {
    while (bus->idle_pages != NULL &&
           bus->idle_pages->idle_since_ms + IDLE_MS <= uv_now(&bus->loop))
        forget(bus->idle_pages);
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
    for (unsigned form = 0; form < FRAME_FORMS; form++) {
        if (readable && (p->forms & (1u << form)) != 0) {
            struct frame_source source = {.topic = p->topic->topic,
                                          .topic_len = p->topic->topic_len,
                                          .event = envelope.event,
                                          .id = id->data,
                                          .id_len = id->len,
                                          .time_ms = e->id.ms};
            frame_put_body(&p->bodies[form], &source, form);
        }
        entry->ends[form] = (uint32_t)p->bodies[form].len;
    }
    if (readable)
        envelope_fini(&envelope);
}

static bool is_full(const struct log_page *p) {
    size_t bytes = 0;
    for (unsigned form = 0; form < FRAME_FORMS; form++)
        bytes += p->bodies[form].len;
    return bytes >= PAGE_BYTES;
}

/* Take entries until the page is full, or one is not linked to the one before it: what is behind
 * that is another page, whose beginning is missing. */
static void take_entries(struct log_page *p, const redisReply *reply) {
    const struct domain *d = &p->bus->domain;
    struct buf id = BUF_INIT;
    struct log_entry e;
    size_t taken = 0;
    p->cap = reply->elements;
    p->entries = mem_zalloc((p->cap + 1) * sizeof(*p->entries));
    for (; taken < reply->elements && !is_full(p); taken++) {
        if (!log_entry_parse(d, reply->element[taken], &e) || id_compare(&e.id, &p->from) <= 0)
            continue;
        if (p->len > 0 && id_compare(&e.prev, &p->entries[p->len - 1].id) > 0)
            break;
        if (p->len == 0)
            p->linked_to = e.prev;
        buf_reset(&id);
        id_format(&id, &e.id);
        encode(p, &e, &id);
    }
    buf_fini(&id);
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
    struct bus *bus = p->bus;
    bus->replays_due = true;
    if (p->topic != NULL)
        log_answered(p->topic, status, reply);
    if (p->topic != NULL && status == RELAY_OK && reply->type == REDIS_REPLY_ARRAY) {
        p->state = PAGE_READY;
        take_entries(p, reply);
    } else if (p->topic != NULL) {
        forget(p); /* who holds it asks again */
    }
    page_put(p);
}

/* Held by the read. NULL: it cannot be read now. */
static struct log_page *read_page(struct bus_subscription *s, const struct event_id *from) {
    struct log_page *p = mem_zalloc(sizeof(*p));
    *p = (struct log_page){.bus = s->bus,
                           .topic = s,
                           .refs = 1,
                           .forms = s->forms,
                           .count = log_count(s, PAGE_ENTRIES),
                           .from = *from,
                           .top = s->ring.floor};
    if (log_read(s->bus, s, false, from, &p->top, p->count, on_page, p) != RELAY_OK) {
        free(p);
        return NULL;
    }
    DL_APPEND2(s->pages, p, of_topic_prev, of_topic_next);
    return p;
}

struct log_page *page_get(struct bus_subscription *s, const struct event_id *pos,
                          enum frame_form form, bool sure) {
    struct log_page *p, *best = NULL;
    DL_FOREACH2(s->pages, p, of_topic_next) {
        bool may = page_covers(p, pos) && (p->forms & (1u << form)) != 0;
        if (may && p->state == PAGE_READY)
            return hold(p);
        if (may && sure)
            may = id_compare(&p->from, pos) == 0;
        if (may && (best == NULL || id_compare(&p->from, &best->from) > 0))
            best = p;
    }
    if (best == NULL)
        best = read_page(s, pos);
    return best != NULL ? hold(best) : NULL;
}

void page_read_ahead(struct log_page *page, enum frame_form form) {
    struct bus_subscription *s = page->topic;
    struct log_page *p;
    if (id_compare(&page->top, &s->ring.floor) >= 0 || s->bus->idle_page_bytes > IDLE_BYTES / 2)
        return;
    DL_FOREACH2(s->pages, p, of_topic_next) {
        if (page_covers(p, &page->top) && (p->forms & (1u << form)) != 0)
            return;
    }
    read_page(s, &page->top);
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

struct frame_slice page_body(const struct log_page *p, size_t i, enum frame_form form) {
    uint32_t start = i > 0 ? p->entries[i - 1].ends[form] : 0, end = p->entries[i].ends[form];
    return (struct frame_slice){end > start ? p->bodies[form].data + start : NULL, end - start};
}

bool page_misses(const struct log_page *p, const struct event_id *pos) {
    size_t i = page_find(p, pos);
    if (i == p->len)
        return true;
    return i == 0 &&
           (id_compare(&p->linked_to, pos) > 0 ||
            (p->linked_to.ms == 0 && domain_forgot(&p->bus->domain, pos, p->entries[0].id.ms)));
}
