/* A request of HTTP/2; see h2_request.h. */
#include "relay/http/h2_request.h"

#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "relay/http/authority.h"

static const struct fault too_large = {431, "The head of the request is larger than 16 KiB."};
static const struct fault too_many = {431, "The request has more than 100 header fields."};
static const struct fault bad_target = {
    400, "The target of the request holds a byte that must be written as %XX."};
static const struct fault no_host = {400, "The request names no host: it needs an :authority."};
static const struct fault bad_host = {400, "The :authority is not a host and a port."};
static const struct fault other_host = {400,
                                        "The :authority and the Host field name different hosts."};
static const struct fault bad_field = {
    400, "A header field has a name or a value that is not allowed: a control character is in it, "
         "or white space around it."};
static const struct fault bad_length = {400, "The Content-Length is not a number."};
static const struct fault body_too_large = {413, "The body is larger than 1 MiB."};

_Static_assert(REQUEST_HEAD_MAX_BYTES <= UINT16_MAX, "places in the head are 16 bits");

struct h2_request *h2_request_new(void) {
    struct h2_request *r = mem_zalloc(sizeof(*r));
    r->view.fields = r->fields;
    return r;
}

void h2_request_free(struct h2_request *r) {
    if (r == NULL)
        return;
    buf_fini(&r->bytes);
    buf_fini(&r->cookie);
    buf_fini(&r->body);
    free(r);
}

static bool is(struct span s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static struct span span_at(const struct h2_request *r, struct place p) {
    return (struct span){r->bytes.data + p.at, p.len};
}

/* The whole list is bounded (below), so a place is. The bytes move: the view has to follow. */
static struct place keep(struct h2_request *r, struct span s) {
    struct place p = {(uint16_t)r->bytes.len, (uint16_t)s.len};
    buf_append(&r->bytes, s.data, s.len);
    r->view.bytes = r->bytes.data;
    return p;
}

static void add(struct h2_request *r, struct span name, struct place value) {
    if (r->view.fields_len == REQUEST_MAX_HEADERS) {
        r->fault = &too_many;
        return;
    }
    r->fields[r->view.fields_len].value = value;
    r->fields[r->view.fields_len++].name = keep(r, name);
}

static void pseudo_field(struct h2_request *r, struct span name, struct span value) {
    if (is(name, ":method")) {
        r->method = keep(r, value);
    } else if (is(name, ":path")) {
        r->target = keep(r, value);
        r->has_target = true;
    } else if (is(name, ":authority")) {
        r->authority = keep(r, value);
        add(r, span_of("host"), r->authority);
    }
}

/* A Host beside an :authority says the same, or each reader could take another one. */
static void host_field(struct h2_request *r, struct span value) {
    struct span first;
    if (request_fields(&r->view, "host", &first) == 0)
        add(r, span_of("host"), keep(r, value));
    else if (!span_equals_nocase(first, value))
        r->fault = &other_host;
}

void h2_request_field(struct h2_request *r, struct span name, struct span value) {
    size_t size = r->size + name.len + value.len + H2_FIELD_OVERHEAD;
    if (r->fault != NULL)
        return;
    if (name.len > REQUEST_HEAD_MAX_BYTES || value.len > REQUEST_HEAD_MAX_BYTES ||
        size > REQUEST_HEAD_MAX_BYTES) {
        r->fault = &too_large;
        return;
    }
    r->size = size;
    if (name.len > 0 && name.data[0] == ':') {
        pseudo_field(r, name, value);
    } else if (is(name, "host")) {
        host_field(r, value);
    } else if (is(name, "cookie")) {
        if (r->cookie.len > 0)
            buf_puts(&r->cookie, "; ");
        buf_append(&r->cookie, value.data, value.len);
    } else {
        struct place at = keep(r, value);
        add(r, name, at);
    }
}

void h2_request_bad_field(struct h2_request *r) {
    if (r->fault == NULL)
        r->fault = &bad_field;
}

static const struct fault *check_host(const struct h2_request *r) {
    struct span host, name, port;
    if (request_fields(&r->view, "host", &host) == 0)
        return &no_host;
    return authority_split(host, &name, &port) ? NULL : &bad_host;
}

static const struct fault *check_target(struct span target) {
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return &bad_target;
    }
    return NULL;
}

static const struct fault *check_length(const struct h2_request *r) {
    struct span text;
    uint64_t length = 0;
    if (request_fields(&r->view, "content-length", &text) == 0)
        return NULL;
    if (!request_length(text, &length))
        return &bad_length;
    return r->view.method != HTTP_METHOD_OTHER && length > REQUEST_BODY_MAX_BYTES ? &body_too_large
                                                                                  : NULL;
}

void h2_request_head(struct h2_request *r) {
    if (r->cookie.len > 0 && r->fault == NULL) {
        struct place at = keep(r, (struct span){r->cookie.data, r->cookie.len});
        add(r, span_of("cookie"), at);
    }
    if (r->fault != NULL)
        return;
    r->view.method = request_method(span_at(r, r->method));
    /* CONNECT has no path; nothing is served at an authority. */
    request_set_target(&r->view, span_at(r, r->has_target ? r->target : r->authority));
    if ((r->fault = check_host(r)) == NULL &&
        (r->fault = check_target(span_at(r, r->target))) == NULL)
        r->fault = check_length(r);
}

bool h2_request_body(struct h2_request *r, const void *bytes, size_t len) {
    if (len > REQUEST_BODY_MAX_BYTES - r->body.len) {
        r->fault = &body_too_large;
        return false;
    }
    buf_append(&r->body, bytes, len);
    r->view.body = (struct span){r->body.data, r->body.len};
    return true;
}
