/* The command `topics`: which topics there are, how long their logs are, how old their last events.
 *
 * The keys are walked with SCAN and looked at in batches, so memory does not grow with the number
 * of topics. On a terminal up to TOPICS_SORTED of them are held back to be sorted and aligned. */
#ifndef PUBLISHER_CLI_INSPECT_TOPICS_H
#define PUBLISHER_CLI_INSPECT_TOPICS_H

#include <stdbool.h>
#include <stdio.h>
#include <uv.h>

#include "publisher-cli/options/options.h"

enum { TOPICS_SORTED = 10000 };

/* List the topics, those that match the pattern @o->topics[0] where there is one. Returns the exit
 * code; nothing is left in @loop. */
int topics_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err);

/* Append what SCAN is to match: the keys of @kind ("log", "last") in any domain whose topic matches
 * @pattern, in which `*` stands for any text and everything else for itself, since a topic may hold
 * any other character that Redis takes for a special one. */
void topics_match(struct buf *out, const char *prefix, const char *kind, const char *pattern);

/* Find the topic in a key that topics_match() matched: *@topic points into @key. False where it is
 * a key of another kind after all, or names no topic. */
bool topics_of_key(const char *prefix, const char *kind, const char *key, size_t key_len,
                   const char **topic, size_t *topic_len);

#endif
