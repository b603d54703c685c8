/* Reading the header of the PROXY protocol; see proxy_header.h. */
#include "relay/http/proxy_header.h"

#include <string.h>

#include "relay/http/request.h"

enum {
    COMMAND_AT = 12,
    FAMILY_AT = 13,
    LENGTH_AT = 14,
    IPV4_BLOCK = 12, /* two addresses and two ports */
    IPV6_BLOCK = PROXY_HEADER_KEPT,
    UNIX_BLOCK = 216
};

static const char line_begins[] = "PROXY ";
static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
enum { LINE_BEGINS = sizeof(line_begins) - 1, SIGNATURE = sizeof(signature) - 1 };

static void fail(struct proxy_header *h, enum proxy_header_state why) {
    h->state = (uint8_t)why;
}

static void done(struct proxy_header *h) {
    h->state = PROXY_HEADER_DONE;
}

/* ---- version 1: a line ---- */

/* Up to the next space, or to the end. */
static struct span word(struct span *rest) {
    const char *space = memchr(rest->data, ' ', rest->len);
    struct span w = {rest->data, space != NULL ? (size_t)(space - rest->data) : rest->len};
    size_t used = space != NULL ? w.len + 1 : w.len;
    rest->data += used;
    rest->len -= used;
    return w;
}

static bool is(struct span s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* 0 to 65535, without zeros in front. */
static bool is_port(struct span s) {
    unsigned long n = 0;
    for (size_t i = 0; i < s.len && s.len <= 5; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        n = n * 10 + (unsigned long)(s.data[i] - '0');
    }
    return s.len > 0 && s.len <= 5 && n <= UINT16_MAX && (s.len == 1 || s.data[0] != '0');
}

static bool read_address(struct span s, bool v6, struct ip_address *out) {
    return (memchr(s.data, ':', s.len) != NULL) == v6 && ip_address_parse(s.data, s.len, out);
}

/* The whole line is there. Only a line that is right in every part is believed. */
static void read_line(struct proxy_header *h) {
    struct span rest = {h->bytes + LINE_BEGINS, (size_t)h->len - LINE_BEGINS - 2};
    struct span family = word(&rest);
    bool v6 = is(family, "TCP6");
    struct ip_address destination;
    if (is(family, "UNKNOWN")) {
        done(h);
        return;
    }
    if ((!v6 && !is(family, "TCP4")) || !read_address(word(&rest), v6, &h->source) ||
        !read_address(word(&rest), v6, &destination) || !is_port(word(&rest)) || !is_port(rest)) {
        fail(h, PROXY_HEADER_MALFORMED);
        return;
    }
    h->named = true;
    done(h);
}

static void line_byte(struct proxy_header *h, char c) {
    bool after_cr = h->bytes[h->len - 1] == '\r';
    h->bytes[h->len++] = c;
    if ((c == '\n') != after_cr)
        fail(h, PROXY_HEADER_MALFORMED);
    else if (c == '\n')
        read_line(h);
    else if (h->len == PROXY_HEADER_LINE)
        fail(h, PROXY_HEADER_MALFORMED);
}

/* ---- version 2: binary ---- */

static unsigned byte_at(const struct proxy_header *h, size_t at) {
    return (unsigned char)h->bytes[at];
}

static bool is_local(const struct proxy_header *h) {
    return (byte_at(h, COMMAND_AT) & 0xf) == 0;
}

/* How many bytes addresses of this family and transport take; -1: there is no such. With either of
 * them unspecified (0), what stands there says nothing. */
static int block_of(unsigned family, unsigned transport) {
    static const int blocks[] = {0, IPV4_BLOCK, IPV6_BLOCK, UNIX_BLOCK};
    if (family > 3 || transport > 2)
        return -1;
    return transport == 0 ? 0 : blocks[family];
}

static int block(const struct proxy_header *h) {
    return is_local(h) ? 0 : block_of(byte_at(h, FAMILY_AT) >> 4, byte_at(h, FAMILY_AT) & 0xf);
}

/* All of it is there. */
static void read_block(struct proxy_header *h) {
    int size = block(h);
    h->named = size > 0;
    if (size == IPV4_BLOCK)
        h->source = ip_address_v4(h->bytes + PROXY_HEADER_FIXED);
    else if (size == IPV6_BLOCK)
        h->source = ip_address_v6(h->bytes + PROXY_HEADER_FIXED);
    done(h);
}

static void read_fixed(struct proxy_header *h) {
    unsigned command = byte_at(h, COMMAND_AT);
    h->rest = (uint16_t)(byte_at(h, LENGTH_AT) << 8 | byte_at(h, LENGTH_AT + 1));
    if (command != 0x20 && command != 0x21)
        fail(h, PROXY_HEADER_MALFORMED);
    else if (block(h) < 0 || block(h) > h->rest)
        fail(h, PROXY_HEADER_MALFORMED);
    else if (h->rest == 0)
        read_block(h);
}

/* Behind the fixed part: the first bytes are addresses, the others extensions. Returns how many of
 * them were taken. */
static size_t rest_bytes(struct proxy_header *h, const char *bytes, size_t len) {
    size_t taken = len < h->rest ? len : h->rest;
    size_t room = PROXY_HEADER_FIXED + PROXY_HEADER_KEPT - (size_t)h->len;
    size_t kept = taken < room ? taken : room;
    memcpy(h->bytes + h->len, bytes, kept);
    h->len = (uint8_t)(h->len + kept);
    h->rest = (uint16_t)(h->rest - taken);
    if (h->rest == 0)
        read_block(h);
    return taken;
}

static void fixed_byte(struct proxy_header *h, char c) {
    h->bytes[h->len++] = c;
    if (h->len == PROXY_HEADER_FIXED)
        read_fixed(h);
}

/* ---- both ---- */

/* A byte while it is not known which it is, or whether it is one at all. */
static void first_byte(struct proxy_header *h, char c) {
    bool is_line = h->len > 0 && h->bytes[0] == line_begins[0];
    if (c == (is_line ? line_begins : signature)[h->len] || (h->len == 0 && c == line_begins[0]))
        h->bytes[h->len++] = c;
    else
        fail(h, PROXY_HEADER_MISSING);
}

static bool begins_as_line(const struct proxy_header *h) {
    return h->len >= LINE_BEGINS && h->bytes[0] == line_begins[0];
}

size_t proxy_header_feed(struct proxy_header *h, const void *bytes, size_t len) {
    const char *data = bytes;
    size_t at = 0;
    while (at < len && h->state == PROXY_HEADER_READING) {
        if (begins_as_line(h))
            line_byte(h, data[at++]);
        else if (h->rest > 0)
            at += rest_bytes(h, data + at, len - at);
        else if (h->len >= SIGNATURE)
            fixed_byte(h, data[at++]);
        else
            first_byte(h, data[at++]);
    }
    return at;
}
