/* Payloads to text and back; see payload.h. */
#include "tests/bench/payload.h"

#include <string.h>

enum { DIGITS = 16, HEAD_BYTES = 2 * (DIGITS + 1), PERIOD = 26 };

static const char pattern[PERIOD + 1] = "abcdefghijklmnopqrstuvwxyz";

static void hex_write(char *text, uint64_t value) {
    for (int i = DIGITS - 1; i >= 0; i--, value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
}

static bool hex_read(const char *text, uint64_t *value) {
    uint64_t v = 0;
    for (int i = 0; i < DIGITS; i++) {
        unsigned c = (unsigned char)text[i];
        unsigned digit = c - '0' <= 9 ? c - '0' : c - 'a' <= 5 ? c - 'a' + 10 : 16;
        if (digit > 15)
            return false;
        v = v << 4 | digit;
    }
    *value = v;
    return true;
}

void payload_write(char *text, size_t size, const struct payload *p) {
    hex_write(text, p->seq);
    text[DIGITS] = ' ';
    hex_write(text + DIGITS + 1, p->due_ns);
    text[HEAD_BYTES - 1] = ' ';
    for (size_t i = HEAD_BYTES; i < size; i++)
        text[i] = pattern[(i - HEAD_BYTES) % PERIOD];
}

bool payload_read(const char *text, size_t length, size_t size, struct payload *p) {
    if (length != size || length < HEAD_BYTES || text[DIGITS] != ' ' ||
        text[HEAD_BYTES - 1] != ' ' || !hex_read(text, &p->seq) ||
        !hex_read(text + DIGITS + 1, &p->due_ns))
        return false;
    for (size_t i = HEAD_BYTES; i < length; i += PERIOD) {
        size_t n = length - i < PERIOD ? length - i : PERIOD;
        if (memcmp(text + i, pattern, n) != 0)
            return false;
    }
    return true;
}
