/* JSON as text; see json_text.h. */
#include "publisher-cli/input/json_text.h"

#include <stdint.h>
#include <string.h>

#include "relay/base/utf8.h"

static bool fail(struct json_text *t, const char *why) {
    t->why = why;
    return false;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* What is next, or NUL at the end: NUL itself may stand nowhere. */
static char peek(const struct json_text *t) {
    return t->p < t->end ? *t->p : '\0';
}

static void skip_space(struct json_text *t) {
    while (t->p < t->end && is_space(*t->p))
        t->p++;
}

bool json_text_take(struct json_text *t, char c) {
    skip_space(t);
    if (peek(t) != c || t->p == t->end)
        return false;
    t->p++;
    return true;
}

bool json_text_is_over(struct json_text *t) {
    skip_space(t);
    return t->p == t->end;
}

/* ---- strings ---- */

static int hex_digit(char c) {
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of a \u. */
static bool take_unit(struct json_text *t, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < 4; i++) {
        int digit = t->p < t->end ? hex_digit(*t->p) : -1;
        if (digit < 0)
            return fail(t, "\\u needs four hexadecimal digits");
        *out = *out << 4 | (uint32_t)digit;
        t->p++;
    }
    return true;
}

/* What stands behind \u, and its other half where it is one of two. */
static bool take_code_point(struct json_text *t, uint32_t *out) {
    uint32_t low;
    if (!take_unit(t, out))
        return false;
    if (*out < 0xd800 || *out > 0xdfff)
        return true;
    if (*out > 0xdbff || t->end - t->p < 2 || t->p[0] != '\\' || t->p[1] != 'u')
        return fail(t, "half of a surrogate pair");
    t->p += 2;
    if (!take_unit(t, &low))
        return false;
    if (low < 0xdc00 || low > 0xdfff)
        return fail(t, "half of a surrogate pair");
    *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static void put_utf8(struct buf *out, uint32_t c) {
    if (c < 0x80)
        buf_putc(out, (char)c);
    else if (c < 0x800)
        buf_append(out, (char[]){(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))}, 2);
    else if (c < 0x10000)
        buf_append(out,
                   (char[]){(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3f)),
                            (char)(0x80 | (c & 0x3f))},
                   3);
    else
        buf_append(out,
                   (char[]){(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3f)),
                            (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f))},
                   4);
}

/* What stands behind a backslash; appended to @out, if that is not NULL. */
static bool take_escape(struct json_text *t, struct buf *out) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    uint32_t c;
    const char *name = t->p < t->end && *t->p != '\0' ? strchr(names, *t->p) : NULL;
    if (name != NULL) {
        c = (uint32_t)meanings[name - names];
        t->p++;
    } else if (peek(t) == 'u') {
        t->p++;
        if (!take_code_point(t, &c))
            return false;
    } else {
        return fail(t, "an escape that does not exist");
    }
    if (out != NULL)
        put_utf8(out, c);
    return true;
}

