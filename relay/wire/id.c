/* Ids of durable events; see id.h. One id has one text: no leading zeros, no capitals, so equal ids
 * are equal bytes for whoever compares texts. */
#include "relay/wire/id.h"

#include <assert.h>
#include <string.h>

#include "relay/base/err.h"

enum { BASE = 36, NUMBER_MAX_DIGITS = 13 /* of 2^64 - 1 */ };

/* What is left to read. */
struct cursor {
    const char *p;
    const char *end;
};

/* The value of a base 36 digit, or -1. */
static int digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 10;
    return -1;
}

static int take_char(struct cursor *in, char c) {
    if (in->p == in->end || *in->p != c)
        return RELAY_EINVAL;
    in->p++;
    return RELAY_OK;
}

static int take_birth(struct cursor *in, char *birth) {
    size_t n = 0;
    while (in->p < in->end && digit(*in->p) >= 0) {
        if (n == ID_BIRTH_MAX_BYTES)
            return RELAY_EINVAL;
        birth[n++] = *in->p++;
    }
    birth[n] = '\0';
    return n > 0 ? RELAY_OK : RELAY_EINVAL;
}

static int take_number(struct cursor *in, uint64_t *out) {
    const char *start = in->p;
    uint64_t value = 0;
    int d;
    while (in->p < in->end && (d = digit(*in->p)) >= 0) {
        if (value > (UINT64_MAX - (uint64_t)d) / BASE)
            return RELAY_EINVAL;
        value = value * BASE + (uint64_t)d;
        in->p++;
    }
    if (in->p == start || (*start == '0' && in->p - start > 1))
        return RELAY_EINVAL;
    *out = value;
    return RELAY_OK;
}

int id_parse(const char *text, size_t len, struct event_id *out) {
    struct cursor in = {text, text + len};
    struct event_id id;
    if (take_birth(&in, id.birth) != RELAY_OK || take_char(&in, '.') != RELAY_OK ||
        take_number(&in, &id.epoch) != RELAY_OK || take_char(&in, '.') != RELAY_OK ||
        take_number(&in, &id.ms) != RELAY_OK || take_char(&in, '-') != RELAY_OK ||
        take_number(&in, &id.seq) != RELAY_OK || in.p != in.end)
        return RELAY_EINVAL;
    *out = id;
    return RELAY_OK;
}

static void put_number(struct buf *out, char before, uint64_t value) {
    char digits[1 + NUMBER_MAX_DIGITS];
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[value % BASE];
        value /= BASE;
    } while (value > 0);
    digits[--at] = before;
    buf_append(out, digits + at, sizeof(digits) - at);
}

void id_format(struct buf *out, const struct event_id *id) {
    buf_puts(out, id->birth);
    put_number(out, '.', id->epoch);
    put_number(out, '.', id->ms);
    put_number(out, '-', id->seq);
}

static int compare(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

int id_compare(const struct event_id *a, const struct event_id *b) {
    assert(strcmp(a->birth, b->birth) == 0);
    int order = compare(a->epoch, b->epoch);
    if (order == 0)
        order = compare(a->ms, b->ms);
    return order != 0 ? order : compare(a->seq, b->seq);
}

struct event_id id_before(struct event_id id) {
    if (id.seq > 0) {
        id.seq--;
    } else {
        id.ms--;
        id.seq = UINT64_MAX >> 1; /* XRANGE takes no more than 63 bits */
    }
    return id;
}

struct event_id id_after(struct event_id id) {
    id.seq++;
    return id;
}
