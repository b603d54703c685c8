/* The timing wheel; see wheel.h. */
#include "relay/base/wheel.h"

#include <stddef.h>

static void list_init(struct wheel_entry *head) {
    head->next = head->prev = head;
}

static void list_append(struct wheel_entry *head, struct wheel_entry *e) {
    e->prev = head->prev;
    e->next = head;
    head->prev->next = e;
    head->prev = e;
}

void wheel_init(struct wheel *w, uint64_t now_ms) {
    for (int i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
    w->tick = now_ms / WHEEL_TICK_MS;
}

void wheel_entry_init(struct wheel_entry *e) {
    e->next = e->prev = NULL;
    e->due_ms = 0;
}

bool wheel_entry_is_set(const struct wheel_entry *e) {
    return e->next != NULL;
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_ms) {
    wheel_clear(e);
    uint64_t tick = due_ms / WHEEL_TICK_MS + 1; /* the first tick that begins after it is due */
    if (tick <= w->tick)
        tick = w->tick + 1;
    e->due_ms = due_ms;
    list_append(&w->slots[tick % WHEEL_SLOTS], e);
}

void wheel_clear(struct wheel_entry *e) {
    if (e->next == NULL)
        return;
    e->prev->next = e->next;
    e->next->prev = e->prev;
    e->next = e->prev = NULL;
}

/* Fire what is due in one slot. The list is moved aside first, so that whatever a callback adds to
 * this slot waits for the next turn, and whatever it removes is removed from the list being walked.
 */
static void advance_slot(struct wheel *w, struct wheel_entry *slot, uint64_t now_ms,
                         wheel_fire_cb fire, void *ctx) {
    struct wheel_entry aside;
    if (slot->next == slot)
        return;
    aside = *slot;
    aside.next->prev = aside.prev->next = &aside;
    list_init(slot);
    while (aside.next != &aside) {
        struct wheel_entry *e = aside.next;
        wheel_clear(e);
        if (e->due_ms <= now_ms)
            fire(e, now_ms, ctx);
        else
            wheel_set(w, e, e->due_ms);
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ms, wheel_fire_cb fire, void *ctx) {
    uint64_t target = now_ms / WHEEL_TICK_MS;
    uint64_t turns = target > w->tick ? target - w->tick : 0;
    if (turns > WHEEL_SLOTS) { /* the loop slept for more than a turn: each slot once is enough */
        w->tick = target - WHEEL_SLOTS;
        turns = WHEEL_SLOTS;
    }
    while (turns-- > 0) {
        w->tick++;
        advance_slot(w, &w->slots[w->tick % WHEEL_SLOTS], now_ms, fire, ctx);
    }
}
