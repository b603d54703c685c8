/* Headers that a user gives for a request, as curl takes them. Pure; any thread. */
#ifndef PUBLISHER_CLI_BASE_HEADER_H
#define PUBLISHER_CLI_BASE_HEADER_H

#include <stdbool.h>
#include <stddef.h>

/* NULL when @text is `Name: value`, `Name:` or `Name;`, or what is wrong, as topic_check(). */
const char *header_check(const char *text, size_t len);

/* NULL when @text may be a header's value: no control character but the tab. */
const char *header_value_check(const char *text, size_t len);

/* Whether the header @text, which header_check() took, is of that name, in any case of letters. */
bool header_is_named(const char *text, const char *name);

#endif
