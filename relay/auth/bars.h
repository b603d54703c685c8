/* Who may not come back yet: the bars that the node knows, of subjects, tokens and topics
 * (relay/wire/kick.h).
 *
 * One per process. The bus's thread changes it; any thread may ask. Times are those of
 * clock_mono_ms(). */
#ifndef RELAY_AUTH_BARS_H
#define RELAY_AUTH_BARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/wire/kick.h"

struct bars;

struct bars *bars_new(void);
void bars_free(struct bars *b); /* NULL does no harm */

/* ---- any thread ---- */

/* When the bar of this name ends; 0: there is none, or it is over at @now_ms. */
uint64_t bars_end_ms(struct bars *b, enum kick_by by, const char *name, size_t len,
                     uint64_t now_ms);

/* ---- the bus's thread ---- */

/* Put a bar, or change when it ends. *@is_new: there was none of this name.
 *
 * Returns RELAY_OK, or RELAY_EOVERFLOW: there are KICK_BARS_MAX others. */
int bars_put(struct bars *b, const struct kick_bar *bar, uint64_t end_ms, bool *is_new);
void bars_lift(struct bars *b, const struct kick_bar *bar);

/* All bars are about to be read anew; they were, and put: those that were not put since the former
 * are none any more. */
void bars_reading(struct bars *b);
void bars_read(struct bars *b);

/* Forget those that are over. Cheap where none is. */
void bars_expire(struct bars *b, uint64_t now_ms);

size_t bars_count(struct bars *b);

#endif
