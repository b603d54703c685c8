/* What one subscriber has seen: tells a new event from one that comes late or twice.
 *
 * It remembers the last LEDGER_WINDOW numbers exactly. An event that is older counts as a
 * duplicate, so one that is more than that late shows as a loss and a duplicate: wrong in name,
 * never silent. */
#ifndef BENCH_LEDGER_H
#define BENCH_LEDGER_H

#include <stdint.h>

enum { LEDGER_WINDOW = 64 };

enum ledger_verdict { LEDGER_NEW, LEDGER_LATE, LEDGER_DUPLICATE };

struct ledger {
    uint64_t next; /* one past the highest number seen */
    uint64_t seen; /* bit i: the number next - 1 - i was seen */
};

/* Begin a run whose first number is @first. */
static inline void ledger_start(struct ledger *l, uint64_t first) {
    l->next = first;
    l->seen = 0;
}

/* Note the number @seq, at or above the first of the run. On LEDGER_NEW @skipped is how many
 * numbers below it are still missing because of it; each LEDGER_LATE makes up for one of them. */
static inline enum ledger_verdict ledger_note(struct ledger *l, uint64_t seq, uint64_t *skipped) {
    if (seq >= l->next) {
        *skipped = seq - l->next;
        l->seen = *skipped + 1 < LEDGER_WINDOW ? l->seen << (*skipped + 1) | 1 : 1;
        l->next = seq + 1;
        return LEDGER_NEW;
    }
    uint64_t age = l->next - 1 - seq;
    if (age >= LEDGER_WINDOW || (l->seen >> age & 1) != 0)
        return LEDGER_DUPLICATE;
    l->seen |= UINT64_C(1) << age;
    return LEDGER_LATE;
}

#endif
