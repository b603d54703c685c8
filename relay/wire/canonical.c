/* Our own form of an event's JSON; see canonical.h. */
#include "relay/wire/canonical.h"

#include <stdlib.h>
#include <string.h>

#include "relay/base/hex.h"
#include "relay/base/utf8.h"

/* What is left to read, and where unescaped text goes. */
struct reader {
    const char *p, *end;
    char *text; /* NULL until the first escape: then room for all that can come */
    size_t text_len;
    size_t room;
};

static bool take(struct reader *r, const char *word, size_t len) {
    if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
        return false;
    r->p += len;
    return true;
}

static size_t put_utf8(char *out, unsigned c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3f));
    out[2] = (char)(0x80 | (c & 0x3f));
    return 3;
}

/* `XXXX` behind `\u`. Surrogates are left to jansson. */
static bool take_unicode(struct reader *r) {
    unsigned c = 0;
    if (r->end - r->p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(r->p[i]);
        if (digit < 0)
            return false;
        c = c << 4 | (unsigned)digit;
    }
    if (c >= 0xd800 && c <= 0xdfff)
        return false;
    r->p += 4;
    r->text_len += put_utf8(r->text + r->text_len, c);
    return true;
}

/* What is behind a backslash. */
static bool take_escape(struct reader *r) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (r->p == r->end)
        return false;
    char c = *r->p++;
    if (c == 'u')
        return take_unicode(r);
    const char *at = memchr(names, c, sizeof(names) - 1);
    if (at == NULL)
        return false;
    r->text[r->text_len++] = values[at - names];
    return true;
}

/* A run of bytes that stand for themselves; the one behind it is `"` or a backslash, or it is no
 * string. */
static size_t plain_run(const struct reader *r) {
    const char *p = r->p;
    while (p < r->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return (size_t)(p - r->p);
}

static bool take_string(struct reader *r, const char **out, size_t *out_len) {
    if (!take(r, "\"", 1))
        return false;
    size_t run = plain_run(r);
    if (run < (size_t)(r->end - r->p) && r->p[run] == '"') { /* no escape: as it stands */
        *out = r->p;
        *out_len = run;
        r->p += run + 1;
        return true;
    }
    if (r->text == NULL && (r->text = malloc(r->room)) == NULL)
        return false;
    size_t start = r->text_len;
    for (;; run = plain_run(r)) {
        memcpy(r->text + r->text_len, r->p, run);
        r->text_len += run;
        r->p += run;
        if (take(r, "\"", 1))
            break;
        if (!take(r, "\\", 1) || !take_escape(r))
            return false;
    }
    *out = r->text + start;
    *out_len = r->text_len - start;
    return true;
}

static bool take_number(struct reader *r, uint32_t *out) {
    const char *start = r->p;
    *out = 0;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9' && r->p - start < 9)
        *out = *out * 10 + (uint32_t)(*r->p++ - '0');
    return *out > 0 && *start != '0';
}

static bool read_event(struct reader *r, struct event *e) {
    if (!take(r, "{", 1))
        return false;
    if (take(r, "\"event\":", 8) && (!take_string(r, &e->name, &e->name_len) || !take(r, ",", 1)))
        return false;
    if (!take(r, "\"data\":", 7) || !take_string(r, &e->data, &e->data_len))
        return false;
    if (take(r, ",\"retry\":", 9) && !take_number(r, &e->retry_ms))
        return false;
    return take(r, "}", 1) && r->p == r->end;
}

bool canonical_read(const char *json, size_t len, struct event *out, char **owned) {
    struct reader r = {.p = json, .end = json + len, .room = len};
    struct event e = {.name = NULL};
    if (!read_event(&r, &e) || !utf8_valid(json, len)) {
        free(r.text);
        return false;
    }
    *out = e;
    *owned = r.text;
    return true;
}
