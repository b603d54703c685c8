/* A GET whose answer may never end, by libcurl on a libuv loop.
 *
 * libcurl brings TLS, HTTP/2, proxies (http_proxy and its kin) and redirects: five are followed,
 * and the token stays behind where one leads to another host or port. Here are its sockets and its
 * timer in the loop, so that signals and timers of others go on beside it, and what it leaves to
 * its user: bounds of head and body, and a deadline. An answer that is a stream (200 and
 * text/event-stream) goes to on_bytes as it comes and may be silent for idle_ms; the head of any
 * answer, and the whole of one that is no stream, must come within answer_ms.
 *
 * start/close: embedded; one loop, one thread, one GET at a time. */
#ifndef PUBLISHER_CLI_TAIL_HTTP_STREAM_H
#define PUBLISHER_CLI_TAIL_HTTP_STREAM_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "relay/base/buf.h"

struct http_stream_options {
    const char *user_agent;
    const char *ca_file; /* certificates to trust; NULL: those of the system */
    const struct curl_slist
        *headers;       /* of the user's, which take the place of ours of their name */
    const char *cookie; /* "name=value; ..."; NULL: none */
    const struct curl_slist *cookie_files;
    uint64_t answer_ms, idle_ms;
};

/* How a GET ended. The texts are valid until the next one. */
struct http_stream_end {
    int error;         /* RELAY_OK: the answer came whole;
                          RELAY_ECONN: there was no connection, or it was lost; RELAY_ETIMEOUT: a
                          deadline passed; RELAY_EPROTO: trying again is of no use; or what on_bytes
                          returned */
    const char *why;   /* of these but the last */
    long status;       /* of HTTP; 0: none came */
    bool was_stream;   /* on_open was called */
    const char *type;  /* Content-Type; "": none */
    const char *body;  /* of an answer that was no stream: its first bytes, with a NUL behind */
    size_t body_len;   /* at most HTTP_STREAM_BODY_MAX */
    uint64_t retry_ms; /* what Retry-After asks for; 0: nothing */
};

enum { HTTP_STREAM_BODY_MAX = 16 * 1024 };

/* All from the loop, none from inside a function below. */
struct http_stream_callbacks {
    void (*on_open)(void *arg); /* the answer is a stream */
    /* RELAY_OK, or a code that ends the GET. */
    int (*on_bytes)(void *arg, const char *bytes, size_t len);
    void (*on_end)(void *arg, const struct http_stream_end *end); /* another may begin */
    void (*on_closed)(void *arg);
};

struct http_stream_socket; /* of libcurl, in the loop */

struct http_stream {
    uv_loop_t *loop;
    struct http_stream_options options;
    const struct http_stream_callbacks *callbacks;
    void *arg;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    uv_timer_t timer;    /* libcurl's */
    uv_timer_t deadline; /* ours */
    struct http_stream_socket *sockets;
    unsigned open_handles;
    bool is_getting;
    bool is_open;    /* it is a stream */
    bool is_in_curl; /* one of its callbacks may be on the stack */
    bool is_closing;
    int refusal;       /* of on_bytes, or of a bound of ours */
    size_t head_bytes; /* of all answers on the way */
    struct buf body;
    struct buf why;
    char curl_says[CURL_ERROR_SIZE];
};

/* The texts of @options and @callbacks are borrowed. curl_global_init() was called. */
void http_stream_start(struct http_stream *h, uv_loop_t *loop,
                       const struct http_stream_options *options,
                       const struct http_stream_callbacks *callbacks, void *arg);

/* Begin a GET; none is under way. @last_id and @token, sent as Last-Event-ID and bearer token, have
 * no CR, LF and NUL, and are "" where there is none. Nothing is borrowed. on_end follows, unless
 * http_stream_close() comes before it. */
void http_stream_get(struct http_stream *h, const char *url, const char *last_id,
                     const char *token);

/* From anywhere; may be called twice. A GET that is under way ends without a word, and on_closed is
 * the last callback. */
void http_stream_close(struct http_stream *h);

#endif
