/* The head of a request, byte by byte; see head.h. */
#include "relay/http/head.h"

#include <string.h>

enum head_step {
    STEP_FIRST,        /* a CRLF before the request line is allowed once (RFC 9112, section 2.2) */
    STEP_FIRST_LF,     /* behind the CR of that */
    STEP_METHOD_FIRST, /* the first byte of the method */
    STEP_METHOD,
    STEP_TARGET,
    STEP_VERSION,
    STEP_LINE_LF,     /* behind the CR of a line */
    STEP_FIELD_FIRST, /* the first byte of a field, or the CR of the empty line */
    STEP_NAME,
    STEP_VALUE,
    STEP_LAST_LF /* behind the CR of the empty line */
};

static const struct fault not_http = {400, "This is not an HTTP/1.1 request."};
static const struct fault bad_target = {
    400, "The target of the request holds a byte that must be written as %XX."};
static const struct fault bad_version = {
    400, "The request line does not end with a version such as HTTP/1.1."};
static const struct fault other_version = {505, "Only HTTP/1.1 and HTTP/1.0 are spoken here."};
static const struct fault bare_cr = {400,
                                     "A carriage return in the head stands without a line feed."};
static const struct fault bare_lf = {400,
                                     "A line feed in the head stands without a carriage return."};
static const struct fault control = {400, "The head holds a control character."};
static const struct fault folded = {400, "A header field is folded over two lines."};
static const struct fault bad_name = {400, "A header field has no valid name."};
static const struct fault blank_before_colon = {
    400, "White space stands between a header field's name and its colon."};
static const struct fault too_large = {431, "The head of the request is larger than 16 KiB."};
static const struct fault too_many = {431, "The request has more than 100 header fields."};

_Static_assert(REQUEST_HEAD_MAX_BYTES <= UINT16_MAX, "places in the head are 16 bits");

void head_init(struct head *h) {
    memset(h, 0, offsetof(struct head, fields));
}

void head_fini(struct head *h) {
    buf_fini(&h->bytes);
}

struct span head_span(const struct head *h, struct place p) {
    return (struct span){h->bytes.data + p.at, p.len};
}

/* A byte of a token (RFC 9110, section 5.6.2). */
static bool is_token(unsigned char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_control(unsigned char c) {
    return c < 0x20 || c == 0x7f;
}

/* The fault of a byte that is not allowed where it stands: what it is, or else @other. */
static const struct fault *misplaced(unsigned char c, const struct fault *other) {
    if (c == '\r')
        return &bare_cr;
    if (c == '\n')
        return &bare_lf;
    return is_control(c) ? &control : other;
}

static void begin(struct place *p, size_t at) {
    p->at = (uint16_t)at;
    p->len = 0;
}

static const struct fault *version_byte(struct head *h, unsigned char c) {
    static const char shape[] = "HTTP/0.0";
    if (h->version_len == sizeof(h->version)) {
        if (c != '\r')
            return misplaced(c, &bad_version);
        bool known = h->version[5] == '1' && (h->version[7] == '0' || h->version[7] == '1');
        h->step = STEP_LINE_LF;
        return known ? NULL : &other_version;
    }
    unsigned char expected = (unsigned char)shape[h->version_len];
    if (expected == '0' ? c < '0' || c > '9' : c != expected)
        return c == '\r' ? &bad_version : misplaced(c, &bad_version);
    h->version[h->version_len++] = (char)c;
    return NULL;
}

static const struct fault *request_line_byte(struct head *h, unsigned char c, size_t at) {
    switch (h->step) {
    case STEP_METHOD_FIRST:
        if (!is_token(c))
            return misplaced(c, &not_http);
        begin(&h->method, at);
        h->method.len = 1;
        h->step = STEP_METHOD;
        return NULL;
    case STEP_METHOD:
        if (c == ' ') {
            begin(&h->target, at + 1);
            h->step = STEP_TARGET;
        } else if (is_token(c)) {
            h->method.len++;
        } else {
            return c == '\r' ? &not_http : misplaced(c, &not_http);
        }
        return NULL;
    case STEP_TARGET:
        if (c == ' ' && h->target.len > 0)
            h->step = STEP_VERSION;
        else if (c > 0x20 && c < 0x7f && c != '#')
            h->target.len++;
        else
            return c == '\r' ? &bad_version : misplaced(c, &bad_target);
        return NULL;
    default:
        return version_byte(h, c);
    }
}

static const struct fault *field_first_byte(struct head *h, unsigned char c, size_t at) {
    if (c == '\r') {
        h->step = STEP_LAST_LF;
        return NULL;
    }
    if (c == ' ' || c == '\t')
        return &folded;
    if (!is_token(c))
        return misplaced(c, &bad_name);
    if (h->fields_len == REQUEST_MAX_HEADERS)
        return &too_many;
    begin(&h->fields[h->fields_len].name, at);
    h->fields[h->fields_len].name.len = 1;
    h->step = STEP_NAME;
    return NULL;
}

static const struct fault *field_byte(struct head *h, unsigned char c, size_t at) {
    if (h->step == STEP_FIELD_FIRST)
        return field_first_byte(h, c, at);
    struct request_field *f = &h->fields[h->fields_len];
    if (h->step == STEP_NAME) {
        if (c == ':') {
            begin(&f->value, at + 1);
            h->step = STEP_VALUE;
        } else if (is_token(c)) {
            f->name.len++;
        } else if (c == ' ' || c == '\t') {
            return &blank_before_colon;
        } else {
            return c == '\r' ? &bad_name : misplaced(c, &bad_name);
        }
        return NULL;
    }
    if (c == '\r') {
        h->fields_len++;
        h->step = STEP_LINE_LF;
    } else if (c != ' ' && c != '\t') {
        if (is_control(c))
            return misplaced(c, NULL);
        if (f->value.len == 0)
            begin(&f->value, at);
        f->value.len = (uint16_t)(at + 1 - f->value.at);
    }
    return NULL;
}

/* The byte @c, which stands at @at in the head. */
static const struct fault *head_byte(struct head *h, unsigned char c, size_t at) {
    switch (h->step) {
    case STEP_FIRST:
        h->step = c == '\r' ? STEP_FIRST_LF : STEP_METHOD_FIRST;
        return c == '\r' ? NULL : request_line_byte(h, c, at);
    case STEP_FIRST_LF:
    case STEP_LINE_LF:
    case STEP_LAST_LF:
        if (c != '\n')
            return &bare_cr;
        h->complete = h->step == STEP_LAST_LF;
        h->step = h->step == STEP_FIRST_LF ? STEP_METHOD_FIRST : STEP_FIELD_FIRST;
        return NULL;
    case STEP_FIELD_FIRST:
    case STEP_NAME:
    case STEP_VALUE:
        return field_byte(h, c, at);
    default:
        return request_line_byte(h, c, at);
    }
}

size_t head_feed(struct head *h, const char *data, size_t len) {
    size_t at = h->bytes.len;
    size_t taken = 0;
    while (taken < len && !h->complete && h->fault == NULL) {
        h->fault = head_byte(h, (unsigned char)data[taken], at + taken);
        taken++;
        if (at + taken == REQUEST_HEAD_MAX_BYTES && !h->complete && h->fault == NULL)
            h->fault = &too_large;
    }
    buf_append(&h->bytes, data, taken);
    return taken;
}
