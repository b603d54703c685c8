/* The run of `tail`; see tail.h. */
#include "publisher-cli/tail/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "publisher-cli/base/exit.h"
#include "publisher-cli/base/terminal.h"
#include "publisher-cli/tail/event_stream.h"
#include "publisher-cli/tail/http_stream.h"
#include "publisher-cli/tail/tail_extra.h"
#include "publisher-cli/tail/tail_print.h"
#include "publisher-cli/tail/tail_url.h"
#include "relay/base/err.h"
#include "relay/base/rng.h"
#include "relay/wire/topic.h"

enum {
    RETRY_MS = 500, /* until the relay says what it wants */
    RETRY_LONGEST_MS = 30 * 1000,
    ANSWER_MS = 30 * 1000,
    IDLE_MS = 60 * 1000,               /* a relay has a heartbeat every 15 s */
    EVENT_MAX_BYTES = 8 * 1024 * 1024, /* 1 MiB of data as JSON is 6 MiB at most, and a bit */
    WHY_MAX_BYTES = 512
};

struct tail {
    const struct options *options;
    struct tail_extra extra;
    FILE *err;
    struct http_stream http;
    struct event_stream stream;
    struct tail_print print;
    uv_signal_t interrupt, terminate;
    uv_timer_t again;    /* until the next attempt */
    uv_timer_t patience; /* until the first answer */
    uv_poll_t reader;    /* of a pipe that we print into; no handle where there is none */
    struct rng rng;
    struct buf url, address; /* what is asked for, what is shown of it */
    struct buf why;          /* the last attempt failed */
    int why_code;            /* what to end with for that */
    uint64_t retry_ms;
    uint64_t events;   /* printed */
    unsigned failures; /* attempts without a stream, since the last one */
    bool has_reader;
    bool was_open;  /* there was one */
    bool is_outage; /* it was said that there is none */
    bool is_stopping;
    int exit_code;
};

/* ---- the end ---- */

static void stop(struct tail *t, int exit_code) {
    if (t->is_stopping)
        return;
    t->is_stopping = true;
    t->exit_code = exit_code;
    http_stream_close(&t->http);
    uv_close((uv_handle_t *)&t->interrupt, NULL);
    uv_close((uv_handle_t *)&t->terminate, NULL);
    uv_close((uv_handle_t *)&t->again, NULL);
    uv_close((uv_handle_t *)&t->patience, NULL);
    if (t->has_reader)
        uv_close((uv_handle_t *)&t->reader, NULL);
}

/* Endless, a signal is how it is meant to end; not so with --count. */
static void on_signal(uv_signal_t *handle, int signum) {
    struct tail *t = handle->data;
    stop(t, t->options->count > 0 ? EXIT_SIGNAL + signum : EXIT_DONE);
}

static void on_reader_gone(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    stop(poll->data, EXIT_DONE);
}

static void on_patience(uv_timer_t *timer) {
    struct tail *t = timer->data;
    complain(t->err, "%s: %s; given up after %g s%s", t->address.data,
             t->why.len > 0 ? t->why.data : "no answer", (double)t->options->timeout_ms / 1000,
             t->why_code == EXIT_UNREACHABLE ? "; --url or SSE_URL says where the relay is" : "");
    stop(t, t->why_code);
}

/* ---- events ---- */

/* Returns RELAY_OK, or RELAY_ECANCELED where a signal came meanwhile: the loop tells it next. */
static int flush(struct tail *t) {
    if (tail_print_flush(&t->print) == RELAY_OK || t->is_stopping)
        return RELAY_OK;
    if (errno == EINTR)
        return RELAY_ECANCELED;
    bool is_closed = errno == EPIPE; /* whoever read has seen enough */
    if (!is_closed)
        complain(t->err, "cannot write to standard output: %s", strerror(errno));
    stop(t, is_closed ? EXIT_DONE : EXIT_REFUSED);
    return RELAY_OK;
}

static void on_event(void *arg, const struct event_stream_event *event) {
    struct tail *t = arg;
    int status = RELAY_OK;
    if (t->is_stopping)
        return;
    if (strcmp(event->name, "relay.reset") == 0) {
        status = tail_print_reset(&t->print, event, event_stream_last_id(&t->stream));
    } else if (strncmp(event->name, "relay.", 6) != 0) {
        status = tail_print_event(&t->print, event);
        t->events++;
    }
    if (status != RELAY_OK) {
        complain(t->err, "what %s sends is not what a relay sends for as=json", t->address.data);
        flush(t);
        stop(t, EXIT_REFUSED);
    } else if (t->options->count > 0 && t->events == t->options->count) {
        flush(t);
        stop(t, EXIT_DONE);
    }
}

