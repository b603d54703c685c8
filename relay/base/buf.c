/* A growable array of bytes; see buf.h. */
#include "relay/base/buf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"

enum { BUF_FIRST_CAP = 128 };

void buf_init(struct buf *b) {
    *b = (struct buf)BUF_INIT;
}

void buf_fini(struct buf *b) {
    free(b->data);
    buf_init(b);
}

void buf_reset(struct buf *b) {
    b->len = 0;
    if (b->data != NULL)
        b->data[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t extra) {
    size_t need = b->len + extra + 1;
    if (need > b->cap) {
        size_t cap = b->cap == 0 ? BUF_FIRST_CAP : b->cap * 2;
        b->cap = cap < need ? need : cap;
        b->data = mem_realloc(b->data, b->cap);
    }
    return b->data + b->len;
}

void buf_append(struct buf *b, const void *bytes, size_t len) {
    char *end = buf_reserve(b, len);
    if (len > 0)
        memcpy(end, bytes, len);
    end[len] = '\0';
    b->len += len;
}

void buf_puts(struct buf *b, const char *s) {
    buf_append(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c) {
    buf_append(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return;
    char *end = buf_reserve(b, (size_t)len);
    va_start(args, format);
    vsnprintf(end, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
}

static void put_json_escape(struct buf *b, unsigned char c) {
    static const char digits[] = "0123456789abcdef";
    switch (c) {
    case '"':
        buf_puts(b, "\\\"");
        break;
    case '\\':
        buf_puts(b, "\\\\");
        break;
    case '\n':
        buf_puts(b, "\\n");
        break;
    case '\r':
        buf_puts(b, "\\r");
        break;
    case '\t':
        buf_puts(b, "\\t");
        break;
    default:
        buf_append(b, (char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}, 6);
    }
}

/* The code point of the line separator at the beginning of @s, and the bytes it takes; 0: none. */
static unsigned line_separator(const char *s, size_t len, size_t *bytes) {
    *bytes = len > 1 && s[0] == '\xc2' ? 2 : 3;
    if (len > 1 && memcmp(s, "\xc2\x85", 2) == 0)
        return 0x85;
    if (len > 2 && memcmp(s, "\xe2\x80\xa8", 3) == 0)
        return 0x2028;
    return len > 2 && memcmp(s, "\xe2\x80\xa9", 3) == 0 ? 0x2029 : 0;
}

/* Write the escape that stands for the beginning of @s. Returns the bytes it stands for; 0: none is
 * needed. */
static size_t put_escape(struct buf *b, const char *s, size_t len, const char **plain,
                         bool one_line) {
    unsigned char c = (unsigned char)s[0];
    size_t bytes = 1;
    unsigned code = one_line && (c == 0xc2 || c == 0xe2) ? line_separator(s, len, &bytes) : 0;
    if (code == 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
        return 0;
    buf_append(b, *plain, (size_t)(s - *plain));
    if (code != 0)
        buf_printf(b, "\\u%04x", code);
    else
        put_json_escape(b, c);
    *plain = s + bytes;
    return bytes;
}

static void put_json(struct buf *b, const char *s, size_t len, bool one_line) {
    buf_putc(b, '"');
    const char *plain = s; /* start of the run that needs no escape */
    for (size_t i = 0; i < len;) {
        size_t escaped = put_escape(b, s + i, len - i, &plain, one_line);
        i += escaped > 0 ? escaped : 1;
    }
    if (len > 0) /* or @s may be NULL */
        buf_append(b, plain, (size_t)(s + len - plain));
    buf_putc(b, '"');
}

void buf_put_json(struct buf *b, const char *s, size_t len) {
    put_json(b, s, len, false);
}

void buf_put_json_line(struct buf *b, const char *s, size_t len) {
    put_json(b, s, len, true);
}

void buf_consume(struct buf *b, size_t len) {
    if (len == 0)
        return; /* nothing may have been allocated yet */
    b->len -= len;
    memmove(b->data, b->data + len, b->len + 1);
}

void buf_trim(struct buf *b) {
    if (b->len + 1 >= b->cap)
        return;
    b->cap = b->len + 1;
    b->data = mem_realloc(b->data, b->cap);
}

char *buf_detach(struct buf *b) {
    buf_reserve(b, 0)[0] = '\0';
    char *data = b->data;
    buf_init(b);
    return data;
}
