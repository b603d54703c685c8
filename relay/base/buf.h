/* A growable array of bytes, always with a NUL behind its last byte.
 *
 * init/fini: embedded, synchronous, one thread. Growth aborts when memory runs out, so whoever
 * appends bytes from the network caps them first. */
#ifndef RELAY_BASE_BUF_H
#define RELAY_BASE_BUF_H

#include <stddef.h>

struct buf {
    char *data; /* NULL until the first byte */
    size_t len; /* bytes in use, without the NUL */
    size_t cap; /* bytes allocated */
};

#define BUF_INIT                                                                                   \
    { NULL, 0, 0 }

void buf_init(struct buf *b);

/* Free the bytes; @b is as after buf_init(). */
void buf_fini(struct buf *b);

/* Forget the bytes, keep the memory. */
void buf_reset(struct buf *b);

/* Make room for @extra more bytes behind len and return where they go. */
char *buf_reserve(struct buf *b, size_t extra);

void buf_append(struct buf *b, const void *bytes, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Append @len bytes of @s as a JSON string, quotes included (RFC 8259): quote, backslash and
 * control characters are escaped, everything else, UTF-8 included, passes as it is. */
void buf_put_json(struct buf *b, const char *s, size_t len);

/* The same, and U+0085, U+2028 and U+2029 are escaped too: for text that others cut into lines,
 * some of them at these. @s must be UTF-8. */
void buf_put_json_line(struct buf *b, const char *s, size_t len);

/* Drop the first @len bytes. */
void buf_consume(struct buf *b, size_t len);

/* Give back the memory that is not used. */
void buf_trim(struct buf *b);

/* Hand the bytes over to the caller, who frees them; @b is as after buf_init(). Never NULL. */
char *buf_detach(struct buf *b);

#endif