static void on_retry(void *arg, uint64_t ms) {
    struct tail *t = arg;
    t->retry_ms = ms < RETRY_MIN_MS ? RETRY_MIN_MS : ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms;
}

static const struct event_stream_callbacks stream_callbacks = {.on_event = on_event,
                                                               .on_retry = on_retry};

/* ---- attempts ---- */

static void begin(struct tail *t) {
    const char *token = t->options->token != NULL ? t->options->token : "";
    http_stream_get(&t->http, t->url.data, event_stream_last_id(&t->stream), token);
}

static void on_again(uv_timer_t *timer) {
    begin(timer->data);
}

/* What the relay asked for, twofold with each failure; later than that by up to a quarter, so that
 * many do not come back at one moment. */
static void try_again(struct tail *t, uint64_t at_least_ms) {
    uint64_t wait = t->retry_ms;
    for (unsigned i = 0; i < t->failures && wait < RETRY_LONGEST_MS; i++)
        wait *= 2;
    if (wait > RETRY_LONGEST_MS && wait > t->retry_ms)
        wait = RETRY_LONGEST_MS > t->retry_ms ? RETRY_LONGEST_MS : t->retry_ms;
    if (wait < at_least_ms)
        wait = at_least_ms;
    uv_timer_start(&t->again, on_again, wait + rng_below(&t->rng, wait / 4 + 1), 0);
}

static void set_why(struct tail *t, int code, const char *why) {
    size_t len = strlen(why);
    t->why_code = code;
    buf_reset(&t->why);
    terminal_put_shown(&t->why, why, len < WHY_MAX_BYTES ? len : WHY_MAX_BYTES);
}

/* Said once for all attempts until there is a stream again. */
static void fail(struct tail *t, const struct http_stream_end *end) {
    if (!t->is_outage)
        complain(t->err, "%s: %s; trying again", t->address.data, t->why.data);
    t->is_outage = true;
    try_again(t, end->retry_ms);
    t->failures++;
}

static void give_up(struct tail *t) {
    complain(t->err, "%s: %s", t->address.data, t->why.data);
    stop(t, EXIT_REFUSED);
}

/* ---- how an attempt ended ---- */

/* "404: Nothing is served at this path." of an answer; the sentence is that of a problem+json. */
static void set_why_refused(struct tail *t, const struct http_stream_end *end) {
    struct buf why = BUF_INIT;
    json_t *problem = json_loadb(end->body, end->body_len, 0, NULL);
    const char *sentence = json_string_value(json_object_get(problem, "detail"));
    if (sentence == NULL)
        sentence = json_string_value(json_object_get(problem, "title"));
    buf_printf(&why, "it answers %ld%s%s", end->status, sentence != NULL ? ": " : "",
               sentence != NULL ? sentence : "");
    if (why.data[why.len - 1] == '.')
        why.data[--why.len] = '\0';
    set_why(t, EXIT_REFUSED, why.data);
    json_decref(problem);
    buf_fini(&why);
}

