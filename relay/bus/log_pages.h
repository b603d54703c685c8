/* Pages of logs: what replays are served from that go back further than the rings (topic.h: pages;
 * core_state.h: idle_pages). The bus thread. */
#ifndef RELAY_BUS_LOG_PAGES_H
#define RELAY_BUS_LOG_PAGES_H

#include "relay/bus/domain.h"
#include "relay/sse/frame.h"

struct page_entry {
    struct event_id id;
    uint32_t ends[FRAME_FORMATS]; /* of its body in each format, in page.bodies */
};

enum page_state {
    PAGE_READING,
    PAGE_READY,
    PAGE_OUTLINE /* its bodies were given up, since there were too many: which events there are */
};

/* A stretch of a topic's log: all events with from < id <= top. */
struct log_page {
    struct log_page *prev, *next;                   /* bus->idle_pages, while nobody holds it */
    struct log_page *of_topic_prev, *of_topic_next; /* topic->pages */
    struct bus_domain *domain;
    struct bus_topic *topic; /* NULL: forgotten, or it could not be read; nobody finds it */
    unsigned refs;
    enum page_state state;
    unsigned formats; /* that its events are encoded in */
    struct event_id from;
    struct event_id top;       /* while READING: as far as it may come at most */
    struct event_id linked_to; /* prev of its first event */
    struct page_entry *entries;
    size_t len, cap;
    size_t count;                     /* entries that were asked for */
    struct buf bodies[FRAME_FORMATS]; /* the events, one behind the other; none in an outline */
    uint64_t idle_since_ms;           /* monotonic */
    uint64_t due_ms; /* somebody comes back for it by then, probably; monotonic, 0: nobody */
};

/* What a replay wants of a page. */
struct page_wish {
    enum frame_format format;
    bool is_whole; /* no outline */
    bool is_sure;  /* none under way that may cover it or not, but one that does */
    size_t share;  /* that has as many topics: so much less is read of each */
    size_t count;  /* 0, or how many entries to read */
};

/* A page that covers @pos, or one under way that may; read now where there is none. Held until
 * page_put(). NULL: it cannot be read now; there is no connection, or Redis refused lately. */
struct log_page *page_get(struct bus_topic *t, const struct event_id *pos,
                          const struct page_wish *wish);
void page_put(struct log_page *p);

/* How many events of an outline behind @pos to read at once, 1 at least: they are not many bytes.
 */
size_t page_outline_count(const struct log_page *p, const struct event_id *pos,
                          const struct page_wish *wish);

/* Ask for the page behind @p, which is being served, unless it is there or the replay has many
 * topics. */
void page_read_ahead(struct log_page *p, const struct page_wish *wish);

/* A replay goes on behind @pos once its client has taken what it was sent, which may last: @p is
 * kept for it, where it covers that, and is else what goes first. */
void page_keep_for(struct log_page *p, const struct event_id *pos);

bool page_covers(const struct log_page *p, const struct event_id *pos); /* what lies behind it */
size_t page_find(const struct log_page *p, const struct event_id *pos); /* as ring_find() */

/* The bytes of event @i, of no outline; none where it does not decode: nobody can be given it. */
struct frame_slice page_body(const struct log_page *p, size_t i, enum frame_format format);

/* Whether something behind @pos is gone: the page's first event is not linked to it. */
bool page_misses(const struct log_page *p, const struct event_id *pos);

void pages_forget(struct bus_topic *t);
void pages_expire(struct bus *bus); /* those that nobody held for a while */

#endif
