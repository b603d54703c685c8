/* A growable array of bytes; see buf.h. */
#include "relay/base/buf.h"

#include <stdarg.h>
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

void buf_put_json(struct buf *b, const char *s, size_t len) {
    buf_putc(b, '"');
    size_t plain = 0; /* start of the run that needs no escape */
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        buf_append(b, s + plain, i - plain);
        put_json_escape(b, c);
        plain = i + 1;
    }
    if (plain < len) /* @s may be NULL where @len is 0 */
        buf_append(b, s + plain, len - plain);
    buf_putc(b, '"');
}

void buf_consume(struct buf *b, size_t len) {
    if (len == 0)
        return; /* nothing may have been allocated yet */
    b->len -= len;
    memmove(b->data, b->data + len, b->len + 1);
}

char *buf_detach(struct buf *b) {
    buf_reserve(b, 0)[0] = '\0';
    char *data = b->data;
    buf_init(b);
    return data;
}