/* Another attempt may be answered otherwise. */
static bool is_passing(long status) {
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

static void on_answer(struct tail *t, const struct http_stream_end *end) {
    struct buf why = BUF_INIT;
    if (end->status == 204) { /* as an EventSource is told not to come back */
        stop(t, EXIT_DONE);
    } else if (end->status == 200) {
        buf_printf(&why, "it answers with %s and not with a stream; is that a relay?",
                   end->type[0] != '\0' ? end->type : "something of no type");
        set_why(t, EXIT_REFUSED, why.data);
        give_up(t);
    } else {
        set_why_refused(t, end);
        if (is_passing(end->status))
            fail(t, end);
        else
            give_up(t);
    }
    buf_fini(&why);
}

static void on_end(void *arg, const struct http_stream_end *end) {
    struct tail *t = arg;
    switch (end->error) {
    case RELAY_OK:
        if (end->was_stream)
            try_again(t, 0); /* it ended as it should; its cursor is all there is to say */
        else
            on_answer(t, end);
        break;
    case RELAY_ECANCELED:
        break;
    case RELAY_ECONN:
    case RELAY_ETIMEOUT:
        set_why(t, EXIT_UNREACHABLE, end->why);
        fail(t, end);
        break;
    case RELAY_EOVERFLOW:
        set_why(t, EXIT_REFUSED,
                "it sends a line or an event of more than 8 MiB, as no relay does");
        give_up(t);
        break;
    default:
        set_why(t, EXIT_REFUSED, end->why);
        give_up(t);
    }
}

static void on_open(void *arg) {
    struct tail *t = arg;
    if (t->is_outage)
        complain(t->err, "%s: connected%s", t->address.data, t->was_open ? " again" : "");
    t->is_outage = false;
    t->was_open = true;
    t->failures = 0;
    uv_timer_stop(&t->patience);
    event_stream_restart(&t->stream);
}

static int on_bytes(void *arg, const char *bytes, size_t len) {
    struct tail *t = arg;
    int status = event_stream_feed(&t->stream, bytes, len), flushed = flush(t);
    return status != RELAY_OK ? status : flushed;
}

static void on_closed(void *arg) {
    (void)arg; /* the loop ends with it */
}

static const struct http_stream_callbacks http_callbacks = {
    .on_open = on_open, .on_bytes = on_bytes, .on_end = on_end, .on_closed = on_closed};

/* ---- the run ---- */

/* A write to somebody who does not read waits; the signal has to end that as well, which the
 * handlers of libuv do not, as they let the call go on. */
static void watch_signal(struct tail *t, uv_loop_t *loop, uv_signal_t *handle, int signum) {
    struct sigaction action;
    uv_signal_init(loop, handle);
    handle->data = t;
    uv_signal_start(handle, on_signal, signum);
    if (sigaction(signum, NULL, &action) == 0) {
        action.sa_flags &= ~SA_RESTART;
        sigaction(signum, &action, NULL);
    }
}

/* Or `tail ... | head -1` would end with the second event only. A system that does not tell
 * (kqueue) leaves it at that. libuv makes what it watches non-blocking; a pipe is shared, so that
 * is taken back. */
static void watch_reader(struct tail *t, uv_loop_t *loop, int fd) {
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) != 0 || !S_ISFIFO(stat.st_mode))
        return;
    int flags = fcntl(fd, F_GETFL);
    if (uv_poll_init(loop, &t->reader, fd) != 0)
        return;
    fcntl(fd, F_SETFL, flags);
    t->has_reader = true;
    t->reader.data = t;
    uv_poll_start(&t->reader, UV_DISCONNECT, on_reader_gone);
}

static void watch_timer(struct tail *t, uv_loop_t *loop, uv_timer_t *timer) {
    uv_timer_init(loop, timer);
    timer->data = t;
}

/* As curl does: a certificate of one's own is trusted by the environment. */
static const char *ca_file(void) {
    static const char *const names[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *file = getenv(names[i]);
        if (file != NULL && file[0] != '\0')
            return file;
    }
    return NULL;
}

static void run(struct tail *t, uv_loop_t *loop) {
    const struct http_stream_options http = {.user_agent = "sse-publish/" SSE_VERSION,
                                             .ca_file = ca_file(),
                                             .headers = t->extra.headers,
                                             .cookie = t->extra.cookie.data,
                                             .cookie_files = t->extra.cookie_files,
                                             .answer_ms = ANSWER_MS,
                                             .idle_ms = IDLE_MS};
    watch_signal(t, loop, &t->interrupt, SIGINT);
    watch_signal(t, loop, &t->terminate, SIGTERM);
    watch_timer(t, loop, &t->again);
    watch_timer(t, loop, &t->patience);
    watch_reader(t, loop, fileno(t->print.out));
    http_stream_start(&t->http, loop, &http, &http_callbacks, t);
    uv_timer_start(&t->patience, on_patience, t->options->timeout_ms, 0);
    begin(t);
    uv_run(loop, UV_RUN_DEFAULT);
}

int tail_run(const struct options *o, uv_loop_t *loop, FILE *out, FILE *err) {
    struct tail t = {.options = o, .err = err, .retry_ms = RETRY_MS, .why_code = EXIT_UNREACHABLE};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    rng_init(&t.rng);
    tail_print_init(&t.print, o, out, err);
    event_stream_init(&t.stream, EVENT_MAX_BYTES, &stream_callbacks, &t);
    if (tail_url(o, &t.url, &t.address) != RELAY_OK) {
        complain(err, "--url is no URL of a relay, such as http://127.0.0.1:8080");
        t.exit_code = EXIT_USAGE;
    } else if (tail_extra_read(&t.extra, o, &t.why) != RELAY_OK) {
        complain(err, "%s", t.why.data);
        t.exit_code = EXIT_USAGE;
    } else {
        if (t.extra.last_id.len > 0)
            event_stream_begin_at(&t.stream, t.extra.last_id.data);
        run(&t, loop);
    }
    tail_extra_fini(&t.extra);
    event_stream_fini(&t.stream);
    tail_print_fini(&t.print);
    buf_fini(&t.url);
    buf_fini(&t.address);
    buf_fini(&t.why);
    curl_global_cleanup();
    return t.exit_code;
}
