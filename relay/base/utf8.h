/* UTF-8 validity (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF). Any thread. */
#ifndef RELAY_BASE_UTF8_H
#define RELAY_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

bool utf8_valid(const char *s, size_t len);

/* True where @s (valid UTF-8) holds a control character: C0, DEL or C1. */
bool utf8_has_control(const char *s, size_t len);

#endif
