/* Which of some words was probably meant by one that is none of them. Pure; any thread. */
#ifndef RELAY_OPTIONS_SUGGEST_H
#define RELAY_OPTIONS_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

struct suggestion {
    const char *wanted; /* borrowed */
    size_t best; /* a word has to be nearer than this: bytes inserted, deleted, replaced, swapped */
};

/* Nothing is near to what is longer than 39 bytes; else up to a third of @wanted may be wrong. */
void suggest_init(struct suggestion *n, const char *wanted);

/* Whether @word is nearer than all that were tried before. */
bool suggest_try(struct suggestion *n, const char *word);

#endif
