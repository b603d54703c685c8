/* A GET by libcurl on a libuv loop; see http_stream.h.
 *
 * The story: libcurl asks for sockets to be watched (on_socket) and for its timer (on_timer), and
 * is told what happened by curl_multi_socket_action(). In there it calls on_head_line and on_body,
 * which must not end anything: what they want ended, they refuse, or note (is_closing), and
 * settle() does it once libcurl has returned. */
#include "publisher-cli/tail/http_stream.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "publisher-cli/base/header.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

enum {
    REDIRECTS_MAX = 5,
    HEAD_MAX_BYTES = 256 * 1024, /* of all answers on the way together */
    RETRY_AFTER_MAX_S = 3600
};

struct http_stream_socket {
    uv_poll_t poll;
    struct http_stream *stream;
    curl_socket_t fd;
    struct http_stream_socket *next, **link;
};

/* ---- the end ---- */

static void on_handle_closed(uv_handle_t *handle) {
    struct http_stream *h = handle->data;
    if (--h->open_handles == 0)
        h->callbacks->on_closed(h->arg);
}

static void on_socket_closed(uv_handle_t *handle) {
    struct http_stream_socket *socket = container_of(handle, struct http_stream_socket, poll);
    struct http_stream *h = socket->stream;
    free(socket);
    if (--h->open_handles == 0)
        h->callbacks->on_closed(h->arg);
}

static void close_socket(struct http_stream_socket *socket) {
    *socket->link = socket->next;
    if (socket->next != NULL)
        socket->next->link = socket->link;
    uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
}

static void free_headers(struct http_stream *h) {
    curl_slist_free_all(h->headers);
    h->headers = NULL;
}

static void tear_down(struct http_stream *h) {
    if (h->is_getting)
        curl_multi_remove_handle(h->multi, h->easy);
    h->is_getting = false;
    curl_easy_cleanup(h->easy);
    curl_multi_cleanup(h->multi); /* takes its sockets back through on_socket */
    h->multi = NULL;
    while (h->sockets != NULL)
        close_socket(h->sockets);
    free_headers(h);
    buf_fini(&h->body);
    buf_fini(&h->why);
    uv_close((uv_handle_t *)&h->timer, on_handle_closed);
    uv_close((uv_handle_t *)&h->deadline, on_handle_closed);
}

void http_stream_close(struct http_stream *h) {
    if (h->is_closing)
        return;
    h->is_closing = true;
    if (!h->is_in_curl)
        tear_down(h);
}

/* ---- how a GET ended ---- */

/* What another attempt may get over. */
static bool is_passing(CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static void judge(struct http_stream *h, CURLcode code, struct http_stream_end *end) {
    if (h->refusal != RELAY_OK) {
        end->error = h->refusal;
    } else if (code == CURLE_WRITE_ERROR) {
        end->error = RELAY_OK; /* the body of a refusal is longer than we want to know */
    } else if (code != CURLE_OK) {
        end->error = is_passing(code) ? RELAY_ECONN : RELAY_EPROTO;
        buf_reset(&h->why);
        buf_puts(&h->why, h->curl_says[0] != '\0' ? h->curl_says : curl_easy_strerror(code));
        if (code == CURLE_SSL_CONNECT_ERROR)
            buf_puts(&h->why, "; is it http://?");
    }
}

static uint64_t retry_after_ms(struct http_stream *h) {
    curl_off_t seconds = 0;
    curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= 0)
        return 0;
    return (uint64_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
}

static void finish(struct http_stream *h, CURLcode code) {
    const char *type = NULL;
    struct http_stream_end end = {.was_stream = h->is_open, .retry_ms = retry_after_ms(h)};
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &end.status);
    curl_easy_getinfo(h->easy, CURLINFO_CONTENT_TYPE, &type);
    judge(h, code, &end);
    end.why = h->why.len > 0 ? h->why.data : "";
    end.type = type != NULL ? type : "";
    end.body = h->body.len > 0 ? h->body.data : "";
    end.body_len = h->body.len;
    uv_timer_stop(&h->deadline);
    h->is_getting = false;
    curl_multi_remove_handle(h->multi, h->easy);
    h->callbacks->on_end(h->arg, &end);
}

