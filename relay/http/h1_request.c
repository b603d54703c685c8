/* Reading one HTTP/1 request; see h1_request.h.
 *
 * The head is read by head.c and kept whole. What its fields mean for the length of the message is
 * decided here, in the strictest reading, so that no version of llhttp has a choice to make; then
 * llhttp is given the same head, must come to the same end, and says whether the connection is
 * kept. A method that is not served is never shown to llhttp: versions differ in which they know,
 * and CONNECT or PRI would turn the rest of the connection into something else. */
#include "relay/http/h1_request.h"

#include <llhttp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "relay/base/mem.h"
#include "relay/http/authority.h"
#include "relay/http/chunks.h"
#include "relay/http/head.h"

struct h1_request {
    struct request view; /* what is shown; of the head, chunks and body below */
    enum h1_request_state state;
    bool begun;
    const struct fault *fault; /* in state FAILED */
    struct head head;
    uint64_t content_length; /* 0 where there is none; UINT64_MAX: larger than can be counted */
    bool chunked;
    bool keep_alive;
    llhttp_t parser;
    bool head_agreed;     /* llhttp has seen the end of the head */
    struct chunks chunks; /* where the body is chunked */
    struct buf body;      /* decoded */
};

static const struct fault bad_head = {400, "The head of the request is not valid HTTP/1.1."};
static const struct fault bad_target = {
    400, "The target of the request is neither a path nor an http or https URL."};
static const struct fault other_host = {
    400, "The target of the request and its Host header name different hosts."};
static const struct fault no_host = {400, "The request has no Host header."};
static const struct fault two_hosts = {400, "The request has more than one Host header."};
static const struct fault bad_host = {400, "The Host header is not a host and a port."};
static const struct fault two_lengths = {400, "The request has more than one Content-Length."};
static const struct fault bad_length = {400, "The Content-Length is not a number."};
static const struct fault two_framings = {
    400, "The request has both a Content-Length and a Transfer-Encoding."};
static const struct fault two_codings = {400, "The request has more than one Transfer-Encoding."};
static const struct fault early_coding = {400, "HTTP/1.0 knows no Transfer-Encoding."};
static const struct fault other_coding = {501, "The only Transfer-Encoding known here is chunked."};
static const struct fault body_too_large = {413, "The body is larger than 1 MiB."};

/* Here llhttp has done its part. An Upgrade header, which it would obey, is an offer that we ignore
 * (RFC 9110, section 7.8). */
static int on_headers_complete(llhttp_t *parser) {
    struct h1_request *r = parser->data;
    r->head_agreed = true;
    r->keep_alive = llhttp_should_keep_alive(parser) != 0;
    return HPE_PAUSED;
}

static const llhttp_settings_t parser_settings = {.on_headers_complete = on_headers_complete};

struct h1_request *h1_request_new(void) {
    struct h1_request *r = mem_zalloc(sizeof(*r));
    head_init(&r->head);
    r->view.fields = r->head.fields;
    llhttp_init(&r->parser, HTTP_REQUEST, &parser_settings);
    r->parser.data = r;
    return r;
}

void h1_request_free(struct h1_request *r) {
    if (r == NULL)
        return;
    head_fini(&r->head);
    buf_fini(&r->body);
    free(r);
}

static void fail(struct h1_request *r, const struct fault *fault) {
    r->state = H1_REQUEST_FAILED;
    r->fault = fault;
}

static const struct fault *check_host(const struct h1_request *r) {
    struct span host, name, port;
    size_t hosts = request_fields(&r->view, "Host", &host);
    if (hosts > 1)
        return &two_hosts;
    if (hosts == 0)
        return h1_request_is_http10(r) ? NULL : &no_host;
    return authority_split(host, &name, &port) ? NULL : &bad_host;
}

/* Where the message ends (RFC 9112, section 6), without the cases that parsers read differently. */
static const struct fault *check_framing(struct h1_request *r) {
    struct span length, coding;
    size_t lengths = request_fields(&r->view, "Content-Length", &length);
    size_t codings = request_fields(&r->view, "Transfer-Encoding", &coding);
    if (lengths > 0 && codings > 0)
        return &two_framings;
    if (lengths > 1)
        return &two_lengths;
    if (codings > 1)
        return &two_codings;
    if (codings > 0 && h1_request_is_http10(r))
        return &early_coding;
    if (codings > 0 && !span_equals_nocase(coding, span_of("chunked")))
        return &other_coding;
    r->chunked = codings > 0;
    if (lengths > 0 && !request_length(length, &r->content_length))
        return &bad_length;
    return NULL;
}

/* Cut "http://host" off an absolute target and return what stands behind; the host must be the one
 * of the Host header, or each reader of the request could take another one. */
