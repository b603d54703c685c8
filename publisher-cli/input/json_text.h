/* JSON as text (RFC 8259): where a value ends, the same without its white space, the bytes of a
 * string. No tree is built, so members keep their order and numbers their digits, however large
 * they are.
 *
 * Stricter than the grammar in two places, as the relays are: text is UTF-8, and no string holds
 * half of a surrogate pair. Pure; any thread. */
#ifndef PUBLISHER_CLI_INPUT_JSON_TEXT_H
#define PUBLISHER_CLI_INPUT_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/base/buf.h"

enum { JSON_TEXT_DEPTH_MAX = 512 }; /* of arrays and objects within each other */

/* Text that is being read. The caller makes sure that it is UTF-8. */
struct json_text {
    const char *p; /* what is read next */
    const char *end;
    const char *why; /* what was wrong at `p`, as the end of a sentence (static storage) */
};

/* A value as it stands in the text, or the bytes of a string. */
struct json_span {
    const char *data;
    size_t len;
};

/* Skip white space, and @c where it is next (true) or not (false). */
bool json_text_take(struct json_text *t, char c);

/* Skip white space; whether that was all. */
bool json_text_is_over(struct json_text *t);

/* Take a string. @out is its bytes: a part of the text, or, where there were escapes, appended to
 * @memory, which moves when it grows. False: it is none, t->why says so. */
bool json_text_string(struct json_text *t, struct json_span *out, struct buf *memory);

/* Take any value and append it without white space to @compact, which may be NULL. @out, if not
 * NULL, is the value as it stands. False: it is none, t->why says so; @compact may have grown. */
bool json_text_value(struct json_text *t, struct json_span *out, struct buf *compact);

/* Append @text, which must be one value, without its white space.
 *
 * Returns NULL, or what is wrong ("is not JSON: …" as in t->why); @compact is then as it was and
 * *@at is where in @text. */
const char *json_text_compact(const char *text, size_t len, struct buf *compact, size_t *at);

#endif
