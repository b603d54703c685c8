/* UTF-8 validity; see utf8.h. */
#include "relay/base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the sequence that starts with @lead, and the range that its second byte must lie in
 * (RFC 3629, section 4); 0 for a byte that starts none. */
static size_t sequence(unsigned char lead, unsigned char *low, unsigned char *high) {
    *low = 0x80;
    *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0)
            *low = 0xa0;
        if (lead == 0xed)
            *high = 0x9f;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0)
            *low = 0x90;
        if (lead == 0xf4)
            *high = 0x8f;
        return 4;
    }
    return 0;
}

/* How many of @len bytes at @p, at least one, begin a character, or are one where *@whole. */
static size_t step(const unsigned char *p, size_t len, bool *whole) {
    unsigned char low, high;
    size_t n = sequence(*p, &low, &high), i = 1;
    if (i < n && i < len && (p[i] < low || p[i] > high))
        len = i;
    while (i < n && i < len && (p[i] & 0xc0) == 0x80)
        i++;
    *whole = i == n;
    return i;
}

size_t utf8_scan(const char *s, size_t len, size_t *bad) {
    *bad = 0;
    if (len == 0)
        return 0; /* @s may be NULL */
    const unsigned char *p = (const unsigned char *)s;
    const unsigned char *end = p + len;
    while (p < end) {
        uint64_t word;
        if (end - p >= 8 && (memcpy(&word, p, 8), (word & UINT64_C(0x8080808080808080)) == 0)) {
            p += 8;
            continue;
        }
        if (*p < 0x80) {
            p++;
            continue;
        }
        bool whole;
        size_t n = step(p, (size_t)(end - p), &whole);
        if (!whole) {
            *bad = n;
            break;
        }
        p += n;
    }
    return (size_t)(p - (const unsigned char *)s);
}

bool utf8_valid(const char *s, size_t len) {
    size_t bad;
    return utf8_scan(s, len, &bad) == len;
}

bool utf8_has_control(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c == 0x7f)
            return true;
        if (c == 0xc2 && i + 1 < len && (unsigned char)s[i + 1] <= 0x9f)
            return true;
    }
    return false;
}
