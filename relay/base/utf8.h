/* UTF-8 validity (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF). Any thread. */
#ifndef RELAY_BASE_UTF8_H
#define RELAY_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

bool utf8_valid(const char *s, size_t len);

/* How many bytes of @s are valid before the first that are not, or its end. *@bad is the length of
 * what U+FFFD stands for there (the Unicode standard's "maximal subpart", as decoders of the web
 * count): 1 to 3, or 0 at the end. */
size_t utf8_scan(const char *s, size_t len, size_t *bad);

/* True where @s (valid UTF-8) holds a control character: C0, DEL or C1. */
bool utf8_has_control(const char *s, size_t len);

#endif