/* libcurl has returned. */
static void settle(struct http_stream *h) {
    int left;
    h->is_in_curl = false;
    if (h->is_closing) {
        tear_down(h);
        return;
    }
    CURLMsg *message = curl_multi_info_read(h->multi, &left);
    if (message != NULL && message->msg == CURLMSG_DONE)
        finish(h, message->data.result);
}

static void on_deadline(uv_timer_t *timer) {
    struct http_stream *h = timer->data;
    uint64_t ms = h->is_open ? h->options.idle_ms : h->options.answer_ms;
    h->refusal = RELAY_ETIMEOUT;
    buf_reset(&h->why);
    buf_printf(&h->why, h->is_open ? "nothing came for %g s" : "it did not answer within %g s",
               (double)ms / 1000);
    finish(h, CURLE_OPERATION_TIMEDOUT);
}

/* ---- libcurl in the loop ---- */

static void act(struct http_stream *h, curl_socket_t fd, int what) {
    int running;
    h->is_in_curl = true;
    curl_multi_socket_action(h->multi, fd, what, &running);
    settle(h);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct http_stream_socket *socket = poll->data;
    int what = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
               (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    act(socket->stream, socket->fd, status < 0 ? CURL_CSELECT_ERR : what);
}

static void on_timer_due(uv_timer_t *timer) {
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg) {
    struct http_stream *h = arg;
    (void)multi;
    if (timeout_ms < 0)
        uv_timer_stop(&h->timer);
    else
        /* Not at once: libuv before 1.45 would call it again before it looks at signals. */
        uv_timer_start(&h->timer, on_timer_due, timeout_ms > 0 ? (uint64_t)timeout_ms : 1, 0);
    return 0;
}

static struct http_stream_socket *open_socket(struct http_stream *h, curl_socket_t fd) {
    struct http_stream_socket *socket = mem_zalloc(sizeof(*socket));
    if (uv_poll_init_socket(h->loop, &socket->poll, fd) != 0) {
        free(socket);
        return NULL;
    }
    h->open_handles++;
    socket->poll.data = socket;
    socket->stream = h;
    socket->fd = fd;
    socket->next = h->sockets;
    socket->link = &h->sockets;
    if (h->sockets != NULL)
        h->sockets->link = &socket->next;
    h->sockets = socket;
    curl_multi_assign(h->multi, fd, socket);
    return socket;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *per_socket) {
    struct http_stream *h = arg;
    struct http_stream_socket *socket = per_socket;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            curl_multi_assign(h->multi, fd, NULL);
            close_socket(socket);
        }
        return 0;
    }
    if (socket == NULL && (socket = open_socket(h, fd)) == NULL)
        return -1; /* the GET fails */
    uv_poll_start(&socket->poll,
                  (what & CURL_POLL_IN ? UV_READABLE : 0) |
                      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                  on_poll);
    return 0;
}

/* ---- what comes ---- */

static bool is_event_stream(const char *type) {
    static const char wanted[] = "text/event-stream";
    size_t len = sizeof(wanted) - 1;
    return type != NULL && strncasecmp(type, wanted, len) == 0 &&
           strchr("; \t", type[len]) != NULL; /* or its end */
}

/* Called once for each line; an empty one ends a head. */
static size_t on_head_line(char *bytes, size_t size, size_t count, void *arg) {
    struct http_stream *h = arg;
    size_t len = size * count;
    long status = 0;
    const char *type = NULL;
    h->head_bytes += len;
    if (h->head_bytes > HEAD_MAX_BYTES && !h->is_closing) {
        h->refusal = RELAY_EPROTO;
        buf_reset(&h->why);
        buf_puts(&h->why, "the head of its answer does not end");
    }
    if (h->refusal != RELAY_OK || h->is_closing)
        return 0;
    if (h->is_open || (bytes[0] != '\r' && bytes[0] != '\n'))
        return len;
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(h->easy, CURLINFO_CONTENT_TYPE, &type);
    if (status == 200 && is_event_stream(type)) {
        h->is_open = true;
        uv_timer_start(&h->deadline, on_deadline, h->options.idle_ms, h->options.idle_ms);
        h->callbacks->on_open(h->arg);
    }
    return len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg) {
    struct http_stream *h = arg;
    size_t len = size * count, room = HTTP_STREAM_BODY_MAX - h->body.len;
    if (h->is_closing)
        return 0;
    if (!h->is_open) {
        buf_append(&h->body, bytes, len < room ? len : room);
        return len <= room ? len : 0;
    }
    h->refusal = h->callbacks->on_bytes(h->arg, bytes, len);
    uv_update_time(h->loop); /* on_bytes may have waited for somebody who reads slowly */
    uv_timer_again(&h->deadline);
    return h->refusal == RELAY_OK ? len : 0;
}

