/* Base64 of URLs; see base64url.h. */
#include "relay/auth/base64url.h"

#include <stdint.h>

#include "relay/base/err.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The six bits of a letter, or -1. */
static int bits_of(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

int base64url_decode(const char *text, size_t len, struct buf *out) {
    size_t before = out->len;
    uint32_t bits = 0;
    unsigned have = 0;
    buf_reserve(out, len * 3 / 4 + 1);
    for (size_t i = 0; i < len; i++) {
        int six = bits_of(text[i]);
        if (six < 0)
            goto refuse;
        bits = bits << 6 | (uint32_t)six;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_putc(out, (char)(bits >> have & 0xff));
        }
    }
    if (have == 6 || (bits & ((UINT32_C(1) << have) - 1)) != 0)
        goto refuse; /* one letter too many, or bits that nobody reads */
    return RELAY_OK;
refuse:
    out->len = before;
    out->data[before] = '\0';
    return RELAY_EINVAL;
}

void base64url_encode(const void *bytes, size_t len, struct buf *out) {
    const unsigned char *p = bytes;
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | p[i];
        have += 8;
        while (have >= 6) {
            have -= 6;
            buf_putc(out, alphabet[bits >> have & 63]);
        }
    }
    if (have > 0)
        buf_putc(out, alphabet[bits << (6 - have) & 63]);
}