static const struct fault *strip_origin(const struct h1_request *r, struct span *target) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        struct span scheme = span_of(schemes[i]);
        if (target->len < scheme.len ||
            !span_equals_nocase((struct span){target->data, scheme.len}, scheme))
            continue;
        struct span rest = {target->data + scheme.len, target->len - scheme.len};
        struct span authority = {rest.data, 0};
        while (authority.len < rest.len && strchr("/?", rest.data[authority.len]) == NULL)
            authority.len++;
        struct span name, port, host;
        if (!authority_split(authority, &name, &port) || name.len == 0)
            return &bad_target;
        if (request_fields(&r->view, "Host", &host) > 0 && !span_equals_nocase(host, authority))
            return &other_host;
        *target = (struct span){rest.data + authority.len, rest.len - authority.len};
        return NULL;
    }
    return &bad_target;
}

static const struct fault *read_target(struct h1_request *r) {
    struct span target = head_span(&r->head, r->head.target);
    const struct fault *fault = NULL;
    bool asterisk =
        target.len == 1 && target.data[0] == '*' && r->view.method == HTTP_METHOD_OPTIONS;
    if (target.data[0] != '/' && !asterisk && r->view.method != HTTP_METHOD_OTHER)
        fault = strip_origin(r, &target);
    request_set_target(&r->view, target);
    return fault;
}

static const struct fault *read_head(struct h1_request *r) {
    const struct fault *fault;
    r->view.method = request_method(head_span(&r->head, r->head.method));
    if ((fault = check_host(r)) != NULL || (fault = check_framing(r)) != NULL ||
        (fault = read_target(r)) != NULL)
        return fault;
    if (r->view.method != HTTP_METHOD_OTHER && r->content_length > REQUEST_BODY_MAX_BYTES)
        return &body_too_large;
    return NULL;
}

/* Whether llhttp reads the head as we do. */
static bool llhttp_agrees(struct h1_request *r) {
    const struct buf *head = &r->head.bytes;
    llhttp_errno_t err = llhttp_execute(&r->parser, head->data, head->len);
    return r->head_agreed && err == HPE_PAUSED &&
           llhttp_get_error_pos(&r->parser) == head->data + head->len &&
           (r->chunked || r->parser.content_length == r->content_length);
}

static void feed_head(struct h1_request *r) {
    const struct fault *fault = r->head.fault;
    r->view.bytes = r->head.bytes.data;
    r->view.fields_len = r->head.fields_len;
    if (fault == NULL && !r->head.complete)
        return;
    if (fault == NULL)
        fault = read_head(r);
    if (fault == NULL && r->view.method != HTTP_METHOD_OTHER && !llhttp_agrees(r))
        fault = &bad_head;
    if (fault != NULL)
        fail(r, fault);
    else if (r->view.method == HTTP_METHOD_OTHER || !h1_request_has_body(r))
        r->state = H1_REQUEST_DONE;
    else
        r->state = H1_REQUEST_BODY;
}

static size_t feed_body(struct h1_request *r, const char *data, size_t len) {
    size_t taken;
    bool complete;
    if (r->chunked) {
        taken = chunks_feed(&r->chunks, data, len, &r->body);
        complete = r->chunks.complete;
    } else {
        size_t left = (size_t)r->content_length - r->body.len;
        taken = len < left ? len : left;
        buf_append(&r->body, data, taken);
        complete = taken == left;
    }
    if (r->chunks.fault != NULL)
        fail(r, r->chunks.fault);
    else if (complete)
        r->state = H1_REQUEST_DONE;
    r->view.body = (struct span){r->body.data, r->body.len};
    return taken;
}

size_t h1_request_feed(struct h1_request *r, const char *data, size_t len) {
    if (len == 0)
        return 0;
    r->begun = true;
    if (r->state == H1_REQUEST_BODY)
        return feed_body(r, data, len);
    if (r->state != H1_REQUEST_HEAD)
        return 0;
    size_t taken = head_feed(&r->head, data, len);
    feed_head(r);
    return taken;
}

const struct request *h1_request_view(const struct h1_request *r) {
    return &r->view;
}

enum h1_request_state h1_request_state(const struct h1_request *r) {
    return r->state;
}

int h1_request_failure(const struct h1_request *r, const char **why) {
    *why = r->fault->why;
    return r->fault->status;
}

bool h1_request_is_http10(const struct h1_request *r) {
    return r->head.version[7] == '0';
}

bool h1_request_keep_alive(const struct h1_request *r) {
    return r->keep_alive;
}

bool h1_request_expects_continue(const struct h1_request *r) {
    return !h1_request_is_http10(r) &&
           span_equals_nocase(request_header(&r->view, "Expect"), span_of("100-continue"));
}

bool h1_request_has_body(const struct h1_request *r) {
    return r->chunked || r->content_length > 0;
}

bool h1_request_has_begun(const struct h1_request *r) {
    return r->begun;
}
