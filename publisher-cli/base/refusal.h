/* What Redis refused, in words: its own, without what means nothing to a reader, and what to do.
 * Pure. */
#ifndef PUBLISHER_CLI_BASE_REFUSAL_H
#define PUBLISHER_CLI_BASE_REFUSAL_H

#include "relay/base/buf.h"

/* Append @words without the position in a script that Redis adds to what a script ran into, and
 * without a full stop. */
void refusal_put_words(struct buf *out, const char *words);

/* Append what to do, where @words are of a kind of which that is known: "; …". */
void refusal_put_hint(struct buf *out, const char *words);

/* Append a sentence of ours about a refused event, @words in parentheses, and the hint. */
void refusal_put(struct buf *out, const char *words);

#endif
