/* Hexadecimal digits. Any thread. */
#ifndef RELAY_BASE_HEX_H
#define RELAY_BASE_HEX_H

/* The value of @c as a hex digit of either case, or -1. */
static inline int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

#endif
