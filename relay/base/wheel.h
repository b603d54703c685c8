/* A timing wheel: very many deadlines, set and cleared at no cost, that fire within one tick.
 *
 * For deadlines of connections (heartbeat, request head, maximum age), where a uv_timer_t each
 * would cost a heap and 150 bytes a client. The owner calls wheel_advance() from one timer.
 * Embedded; one thread; time is passed in. */
#ifndef RELAY_BASE_WHEEL_H
#define RELAY_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum { WHEEL_SLOTS = 512, WHEEL_TICK_MS = 100 };

struct wheel_entry {
    struct wheel_entry *next; /* NULL when not in a wheel */
    struct wheel_entry *prev;
    uint64_t due_ms; /* when it fires; an entry may stay in its slot for several turns */
};

typedef void (*wheel_fire_cb)(struct wheel_entry *e, uint64_t now_ms, void *ctx);

struct wheel {
    struct wheel_entry slots[WHEEL_SLOTS]; /* heads of circular lists */
    uint64_t tick;                         /* the last tick that was advanced to */
};

void wheel_init(struct wheel *w, uint64_t now_ms);

/* Not in any wheel. */
void wheel_entry_init(struct wheel_entry *e);
bool wheel_entry_is_set(const struct wheel_entry *e);

/* Let @e fire at @due_ms or up to one tick later; moves it when it was set. */
void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_ms);

/* Take @e out; nothing happens when it was not set. */
void wheel_clear(struct wheel_entry *e);

/* Fire everything that is due at @now_ms. An entry is out of the wheel when @fire is called and may
 * be set again or freed there; @fire may clear or free any other entry too. */
void wheel_advance(struct wheel *w, uint64_t now_ms, wheel_fire_cb fire, void *ctx);

#endif