/* ---- a GET ---- */

static void put_line(struct http_stream *h, const char *line) {
    struct curl_slist *longer = curl_slist_append(h->headers, line);
    if (longer == NULL)
        abort(); /* a size of our own, or of the command line's */
    h->headers = longer;
}

static bool is_users(const struct http_stream *h, const char *name) {
    for (const struct curl_slist *l = h->options.headers; l != NULL; l = l->next)
        if (header_is_named(l->data, name))
            return true;
    return false;
}

static void put_header(struct http_stream *h, const char *name, const char *value) {
    struct buf line = BUF_INIT;
    if (value[0] == '\0' || is_users(h, name))
        return;
    buf_printf(&line, "%s: %s", name, value);
    put_line(h, line.data);
    buf_fini(&line);
}

static void set_up_cookies(struct http_stream *h) {
    const struct curl_slist *files = h->options.cookie_files;
    if (files == NULL && h->options.cookie == NULL)
        return;
    curl_easy_setopt(h->easy, CURLOPT_COOKIEFILE, ""); /* keeps those that come */
    for (; files != NULL; files = files->next)
        curl_easy_setopt(h->easy, CURLOPT_COOKIEFILE, files->data);
    if (h->options.cookie != NULL)
        curl_easy_setopt(h->easy, CURLOPT_COOKIE, h->options.cookie);
}

static void set_up_bounds(CURL *easy) {
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
}

/* Once, for all GETs: the handle keeps its options, as it keeps its connections and cookies. */
static void set_up(struct http_stream *h) {
    CURL *easy = h->easy;
    set_up_bounds(easy);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, h->options.user_agent);
    if (h->options.ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, h->options.ca_file);
    set_up_cookies(h);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, h->curl_says);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head_line);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, h);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, h);
}

void http_stream_get(struct http_stream *h, const char *url, const char *last_id,
                     const char *token) {
    struct buf bearer = BUF_INIT;
    free_headers(h);
    buf_reset(&h->body);
    buf_reset(&h->why);
    h->curl_says[0] = '\0';
    h->is_open = false;
    h->refusal = RELAY_OK;
    h->head_bytes = 0;
    put_header(h, "Accept", "text/event-stream");
    put_header(h, "Last-Event-ID", last_id);
    if (token[0] != '\0') {
        buf_printf(&bearer, "Bearer %s", token);
        put_header(h, "Authorization", bearer.data);
        buf_fini(&bearer);
    }
    for (const struct curl_slist *l = h->options.headers; l != NULL; l = l->next)
        put_line(h, l->data);
    curl_easy_setopt(h->easy, CURLOPT_URL, url);
    curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, h->headers);
    h->is_getting = true;
    uv_timer_start(&h->deadline, on_deadline, h->options.answer_ms, 0);
    if (curl_multi_add_handle(h->multi, h->easy) != CURLM_OK) /* begins with its timer */
        abort();
}

void http_stream_start(struct http_stream *h, uv_loop_t *loop,
                       const struct http_stream_options *options,
                       const struct http_stream_callbacks *callbacks, void *arg) {
    *h = (struct http_stream){
        .loop = loop, .options = *options, .callbacks = callbacks, .arg = arg, .open_handles = 2};
    uv_timer_init(loop, &h->timer);
    uv_timer_init(loop, &h->deadline);
    h->timer.data = h->deadline.data = h;
    h->multi = curl_multi_init();
    h->easy = curl_easy_init();
    if (h->multi == NULL || h->easy == NULL)
        abort();
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    set_up(h);
}