/* Skip what needs no attention; what is next then is a quote, a backslash or wrong. */
static const char *plain_end(const char *p, const char *end) {
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* Behind the opening quote, past the closing one. */
static bool take_rest_of_string(struct json_text *t, struct buf *out) {
    for (;;) {
        const char *end = plain_end(t->p, t->end);
        if (out != NULL)
            buf_append(out, t->p, (size_t)(end - t->p));
        t->p = end;
        if (t->p == t->end)
            return fail(t, "a string without an end");
        if (*t->p == '"')
            break;
        if (*t->p != '\\')
            return fail(t, "a control character within a string");
        t->p++;
        if (!take_escape(t, out))
            return false;
    }
    t->p++;
    return true;
}

bool json_text_string(struct json_text *t, struct json_span *out, struct buf *memory) {
    if (!json_text_take(t, '"'))
        return fail(t, "a string is missing");
    const char *start = t->p;
    const char *end = plain_end(start, t->end);
    if (end < t->end && *end == '"') {
        *out = (struct json_span){start, (size_t)(end - start)};
        t->p = end + 1;
        return true;
    }
    size_t before = memory->len;
    if (!take_rest_of_string(t, memory))
        return false;
    *out = (struct json_span){memory->data + before, memory->len - before};
    return true;
}

/* ---- values ---- */

static bool take_digits(struct json_text *t) {
    const char *start = t->p;
    while (t->p < t->end && is_digit(*t->p))
        t->p++;
    return t->p > start || fail(t, "a digit is missing");
}

static bool take_number(struct json_text *t) {
    if (peek(t) == '-')
        t->p++;
    if (peek(t) == '0')
        t->p++;
    else if (!take_digits(t))
        return false;
    if (peek(t) == '.') {
        t->p++;
        if (!take_digits(t))
            return false;
    }
    if (peek(t) != 'e' && peek(t) != 'E')
        return true;
    t->p++;
    if (peek(t) == '+' || peek(t) == '-')
        t->p++;
    return take_digits(t);
}

static bool take_word(struct json_text *t, const char *word) {
    size_t len = strlen(word);
    if ((size_t)(t->end - t->p) < len || memcmp(t->p, word, len) != 0)
        return fail(t, "a word that is not true, false or null");
    t->p += len;
    return true;
}

static bool take_scalar(struct json_text *t) {
    switch (peek(t)) {
    case '"':
        t->p++;
        return take_rest_of_string(t, NULL);
    case 't':
        return take_word(t, "true");
    case 'f':
        return take_word(t, "false");
    case 'n':
        return take_word(t, "null");
    default:
        if (peek(t) == '-' || is_digit(peek(t)))
            return take_number(t);
        return fail(t, t->p == t->end ? "it ends too early" : "a value is missing");
    }
}

/* A value on the way: what is open, and how far it was copied. */
struct scan {
    struct json_text *text;
    struct buf *compact; /* may be NULL */
    const char *copied;  /* up to here */
    size_t depth;
    char closers[JSON_TEXT_DEPTH_MAX]; /* of what is open, the outermost first */
};

static void copy_to(struct scan *s, const char *end) {
    if (s->compact != NULL)
        buf_append(s->compact, s->copied, (size_t)(end - s->copied));
    s->copied = end;
}

static void pass_space(struct scan *s) {
    if (s->text->p == s->text->end || !is_space(*s->text->p))
        return;
    copy_to(s, s->text->p);
    skip_space(s->text);
    s->copied = s->text->p;
}

static bool pass_char(struct scan *s, char c) {
    pass_space(s);
    if (s->text->p == s->text->end || *s->text->p != c)
        return false;
    s->text->p++;
    return true;
}

/* The name of a member and its colon. */
static bool pass_name(struct scan *s) {
    if (!pass_char(s, '"'))
        return fail(s->text, "the name of a member is missing");
    if (!take_rest_of_string(s->text, NULL))
        return false;
    return pass_char(s, ':') || fail(s->text, "a colon is missing");
}

/* What stands where a value may: a whole scalar or empty container (*@is_whole), or the beginning
 * of one that holds something. */
static bool pass_beginning(struct scan *s, bool *is_whole) {
    pass_space(s);
    char opener = peek(s->text);
    *is_whole = true;
    if (opener != '{' && opener != '[')
        return take_scalar(s->text);
    char closer = opener == '{' ? '}' : ']';
    s->text->p++;
    if (pass_char(s, closer))
        return true;
    if (s->depth == JSON_TEXT_DEPTH_MAX)
        return fail(s->text, "nested too deeply");
    s->closers[s->depth++] = closer;
    *is_whole = false;
    return opener == '[' || pass_name(s);
}

/* Behind a value: close what ends there, up to the next comma; *@is_over once nothing is open. */
static bool pass_end(struct scan *s, bool *is_over) {
    while (s->depth > 0) {
        char closer = s->closers[s->depth - 1];
        if (pass_char(s, ',')) {
            *is_over = false;
            return closer == ']' || pass_name(s);
        }
        if (!pass_char(s, closer))
            return fail(s->text, s->text->p == s->text->end ? "it ends too early"
                                                            : "a comma or an end is missing");
        s->depth--;
    }
    *is_over = true;
    return true;
}

bool json_text_value(struct json_text *t, struct json_span *out, struct buf *compact) {
    struct scan s;
    bool is_over = false, is_whole;
    skip_space(t);
    s.text = t;
    s.compact = compact;
    s.copied = t->p;
    s.depth = 0;
    const char *start = t->p;
    while (!is_over) {
        if (!pass_beginning(&s, &is_whole) || (is_whole && !pass_end(&s, &is_over)))
            return false;
    }
    copy_to(&s, t->p);
    if (out != NULL)
        *out = (struct json_span){start, (size_t)(t->p - start)};
    return true;
}

const char *json_text_compact(const char *text, size_t len, struct buf *compact, size_t *at) {
    struct json_text t = {.p = text, .end = text + len};
    size_t before = compact->len;
    *at = 0;
    if (!utf8_valid(text, len))
        return "it is not valid UTF-8";
    if (json_text_value(&t, NULL, compact) && json_text_is_over(&t))
        return NULL;
    *at = (size_t)(t.p - text);
    if (compact->data != NULL) {
        compact->len = before;
        compact->data[before] = '\0';
    }
    return t.why != NULL ? t.why : "something follows it";
}
