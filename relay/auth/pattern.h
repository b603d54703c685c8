/* Patterns of topics, as tokens and --public hold them.
 *
 * `*` stands for any run of bytes without a dot, also for none; `**` for any run at all; `{sub}`
 * for the token's subject, byte by byte. Everything else stands for itself. Pure; any thread. */
#ifndef RELAY_AUTH_PATTERN_H
#define RELAY_AUTH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

enum { PATTERN_MAX_BYTES = 512, PATTERN_TOPIC_MAX_BYTES = 256 };

/* A token's subject; data is NULL where it has none. */
struct subject {
    const char *data;
    size_t len;
};

/* Returns NULL where @pattern is one, or what is wrong ("is empty"; static storage): 1 to 512 bytes
 * of UTF-8 without control characters, no `{` but in `{sub}`, no `}` alone, and not three `*` in a
 * row, which is probably a mistake. */
const char *pattern_check(const char *pattern, size_t len);

/* Whether @topic fits @pattern, which pattern_check() has passed. A pattern with `{sub}` fits
 * nothing where the subject is missing or empty, and no pattern a topic of more than 256 bytes. The
 * work is bounded by the product of the two lengths. */
bool pattern_matches(const char *pattern, size_t pattern_len, const struct subject *subject,
                     const char *topic, size_t topic_len);

#endif
